"""What Halstead takes for the same operand, and what not."""
a = 1 + True + 1.0 + 1j - 1 + (1 + 0j)
b = "x" + x + y.x + z["x"] + x() + b"x" + b'x'
c = -a + -a + -(-a) + (not a) + ~a
d = None == ... == None != NotImplemented
e = a < b < c and a < b < c or a
f = 0x10 + 16 + 1_6 + 0b10000 + 1e1 + 10
g = "a" "b" + "ab" + f"{a}" + f"{a}"
h = [1] + [1] + (1,) + {1} | {1: 1}
e += 1
e += 1
e.x += e.x
e[0] -= e[0]


def a(a=a + 1): return a + b
def b(): return a + b
class a:
    a = a + b
    def b(self, x=1 + 2): return a + b
    async def c(self):
        async def c(): return a + b
        def d(): return [a + b for a in b]
        return a + b
    @(lambda x: x + 1)
    class b(a + b): c = a + b
@(lambda x: x + 1)
def c() -> 1 + 1: return lambda a=a + b: a + c
assert a + b, c + d
