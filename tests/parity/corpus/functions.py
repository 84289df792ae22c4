"""Functions of every shape."""
import asyncio
import functools


def plain():
    """One path."""


def one_line(): return 1
def one_line_with_branch(x): return 1 if x else 2


@functools.lru_cache(maxsize=1 if asyncio else 2)
def decorated(a, b=1 if asyncio else 2, *args, c: int if asyncio else str = 3, **kwargs) -> 'x if y else z':
    # Neither decorators nor parameters nor annotations count.
    key = lambda x: x if x else (lambda y: y or x)
    return sorted(args, key=key) or kwargs


async def coroutine(xs):
    """Asynchronous twins count alike."""
    async with xs as ys:
        async for y in ys:
            if y: yield y
        else:
            yield None
    return_value = [z async for z in xs if z if z.ok]
    await asyncio.sleep(0)


def outer(x):
    def inner(y):
        def innermost(z):
            """Three deep."""
            return z and y and x
        return innermost if y else None

    class Local:
        """A class in a function is not looked at."""

        def method(self):
            return 1 if self else 2

    if x:
        def conditional():
            return x or 1
    return inner


if outer:
    def at_top_level_in_a_branch(x):
        for i in x:
            pass
else:
    def at_top_level_in_a_branch(x):
        while x:
            break
        else:
            return
    class InABranch:
        def method(self): return self or None

try:
    def in_a_try(): return 1 or 2
except (ImportError, NameError):
    def in_a_handler(): return 1 and 2 and 3
finally:
    def in_a_finally(): pass

for _ in range(2):
    def in_a_loop(): pass

with open(__file__) as stream:
    def in_a_with(): pass

match outer:
    case 1:
        def in_a_case(): pass


def same_name(a): return a + 1
def same_name(a): return a + 1
def other_name(a): return a + 1


def long_decision(a, b, c, d):
    if a: return 1
    elif b: return 2
    elif c and d: return 3
    elif not a or b: return 4
    for x in a:
        if x: continue
        elif not x: break
    while b:
        if c or d or a: return 5
        b -= 1
    try:
        c()
    except ValueError: pass
    except (TypeError, KeyError): raise
    else: d()
    finally: a()
    return [x for x in a if x for y in x if y and x] or {k: v for k, v in b} or {s for s in c} or (g for g in d)
