"""PEP 695."""
type Alias = int | str
type Generic[T: int, *Ts, **P] = dict[T, tuple[*Ts]]
def f[T: (int, str)](x: T) -> T: return x if x else x
class C[T: (1 + 1)]:
    def m[U](self, x: U) -> T: return x and self
async def g[*Ts](*a: *Ts): pass
