"""Comments that excuse."""


# docstr-coverage: inherited
def inherited(): pass

#docstr-coverage:inherit
def inherit(): pass

# docstr-coverage: excused `a reason`
def excused(): pass

# docstr-coverage: excuse `a reason`
def excuse(): pass

# docstr-coverage: excused
def no_reason(): pass

# docstr-coverage: excused `one quote
def half_a_reason(): pass

# docstr-coverage: inherited and more words
def more_words(): pass

# docstr-coverage : inherited

def blank_line_between(): pass

# docstr-coverage: inherited
@property
# a comment between
def comment_between_decorators(): pass

# docstr-coverage: inherited
@property
@call("x", [
    1,
])
def decorator_over_lines(): pass

# docstr-coverage: inherited
@property
@call("x")
def decorators(): pass

# docstr-coverage: inherited
class Excused:
    # docstr-coverage: inherited
    def first(self): pass
    # docstr-coverage: inherited
    def second(self): pass

    def third(self):
        pass

    # docstr-coverage: inherited
    async def fourth(self): pass

    x = 1  # docstr-coverage: inherited
    def after_a_statement(self): pass

    # docstr-coverage: inherited
    @x.setter
    def ignored_and_excused(self): pass

    # docstr-coverage: inherited
    # another comment
    def comment_between(self): pass

    def above(self):
        # docstr-coverage: inherited
        return 1
    def below(self): pass

    # docstr-coverage: inherited
    class Inner: pass

# docstr-coverage: inherited
def documented_too():
    """Both."""
# docstr-coverage: inherited
class \
    Named: pass
s = """
# docstr-coverage: inherited
"""
def after_a_string(): pass
# docstr-coverage: inherited
if 1:
    def in_a_branch(): pass
# docstr-coverage: inherited
