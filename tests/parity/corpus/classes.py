class Bare: pass
class Stub: ...


class Base(Bare, metaclass=type if Bare else Stub):
    """Bases and keywords do not count."""

    attribute = 1 if Bare else 2
    other = [x for x in range(3) if x]

    def __init__(self):
        self._x = None

    @property
    def x(self):
        return self._x

    @x.setter
    def x(self, value):
        self._x = value if value else None

    @x.deleter
    def x(self):
        del self._x

    @property
    @x.setter
    def both(self): pass

    @x.setter
    @property
    def both_the_other_way(self): pass

    @staticmethod
    def static(): "a docstring in one line"

    @classmethod
    def make(cls): r'''A raw one.'''

    def __eq__(self, other): return self.x == other.x and self.other == other.other

    def _private(self):
        """"""

    def blank(self):
        """   
        	
        """

    class Inner:
        """Classes in classes are not listed."""

        def method(self):
            if self: return 1

        class Innermost:
            def method(self): return self or 1

    if attribute:
        def conditional(self): return 1
        class InABranch:
            def method(self): pass
    else:
        def conditional(self):
            return [y for y in self if y]

    async def coroutine(self):
        '''Awaits.'''
        await self

    def with_closure(self):
        def closure(): return self and 1
        return closure


class Fluent(Base("x").y): method = lambda self: self if self else None


class deleter:
    @deleter
    def a(self): pass
    @deleter()
    def b(self): pass
    @Base.x.deleter
    def c(self): pass
    @Base.x.getter
    def d(self): pass
    @Base.x.setter
    class E: pass


class OneLine: x = 1; y = 2; z: int = 3
