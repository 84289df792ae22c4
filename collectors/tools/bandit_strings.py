"""Strings that bandit's tests may report, found by what surrounds a string in the syntax tree.

As in `collectors.tools.bandit_rules`, every check is a necessary condition that is cheaper than running the test.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from collectors.source.syntax_walk import SyntaxNodes
from collectors.tools.bandit_library import RE_CANDIDATES
from collectors.tools.bandit_rules import RULES, TEMPORARY_DIRECTORIES, Rule

StringFinders = Mapping[type[ast.AST], Callable[[Any], list[ast.Constant]]]
"""By node class: a function that returns the strings directly in such a node that may be reported."""

PASSWORD_RULE_ID, SQL_RULE_ID = "B105", "B608"

VALUE_PREFILTERS: Mapping[str, Callable[[str], bool]] = {
    "B104": lambda text: text == "0.0.0.0",  # noqa: S104  # nosec B104 - what the rule looks for
    "B108": lambda text: text.startswith(TEMPORARY_DIRECTORIES),
}
"""Necessary conditions of the rules that examine the string alone. Rules that are not listed here always run."""


def _always(_text: str) -> bool:
    return True


_RULES = {rule.test_id: rule for rule in RULES["Str"]}
_VALUE_RULES = tuple(
    (rule, VALUE_PREFILTERS.get(rule.test_id, _always))
    for rule in RULES["Str"]
    if rule.test_id not in (PASSWORD_RULE_ID, SQL_RULE_ID)
)
_QUERY_WORDS = (("select", "from"), ("delete", "from"), ("insert", "into"), ("update", "set"))


def candidate_strings(nodes: SyntaxNodes) -> Iterator[tuple[ast.Constant, tuple[Rule, ...]]]:
    """Yield strings with the rules that may report them. A string may be yielded several times, with other rules."""
    for text in _strings(nodes.text_constants):
        for rule, prefilter in _VALUE_RULES:
            if prefilter(str(text.value)):
                yield text, (rule,)
    passwords, query_parts = _find(nodes)
    yield from ((text, (_RULES[PASSWORD_RULE_ID],)) for text in passwords)
    if _may_form_query(query_parts):
        yield from ((text, (_RULES[SQL_RULE_ID],)) for text in query_parts)


def _find(nodes: SyntaxNodes) -> tuple[list[ast.Constant], list[ast.Constant]]:
    """Return the strings that may be a password, and those that may be a part of a query."""
    passwords: list[ast.Constant] = []
    query_parts: list[ast.Constant] = []
    finder_of = _FINDERS.get
    for node in nodes.postorder:
        if (finder := finder_of(node.__class__)) is not None:
            find, of_password = finder
            (passwords if of_password else query_parts).extend(find(node))
    return passwords, query_parts


def _may_form_query(texts: Iterable[ast.Constant]) -> bool:
    """Return whether the words of a query occur in the texts, which the rule concatenates in many ways."""
    together = " ".join(str(text.value) for text in texts)
    if not together.isascii():  # some non-ASCII letters equal ASCII letters if case is ignored
        return True
    together = together.lower()
    return any(verb in together and particle in together for verb, particle in _QUERY_WORDS)


def _strings(values: Iterable[Any]) -> list[ast.Constant]:
    return [value for value in values if value.__class__ is ast.Constant and value.value.__class__ is str]


def _has_password_name(node: ast.expr) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return RE_CANDIDATES.search(name) is not None


def _assigned(node: ast.Assign) -> list[ast.Constant]:
    texts = _strings((node.value,))
    return texts if texts and any(map(_has_password_name, node.targets)) else []


def _compared(node: ast.Compare) -> list[ast.Constant]:
    texts = _strings(node.comparators)
    return texts if texts and _has_password_name(node.left) else []


def _password_keys(values: Iterable[Any]) -> list[ast.Constant]:
    return [text for text in _strings(values) if RE_CANDIDATES.search(str(text.value))]


_PASSWORD_FINDERS: StringFinders = {
    ast.Assign: _assigned,
    ast.Compare: _compared,
    ast.Dict: lambda node: _password_keys(node.keys),
    ast.Subscript: lambda node: _password_keys((node.value, node.slice)),
}
_QUERY_FINDERS: StringFinders = {
    ast.BinOp: lambda node: _strings((node.left, node.right)),
    ast.Attribute: lambda node: _strings((node.value,)) if node.attr in ("format", "replace") else [],
    # The rule runs at the first string of an f-string and joins all of its strings.
    ast.JoinedStr: lambda node: _strings(node.values),
}
_FINDERS = {
    **{kind: (find, True) for kind, find in _PASSWORD_FINDERS.items()},
    **{kind: (find, False) for kind, find in _QUERY_FINDERS.items()},
}
"""Both at once: no class of nodes is in both."""
