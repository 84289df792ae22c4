"""Which strings bandit's tests may report, and which tests: found from what stands around a string.

As in `collectors.tools.bandit_rules`, what is looked for is a necessary condition that costs less than asking the test.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from bandit.plugins.general_hardcoded_password import RE_CANDIDATES

from collectors.source.syntax_walk import SyntaxNodes
from collectors.tools.bandit_rules import RULES, TEMPORARY_DIRECTORIES, Rule

StringFinders = Mapping[type[ast.AST], Callable[[Any], list[ast.Constant]]]
"""Kind of node to a function from such a node to the strings right in it that may be reported."""

PASSWORD_RULE_ID, SQL_RULE_ID = "B105", "B608"

VALUE_PREFILTERS: Mapping[str, Callable[[str], bool]] = {
    "B104": lambda text: text == "0.0.0.0",  # noqa: S104  # nosec B104 - what the rule looks for
    "B108": lambda text: text.startswith(TEMPORARY_DIRECTORIES),
}
"""Rules that look at the string alone. A rule of which nothing is known here is always asked."""


def _always(_text: str) -> bool:
    return True


_RULES = {rule.test_id: rule for rule in RULES["Str"]}
_OF_VALUE = tuple(
    (rule, VALUE_PREFILTERS.get(rule.test_id, _always))
    for rule in RULES["Str"]
    if rule.test_id not in (PASSWORD_RULE_ID, SQL_RULE_ID)
)
_QUERY_WORDS = (("select", "from"), ("delete", "from"), ("insert", "into"), ("update", "set"))


def candidate_strings(nodes: SyntaxNodes) -> Iterator[tuple[ast.Constant, tuple[Rule, ...]]]:
    """Strings, each with rules that may report it; a string may come more than once, with other rules."""
    for text in _texts(nodes.text_constants):
        for rule, guard in _OF_VALUE:
            if guard(str(text.value)):
                yield text, (rule,)
    yield from ((text, (_RULES[PASSWORD_RULE_ID],)) for text in _at(_PASSWORD_PLACES, nodes))
    queries = _at(_QUERY_PLACES, nodes)
    if _may_be_query(queries):
        yield from ((text, (_RULES[SQL_RULE_ID],)) for text in queries)


def _at(places: StringFinders, nodes: SyntaxNodes) -> list[ast.Constant]:
    found: list[ast.Constant] = []
    for node in nodes.postorder:
        if (look := places.get(node.__class__)) is not None:
            found += look(node)
    return found


def _may_be_query(texts: Iterable[ast.Constant]) -> bool:
    """Whether the words of a query are among the texts, which the rule joins in many ways."""
    together = " ".join(str(text.value) for text in texts)
    if not together.isascii():  # other letters may be equal to these but for case
        return True
    together = together.lower()
    return any(verb in together and particle in together for verb, particle in _QUERY_WORDS)


def _texts(values: Iterable[Any]) -> list[ast.Constant]:
    return [value for value in values if value.__class__ is ast.Constant and value.value.__class__ is str]


def _is_candidate(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return RE_CANDIDATES.search(name) is not None


def _assigned(node: ast.Assign) -> list[ast.Constant]:
    texts = _texts((node.value,))
    return texts if texts and any(map(_is_candidate, node.targets)) else []


def _compared(node: ast.Compare) -> list[ast.Constant]:
    texts = _texts(node.comparators)
    return texts if texts and _is_candidate(node.left) else []


def _named(values: Iterable[Any]) -> list[ast.Constant]:
    return [text for text in _texts(values) if RE_CANDIDATES.search(str(text.value))]


_PASSWORD_PLACES: StringFinders = {
    ast.Assign: _assigned,
    ast.Compare: _compared,
    ast.Dict: lambda node: _named(node.keys),
    ast.Subscript: lambda node: _named((node.value, node.slice)),
}
_QUERY_PLACES: StringFinders = {
    ast.BinOp: lambda node: _texts((node.left, node.right)),
    ast.Attribute: lambda node: _texts((node.value,)) if node.attr in ("format", "replace") else [],
    # The rule takes the first text for all of the f-string's.
    ast.JoinedStr: lambda node: _texts(node.values),
}
