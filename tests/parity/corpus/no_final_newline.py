"""No newline at the end."""

x = 1
def last(): return x