#!/usr/bin/env python
# -*- coding: utf-8 -*-
x = 1; y = 2
x = 1; y = 2;
if x: y = 1; z = 2
if x: y; z
x = z[1:]; y
x = z[1:2]; y = {1: 2}; print(lambda: 0)
class A: x: int; y: int = 1; z = 2
if x: pass
if x:  # a comment
    pass
if x:    
    pass
if \
    x:
    pass
if x: \
    y = 1
x = 1 + \
    2
x = 1 \

y = 2
x = 1 \
    

y = 2
x = 1 \
# a comment
y = 2
\
x = 3
\

y = 4
    
    # an indented comment
	# a comment after a tab
x = [  # comments
    1,  # in brackets
    # alone

    2,
]  # and after
x = {
    "a": 1,  # one
    # two
    "b": [
        lambda: 0
    ],

}
x = (1,
     (2,
      3))
def f(
    a,  # a comment
    b: int,

    # alone in brackets
):
    return a
print("a string # with a hash", 'and: a colon; a semicolon', "(")
print('''a string

over lines # hash ( [ {
''', """another
# not a comment
\""" still
""")
s = 'continued \
in quotes'; t = "\
"
s = 'it\'s \\'; t = "\"\\"
s = r'\''; t = R"\\"
s = '' ; t = "" ; u = '''''' ; v = """"""
s = ""''""''
s = "'" '"' """'"'"" """ '''"'"''' 
if"x":pass
elif'y':pass
x = 1if x else"y"
x = not"z"
x: int
x: dict[str, int] = {}
x[1:2], x[::], x[y:z:1] = 1, 2, 3
@property
def g(): pass
try: pass
except: pass
lambda: (yield)
lambda x: lambda y: x
print(f"{x:>3}", f"{x!r}", f"{x}", f"{x:{y}}", f"{{:}}", f"{x['a']}", F'{x["a:b"]:c}', rf"\{x:#x}")
f"{x:>3}"
f"{x}"
f"{{}}"
print(f"""
{x:>3}
{{:;}}
""", f'''{
    x
}''')
x = f"{x}"; y = f"{x:;}"; z = f"{lambda_}"
x = f"{(lambda: 0)()}"
x = f"{(y := 1)}" f'{x!r:^{y}.{z}}' fr'{x:\d}' Rf"""{x:
}"""
while (x := y): z
while x: pass
else: pass
