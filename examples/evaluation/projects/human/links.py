import sys
from html.parser import HTMLParser
from urllib.parse import urljoin, urlparse


class P(HTMLParser):
    def __init__(self, base):
        HTMLParser.__init__(self)
        self.base = base
        self.found = []

    def handle_starttag(self, tag, attrs):
        for k, v in attrs:
            if v and ((tag == "a" and k == "href") or (tag == "img" and k == "src")):
                self.found.append(urljoin(self.base, v))


def links(html, base):
    p = P(base)
    p.feed(html)
    return p.found


def external(urls, base):
    host = urlparse(base).netloc
    return [u for u in urls if urlparse(u).netloc != host]


if __name__ == "__main__":
    base = sys.argv[1]
    all = links(sys.stdin.read(), base)
    for u in external(all, base):
        print(u)
