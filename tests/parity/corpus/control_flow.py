import contextlib
x: int = 1
y, *z = [1, 2, 3]

if x: y = 1
elif y: z = 2
else: y = 3

if (n := len(z)) > 1: print(n)
while chunk := z[1:]: z = chunk[1:]

for i in z: pass
else: i = 0

try: 1/0
except ZeroDivisionError as error: del error
except: pass
else: x = 2
finally: x = 3

try:
    pass
finally:
    pass

try:
    raise ExceptionGroup("", [ValueError()])
except* ValueError:
    x = 1 if x else 2
except* (TypeError, KeyError) as group:
    pass
else:
    x = 4

with contextlib.suppress(Exception), open(__file__) as one, open(__file__) as two: pass
with (
    open(__file__) as one,
    open(__file__) as two,
):
    pass

assert x and y or z, "both" if x else "none"
assert x
assert (lambda a: a or x and [b for b in a if b])(x)

match x:
    case 1 | 2: pass
    case [a, b, *rest] if a and b: pass
    case {"key": value, **others}: pass
    case str() as s: pass
    case contextlib.suppress(): pass
    case None: pass
    case [_, *_]: pass
    case _: pass

match y:
    case whatever: pass

match z:
    case _ if x: pass
    case (1): pass
    case (_): pass

match = case = type = _ = 1
match[x:x]
print(match [1], case)

a = b = c = x if x else y if y else z
d = [i for i in z if i if i > 1 for j in i or []]
e = {i: j for i in z for j in z if i or j}
g = x < 1 <= 2 != y is not None not in [z] in z is x
x += 1; x @= y; x //= -y ** +2 << ~3 ^ 1 & 5 | 7 % 2
