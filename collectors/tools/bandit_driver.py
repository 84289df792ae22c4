"""Driver of bandit's tests over a parsed file, which gives them the same input as bandit's own visitor.

bandit 1.9.4 (`bandit/core/node_visitor.py`, `bandit/core/tester.py`) spends most of its time around its tests: it
builds a context for every node, calls every test for every call expression, and recurses. Here a context is built only
for a node that some test may report (`collectors.tools.bandit_rules`). The nodes come from the walk that all collectors
share, and get links to their parents only if a test needs them.

The input is the same: the same keys in the context, imports in source order, and each node's parent. Only
`_bandit_sibling` is left out. bandit uses it to estimate the last line of nodes that no test examines.
"""

import ast
import io
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from collectors.source.source_lines import column_at
from collectors.source.source_tree import SourceFile
from collectors.source.syntax_walk import CHILD_FIELDS
from collectors.tools.bandit_library import NOSEC_COMMENT, NOSEC_COMMENT_TESTS, Context
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

_NO_TESTS: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class BanditIssue:
    """One finding of a test; `severity` is `HIGH`, `MEDIUM` or `LOW`, `text` is one line.

    Lines and columns count from 1, columns in code points. A column is None where bandit gives none in that line.
    """

    test_id: str
    severity: str
    line: int
    text: str
    column: int | None
    end_line: int | None
    end_column: int | None


@dataclass(slots=True)
class BanditResult:
    """bandit's result for a file.

    `suppressed` counts the findings that a `#nosec` comment hides. `failures` maps the id of a test that raised an
    exception to the first exception; like bandit, the driver skips the test at that node and continues.
    """

    issues: list[BanditIssue] = field(default_factory=list)
    suppressed: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def run_bandit(file: SourceFile) -> BanditResult:
    """Run bandit's tests over the file; return the issues in order of lines. Raises UnparsableError."""
    driver = _Driver(file)
    try:
        driver.run()
    finally:
        driver.unlink_parents()
    driver.result.issues.sort(key=lambda issue: (issue.line, issue.test_id, issue.text, issue.column or 0))
    return driver.result


def nosec_lines(data: bytes) -> dict[int, frozenset[str]]:
    """Return the test ids that each line's `#nosec` comment names; an empty set silences all tests.

    The bytes are tokenized, not the decoded text, because bandit counts lines in the bytes. Where the tokenizer fails,
    the comments before that place count. See `bandit/core/manager.py`.
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
    """Return the ids of the known tests among the names; bandit ignores unknown names."""
    matches = (match[1] for match in NOSEC_COMMENT_TESTS.finditer(names))
    return frozenset(TEST_IDS[name] for name in matches if name in TEST_IDS)


class _Driver:
    """One run of the tests over one file."""

    def __init__(self, file: SourceFile) -> None:
        self.result = BanditResult()
        self._file = file
        self._data = io.BytesIO(file.data)
        self._nosec = nosec_lines(file.data) if "nosec" in file.text else {}
        self._imports: set[str] = set()
        self._aliases: dict[str, str] = {}
        self._linked: Sequence[Any] = ()

    @cached_property
    def _lines(self) -> Sequence[str]:
        return self._file.text.split("\n")

    def run(self) -> None:
        """Visit the nodes that a test may report, in source order; then the strings, then the text as a whole."""
        for node in self._file.nodes.postorder:
            if (visit := _VISITORS.get(node.__class__)) is not None:
                visit(self, node)
        for node, rules in candidate_strings(self._file.nodes):
            self._visit_string(node, rules)
        start = {"lineno": 0, "linerange": [0, 1], "col_offset": 0}
        self._run(rules_for_text(self._file.text), {"file_data": self._data, "filename": self._file.path, **start})

    def unlink_parents(self) -> None:
        """Remove the links to parents: the tree is shared, and reference cycles would keep it in memory."""
        for node in self._linked:
            del node._bandit_parent  # noqa: SLF001

    def _link_parents(self) -> None:
        """Link every node to its parent, once per file."""
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
        self._link_parents()
        parent = node._bandit_parent  # type: ignore[attr-defined]  # noqa: SLF001
        if not isinstance(parent, ast.Expr):  # bandit skips expression statements, such as docstrings
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
        """Return the context that bandit gives its tests for every node."""
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
                self._link_parents()
            try:
                found = rule.check(Context(context), *rule.configuration)
            except Exception as error:  # noqa: BLE001 - bandit also continues without a test that raises
                self.result.failures.setdefault(rule.test_id, one_line(f"{type(error).__name__}: {error}", 120))
                continue
            if found is not None:
                self._add(found, rule, context)

    def _add(self, found: Any, rule: Rule, context: Mapping[str, Any]) -> None:
        test_id = found.test_id or rule.test_id
        silenced = self._silenced_tests(found.lineno, context["linerange"])
        if silenced is not None and (not silenced or test_id in silenced):
            self.result.suppressed += 1
            return
        line = context["lineno"] if found.lineno is None else found.lineno
        place = self._place(found, line, context)
        self.result.issues.append(BanditIssue(test_id, found.severity, line, one_line(found.text), *place))

    def _place(self, found: Any, line: int, context: Mapping[str, Any]) -> tuple[int | None, int | None, int | None]:
        """Return the column, the last line, and the column after the last character.

        bandit's line may be that of an argument, while its columns are those of the node: then there is no column. The
        last line is that of bandit's range, which may be the range of the node's parent: then there is no end column.
        """
        node = context.get("node")
        if node is None:  # a test of the text as a whole gives a column of code points from 1
            return (found.col_offset if found.col_offset > 0 else None), line, None
        end_line = found.linerange[-1] if found.linerange else context["linerange"][-1]
        column = column_at(self._lines, line, node.col_offset) if line == node.lineno else None
        end = column_at(self._lines, end_line, node.end_col_offset) if end_line == node.end_lineno else None
        return column, max(line, end_line), end

    def _silenced_tests(self, own_line: int | None, lines: Iterable[int]) -> frozenset[str] | None:
        """Return the tests silenced on the finding's own line and on the first commented line of its statement.

        None without such a comment; an empty set means all tests. See `BanditTester._get_nosecs_from_contexts`.
        """
        if not self._nosec:
            return None
        own = None if own_line is None else self._nosec.get(own_line)
        in_statement = next((self._nosec[line] for line in lines if line in self._nosec), None)
        if own is None and in_statement is None:
            return None
        return (own or _NO_TESTS) | (in_statement or _NO_TESTS)


def link_parents(tree: ast.Module) -> list[Any]:
    """Set `_bandit_parent` of every node to its parent; return the nodes that have one."""
    linked: list[Any] = []
    pending: list[Any] = [tree]
    while pending:
        node = pending.pop()
        for name in CHILD_FIELDS[node.__class__]:
            value = getattr(node, name)
            for child in value if value.__class__ is list else (value,):
                if child.__class__ in CHILD_FIELDS:
                    child._bandit_parent = node  # noqa: SLF001 - bandit's tests read it
                    pending.append(child)
                    linked.append(child)
    return linked


def called_name(function: ast.expr, aliases: Mapping[str, str]) -> str:
    """Return the dotted name of the called object, with imports resolved at each dot.

    An expression that is not a name counts as an empty name. See `get_call_name` in `bandit/core/utils.py`.
    """
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
    """Return the lines of a node, as `linerange` in `bandit/core/utils.py` does.

    A node without a position of its own (arguments, a comprehension) has the lines of its descendants, except
    statements. Only the first line of each descendant counts.
    """
    if hasattr(node, "lineno"):
        return range(node.lineno, node.end_lineno + 1)
    first, last = 9999999999, -1
    pending = [getattr(node, name, None) for name in node._fields if name not in _STATEMENT_FIELDS]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, ast.AST):
            line = getattr(value, "lineno", None)
            if line is not None:
                first, last = min(first, line), max(last, line)
            pending.extend(getattr(value, name, None) for name in value._fields)
    return range(first, last + 1) if last >= 0 else range(2)


_STATEMENT_FIELDS = frozenset({"body", "orelse", "handlers", "finalbody"})


_VISITORS: Mapping[Any, Callable[[_Driver, Any], None]] = {
    **{getattr(ast, name): _Driver._visit_other for name in RULES if name not in ("Bytes", "File", "Str")},  # noqa: SLF001
    ast.Call: _Driver._visit_call,  # noqa: SLF001
    ast.FunctionDef: _Driver._visit_function,  # noqa: SLF001
    ast.Import: _Driver._visit_import,  # noqa: SLF001
    ast.ImportFrom: _Driver._visit_import_from,  # noqa: SLF001
}
