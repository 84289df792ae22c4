"""Ünïcödé — a line with a no-break space follows.
 
　
"""
größe = "naïve"  # ± comment
ﬁn = 'ligature' + fin
变量 = größe + 变量
def función(): return '🐍' + "\N{SNAKE}" + '\ud800'
