"""HTML reports as tests read them: by Python's own parser."""

from collections import defaultdict
from html.parser import HTMLParser
from typing import Any

from tests.unit.worker.export.sample_runs import export

_INLINE = frozenset({"a", "code", "small", "span", "strong", "wbr"})
_VOID = frozenset({"meta", "br", "wbr", "link", "input"})


class Page(HTMLParser):
    """A report: its elements with their attributes, and the text of each section."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.markup = markup
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.style = ""
        self._open: list[str] = []
        self._section = "header"
        self._texts: defaultdict[str, list[str]] = defaultdict(list)
        self.feed(markup)
        self.close()
        assert self._open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _INLINE:
            self._texts[self._section].append(" ")
        assert len(dict(attrs)) == len(attrs), "an attribute occurs twice"
        if tag == "section":
            self._section = dict(attrs)["id"] or ""
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag, f"{tag} is closed where another element is open"

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["style"]:
            self.style += data
        else:
            self._texts[self._section].append(data)

    def text(self, section: str) -> str:
        """Return the text of a section with single spaces; `header` is what stands before the first."""
        return " ".join("".join(self._texts[section]).split())

    @property
    def shapes(self) -> set[tuple[str, tuple[str, ...]]]:
        """Each element's name with the names of its attributes."""
        return {(tag, tuple(attributes)) for tag, attributes in self.elements}

    def values(self, name: str) -> list[str]:
        """Return all values of an attribute."""
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]


def page_of(document: dict[str, Any]) -> Page:
    return Page(export(document, "html").decode())
