"""PEP 696."""
class C[T = int if 1 else str]: pass
def f[T = 1 or 2, *Ts = *tuple[int, ...], **P = [int]](): return 1
