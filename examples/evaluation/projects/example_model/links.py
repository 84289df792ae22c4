"""List the external links of an HTML page."""

import argparse
import sys
from html.parser import HTMLParser
from urllib.parse import urljoin, urlparse

LINK_ATTRIBUTES = {"a": "href", "img": "src"}


class LinkParser(HTMLParser):
    """Collects the absolute addresses that a page refers to."""

    def __init__(self, base: str) -> None:
        """Resolve relative addresses against `base`."""
        super().__init__()
        self.base = base
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the address of a link or an image."""
        wanted = LINK_ATTRIBUTES.get(tag)
        for name, value in attrs:
            if name == wanted and value:
                self.links.append(urljoin(self.base, value))


def find_links(html: str, base: str) -> list[str]:
    """Return the absolute addresses of a page."""
    parser = LinkParser(base)
    parser.feed(html)
    return parser.links


def is_external(link: str, base: str) -> bool:
    """Return whether a link leads to another host."""
    return urlparse(link).netloc != urlparse(base).netloc


def main() -> None:
    """Print the external links of standard input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base")
    base = parser.parse_args().base
    for link in find_links(sys.stdin.read(), base):
        if is_external(link, base):
            print(link)


if __name__ == "__main__":
    main()
