f'''an f-string alone'''
f"{f"{f"{1+1}"}"}"
f"{x["a"]}"; f"{"a:b"}"
f"{'\n'.join(x)}"
f"{
    x  # a comment in a field
    :>3}"
f"""{
    x
    # another: one

}"""
x = f"{{{x}}}" + f"{x=}" + f"{x!r:{"^"}{y}}" + f"}}{{"
print(f"{d["x"]:>{w}}", f"{(lambda x: 1)}", f"{x:=5}", f"{(x:=5)}")
def f(): f"not a docstring"
def g(): return f"{x if y else z}" + f"{x or y}"
if f"{x:y}": pass
if f"{x:;}": y = f"{x:#}"; z = 1
f"{x:{y:{z}}}"
f"\N{EM DASH} {x}\
"
rf"\{x}" Rf'{x!s}' fR"{x
}"
