"""Drives bandit's tests over a ready tree, as bandit's own visitor would.

bandit spends most of its time around its tests: it builds a context for every node, asks every test about every call,
and recurses. Here a context is built only for a node that some test may report (`collectors.tools.bandit_rules`),
the nodes
come from the walk that all collectors share, and they are linked to their parents only where a test looks for these.
What a test is given is the same: the context's keys, imports in source order, and each node's parent.
`_bandit_sibling` is left out: bandit reads it only to guess the last line of nodes that no test looks at.
"""

import ast
import io
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bandit.core.context import Context
from bandit.core.manager import NOSEC_COMMENT, NOSEC_COMMENT_TESTS

from collectors.source.source_tree import SourceFile
from collectors.source.syntax_walk import CHILD_FIELDS
from collectors.tools.bandit_rules import (
    RULES,
    RULES_USING_PARENTS,
    TEST_IDS,
    Rule,
    rules_for_call,
    rules_for_function,
    rules_for_text,
)
from collectors.tools.bandit_strings import candidate_strings
from domain.text import one_line

_NO_NOSEC: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BanditIssue:
    """What a test reported: its id, `HIGH`, `MEDIUM` or `LOW`, the line, and the text in one line."""

    test_id: str
    severity: str
    line: int
    text: str


@dataclass(slots=True)
class BanditResult:
    """Everything bandit says of a file.

    `suppressed` counts the findings that a `#nosec` hides; `failures` maps the id of a test that raised (bandit goes
    on without it) to what it raised first.
    """

    issues: list[BanditIssue] = field(default_factory=list)
    suppressed: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def run_bandit(file: SourceFile) -> BanditResult:
    """Run bandit's tests over the file; issues come in order of lines. Raises UnparsableError."""
    driver = _Driver(file)
    try:
        driver.run()
    finally:
        driver.unlink()
    driver.result.issues.sort(key=lambda issue: (issue.line, issue.test_id, issue.text))
    return driver.result


def nosec_lines(data: bytes) -> dict[int, frozenset[str]]:
    """Line to the test ids that its `#nosec` names; an empty set silences all tests.

    The tokens are those of the bytes and not of the decoded text, since bandit's line numbers are; where the tokenizer
    stops, what it has seen so far counts.
    """
    lines: dict[int, frozenset[str]] = {}
    try:
        for token in tokenize.tokenize(io.BytesIO(data).readline):
            if token.type == tokenize.COMMENT and (comment := NOSEC_COMMENT.search(token.string)):
                lines[token.start[0]] = _named_tests(comment["tests"] or "")
    except (tokenize.TokenError, SyntaxError, UnicodeError):
        pass
    return lines


def _named_tests(names: str) -> frozenset[str]:
    """The ids of the known tests among the names; bandit overlooks the others."""
    matches = (match[1] for match in NOSEC_COMMENT_TESTS.finditer(names))
    return frozenset(TEST_IDS[name] for name in matches if name in TEST_IDS)


class _Driver:
    """The state of one walk."""

    def __init__(self, file: SourceFile) -> None:
        self.result = BanditResult()
        self._file = file
        self._data = io.BytesIO(file.data)
        self._nosec = nosec_lines(file.data) if "nosec" in file.text else {}
        self._imports: set[str] = set()
        self._aliases: dict[str, str] = {}
        self._linked: Sequence[Any] = ()

    def run(self) -> None:
        """Visit the nodes that a test may report, imports and calls in source order; then strings, then the text."""
        for node in self._file.nodes.postorder:
            if (visit := _VISITORS.get(node.__class__)) is not None:
                visit(self, node)
        for node, rules in candidate_strings(self._file.nodes):
            self._visit_string(node, rules)
        place = {"lineno": 0, "linerange": [0, 1], "col_offset": 0}
        self._run(rules_for_text(self._file.text), {"file_data": self._data, "filename": self._file.path, **place})

    def unlink(self) -> None:
        """Leave the tree as it was found; it is shared, and cycles would keep it in memory."""
        for node in self._linked:
            del node._bandit_parent  # noqa: SLF001

    def _link(self) -> None:
        """Tell every node its parent, once."""
        if not self._linked:
            self._linked = link_parents(self._file.tree)

    def _visit_call(self, node: ast.Call) -> None:
        name = called_name(node.func, self._aliases)
        imports_by_name = isinstance(node.func, ast.Name) and node.func.id == "__import__"
        keywords = tuple(keyword.arg for keyword in node.keywords) if node.keywords else ()
        rules = RULES["Call"] if imports_by_name else rules_for_call(name, keywords)
        if rules:
            self._run(rules, self._context(node) | {"call": node, "qualname": name, "name": name.rpartition(".")[2]})

    def _visit_string(self, node: ast.Constant, rules: Iterable[Rule]) -> None:
        self._link()
        parent = node._bandit_parent  # type: ignore[attr-defined]  # noqa: SLF001
        if not isinstance(parent, ast.Expr):  # a docstring
            self._run(rules, self._context(node) | {"str": node.value, "linerange": line_range(parent)})

    def _visit_function(self, node: ast.FunctionDef) -> None:
        if rules := rules_for_function(node):
            self._run(rules, self._context(node) | {"function": node, "qualname": node.name, "name": node.name})

    def _visit_import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.asname:
                self._aliases[alias.asname] = alias.name
            self._imports.add(alias.name)
        self._run(RULES["Import"], self._context(node) | {"module": node.names[-1].name})

    def _visit_import_from(self, node: ast.ImportFrom) -> None:
        if node.module is None:
            self._visit_import(node)
            return
        for alias in node.names:
            qualname = f"{node.module}.{alias.name}"
            self._aliases[alias.asname or alias.name] = qualname
            self._imports.add(qualname)
        names = {"module": node.module, "name": node.names[-1].name}
        self._run(RULES["ImportFrom"], self._context(node) | names)

    def _visit_other(self, node: Any) -> None:
        self._run(RULES[node.__class__.__name__], self._context(node))

    def _context(self, node: Any) -> dict[str, Any]:
        """What bandit tells its tests of every node."""
        return {
            "imports": self._imports,
            "import_aliases": self._aliases,
            "lineno": node.lineno,
            "col_offset": node.col_offset,
            "end_col_offset": node.end_col_offset,
            "node": node,
            "linerange": line_range(node),
            "filename": self._file.path,
            "file_data": self._data,
        }

    def _run(self, rules: Iterable[Rule], context: dict[str, Any]) -> None:
        for rule in rules:
            if rule.test_id in RULES_USING_PARENTS:
                self._link()
            try:
                found = rule.check(Context(context), *rule.configuration)
            except Exception as error:  # noqa: BLE001 - bandit, too, goes on without a test that raises
                self.result.failures.setdefault(rule.test_id, one_line(f"{type(error).__name__}: {error}", 120))
                continue
            if found is not None:
                self._keep(found, rule, context)

    def _keep(self, found: Any, rule: Rule, context: Mapping[str, Any]) -> None:
        test_id = found.test_id or rule.test_id
        silenced = self._silenced(found.lineno, context["linerange"])
        if silenced is not None and (not silenced or test_id in silenced):
            self.result.suppressed += 1
            return
        line = context["lineno"] if found.lineno is None else found.lineno
        self.result.issues.append(BanditIssue(test_id, found.severity, line, one_line(found.text)))

    def _silenced(self, own_line: int | None, lines: Iterable[int]) -> frozenset[str] | None:
        """The tests that the comments on the finding's own line and on its statement's first commented line silence.

        None without such a comment; an empty set means all tests.
        """
        if not self._nosec:
            return None
        own = None if own_line is None else self._nosec.get(own_line)
        around = next((self._nosec[line] for line in lines if line in self._nosec), None)
        if own is None and around is None:
            return None
        return (own or _NO_NOSEC) | (around or _NO_NOSEC)


def link_parents(tree: ast.Module) -> list[Any]:
    """Give every node its parent, as `_bandit_parent`; the nodes that have one now."""
    found: list[Any] = []
    pending: list[Any] = [tree]
    while pending:
        node = pending.pop()
        for name in CHILD_FIELDS[node.__class__]:
            part = getattr(node, name)
            for child in part if part.__class__ is list else (part,):
                if child.__class__ in CHILD_FIELDS:
                    child._bandit_parent = node  # noqa: SLF001 - where bandit's tests look for it
                    pending.append(child)
                    found.append(child)
    return found


def called_name(function: ast.expr, aliases: Mapping[str, str]) -> str:
    """The dotted name of what is called, imports resolved at each dot; what is no name counts as an empty one."""
    attributes = []
    while isinstance(function, ast.Attribute):
        attributes.append(function.attr)
        function = function.value
    name = aliases.get(function.id, function.id) if isinstance(function, ast.Name) else ""
    for attribute in reversed(attributes):
        name = f"{name}.{attribute}"
        name = aliases.get(name, name)
    return name


def line_range(node: Any) -> range:
    """The lines of a node; of one without a place of its own (arguments, a comprehension) those of its parts.

    Statements in it do not count, and of each part only the first line does: so bandit reckons.
    """
    if hasattr(node, "lineno"):
        return range(node.lineno, node.end_lineno + 1)
    first, last = 9999999999, -1
    pending = [getattr(node, name, None) for name in node._fields if name not in _STATEMENT_FIELDS]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending.extend(part)
        elif isinstance(part, ast.AST):
            line = getattr(part, "lineno", None)
            if line is not None:
                first, last = min(first, line), max(last, line)
            pending.extend(getattr(part, name, None) for name in part._fields)
    return range(first, last + 1) if last >= 0 else range(2)


_STATEMENT_FIELDS = frozenset({"body", "orelse", "handlers", "finalbody"})


_VISITORS: Mapping[Any, Callable[[_Driver, Any], None]] = {
    **{getattr(ast, name): _Driver._visit_other for name in RULES if name not in ("Bytes", "File", "Str")},  # noqa: SLF001
    ast.Call: _Driver._visit_call,  # noqa: SLF001
    ast.FunctionDef: _Driver._visit_function,  # noqa: SLF001
    ast.Import: _Driver._visit_import,  # noqa: SLF001
    ast.ImportFrom: _Driver._visit_import_from,  # noqa: SLF001
}
