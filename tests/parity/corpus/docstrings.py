# A comment first.
"Concatenated " "module docstring"


def in_bytes():
    b"""No docstring."""

def in_a_format_string():
    f"""No docstring."""

def in_parentheses():
    ("""A docstring.""")

def concatenated():
    """A docstring """ "in parts"

def over_lines(): """A docstring
over lines."""

def with_a_comment():
    """A docstring."""  # followed by a comment

def with_a_semicolon():
    """A docstring."""; pass

def continued():
    """A docstring.\
    """

def backslash_first():
    \
    """A docstring."""

def prefixed():
    u"""A docstring."""

def raw():
    R'''A docstring.
\'''
'''

def an_expression():
    """No docstring.""".strip()

def assigned():
    x = """No docstring."""

def second():
    pass
    """No docstring."""

def a_tuple():
    """No docstring.""",

def escapes():
    """\
"""

def blank_by_escape():
    "\n\t\x20\u3000"

def number():
    1

"""A string
alone

over lines."""
'A string alone'
br'''bytes

alone'''
rb"more"
f'''a format

string alone {escapes}'''
F"another"
fr"and {raw} another"
'''x''' '''y
z'''
("""in
parentheses""")
"""then""" ; """another"""
x = """assigned

over lines
"""
call("""an argument

over lines""")
"""with a method
""".strip()
