import re
import sys
from collections import Counter


def words(text):
    return re.findall(r"[a-z']+", text.lower())


def main(path, n=10):
    f = open(path)
    counts = Counter(words(f.read()))
    f.close()
    for w, c in counts.most_common(int(n)):
        print("%6d %s" % (c, w))


if __name__ == "__main__":
    main(*sys.argv[1:])
