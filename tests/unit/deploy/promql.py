"""Parser for the part of PromQL that the alert rules and the dashboard use: series, matchers, functions, labels."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Histogram
from prometheus_client.metrics import MetricWrapperBase

import infrastructure.observability.prometheus_metrics as replica_metrics
from infrastructure.observability.prometheus_metrics import REGISTRY

_TOKEN = re.compile(
    r"""\s*(?:(?P<string>"[^"\\]*"|'[^'\\]*')|(?P<range>\[(?:\d+[smhd]|\$__rate_interval)\])|(?P<duration>\d+[smhd]\b)
    |(?P<number>\d+(?:\.\d+)?)|(?P<name>[a-zA-Z_]\w*)|(?P<sign>=~|!~|!=|==|<=|>=|[-+*/<>=(){},]))""",
    re.VERBOSE,
)
_FUNCTIONS = {"rate", "increase", "changes", "absent", "histogram_quantile", "sum", "max"}
_OVER_RANGES = {"rate", "increase", "changes"}
_COUNTING = {"rate", "increase"}
_LISTS = {"by", "on"}
_WORDS = {"and", "or", "unless", "offset"}
_EVERYWHERE = {"instance", "job"}
"""Labels that Prometheus adds to every series."""


@dataclass(frozen=True)
class Series:
    """A selector: name, matchers as (label, operator, value), and the function that encloses it directly."""

    name: str
    matchers: tuple[tuple[str, str, str], ...]
    function: str | None
    ranged: bool


@dataclass(frozen=True)
class Expression:
    """The series that an expression reads, and the labels by which it groups and joins."""

    series: tuple[Series, ...]
    lists: tuple[str, ...]


def parse(text: str) -> Expression:
    """Parse an expression. Fails the test if the text is malformed."""
    return _Parser(text).parse()


def tokens(text: str) -> list[tuple[str, str]]:
    found, position = [], 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        assert match is not None, f"unexpected text: {text[position:]!r} in {text!r}"
        found.append((str(match.lastgroup), match.group().strip()))
        position = match.end()
    return found


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._at = 0

    def _next(self) -> tuple[str, str]:
        token = self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")
        self._at += 1
        return token

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _expect(self, sign: str) -> None:
        found = self._next()[1]
        assert found == sign, f"{sign!r} expected and not {found!r} in {self._text!r}"

    def parse(self) -> Expression:
        series: list[Series] = []
        lists: list[str] = []
        opened: list[str | None] = []
        called: str | None = None
        while self._at < len(self._tokens):
            kind, word = self._next()
            if kind == "name" and word in _LISTS:
                lists.extend(self._list())
            elif kind == "name" and word in _FUNCTIONS:
                called = word
                continue
            elif kind == "name" and word not in _WORDS:
                series.append(self._series(word, opened[-1] if opened else None))
            elif word == "(":
                opened.append(called)
            elif word == ")":
                assert opened, f"unmatched closing parenthesis in {self._text!r}"
                opened.pop()
            else:
                assert word not in "{}", f"unexpected {word!r} in {self._text!r}"
                assert kind != "range", f"unexpected {word!r} in {self._text!r}"
            if kind != "name":
                called = None
        assert not opened, f"unclosed parenthesis in {self._text!r}"
        return Expression(series=tuple(series), lists=tuple(lists))

    def _list(self) -> Iterator[str]:
        self._expect("(")
        while (word := self._next())[1] != ")":
            assert word[0] == "name" or word[1] == ",", f"{word[1]!r} in a list of labels in {self._text!r}"
            if word[0] == "name":
                yield word[1]

    def _series(self, name: str, function: str | None) -> Series:
        matchers = tuple(self._matchers()) if self._peek() == "{" else ()
        ranged = self._peek().startswith("[")
        if ranged:
            self._next()
        return Series(name, matchers, function, ranged)

    def _matchers(self) -> Iterator[tuple[str, str, str]]:
        self._expect("{")
        while self._peek() != "}":
            kind, label = self._next()
            sign, (value_kind, value) = self._next()[1], self._next()
            assert (kind, value_kind) == ("name", "string"), f"malformed matcher in {self._text!r}"
            assert sign in ("=", "!=", "=~", "!~"), f"{sign!r} in a matcher in {self._text!r}"
            yield label, sign, value[1:-1]
            if self._peek() != "}":
                self._expect(",")
        self._expect("}")


def exposed() -> Mapping[str, tuple[str, set[str]]]:
    """Return every series of a replica with its kind (`counter`, `gauge`) and labels."""
    found: dict[str, tuple[str, set[str]]] = {}
    for metric in our_metrics():
        labels, name = set(metric._labelnames), metric._name
        if isinstance(metric, Histogram):
            found[f"{name}_bucket"] = "counter", labels | {"le"}
            found[f"{name}_sum"] = found[f"{name}_count"] = "counter", labels
        else:
            counts = metric._type == "counter"
            found[f"{name}_total" if counts else name] = str(metric._type), labels
    for family in REGISTRY.collect():
        for sample in family.samples:
            found.setdefault(sample.name, (family.type, set(sample.labels)))
    return found


def our_metrics() -> list[MetricWrapperBase]:
    return [value for value in vars(replica_metrics).values() if isinstance(value, MetricWrapperBase)]


def check(text: str) -> Expression:
    """Parse an expression. Fails the test if a series or label does not exist, or has the wrong kind."""
    known = {**exposed(), "up": ("gauge", set())}  # Prometheus writes `up` itself: whether a target answered
    expression = parse(text)
    assert expression.series, f"no series in {text!r}"
    labels: set[str] = set()
    for series in expression.series:
        assert series.name in known, f"no replica exports {series.name}"
        kind, own = known[series.name]
        labels |= own | _EVERYWHERE
        unknown = {label for label, _, _ in series.matchers} - own - _EVERYWHERE
        assert not unknown, f"{series.name} has no label {unknown}"
        assert series.ranged == (series.function in _OVER_RANGES), f"{series.name} in {text!r}: range and function"
        if series.function in _COUNTING:
            assert kind == "counter", f"{series.function}({series.name}): it is a {kind}"
        elif kind == "counter":
            assert "unless" in text, f"a bare counter in {text!r}"
    assert set(expression.lists) <= labels, f"no such label: {set(expression.lists) - labels}"
    return expression
