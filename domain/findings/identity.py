"""What identifies a finding from one run to the next: hashes of its line and of what it is about."""

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b, sha256

HASH_DIGITS = 16
"""Hexadecimal digits of a hash: 64 bits."""

MODULE = "<module>"
"""The identity of a finding about a module as a whole, which has no qualified name."""


def line_hash(line: bytes) -> str:
    """Return 16 hexadecimal digits of BLAKE2b of the line without ASCII white space."""
    return blake2b(b"".join(line.split()), digest_size=HASH_DIGITS // 2).hexdigest()


def content_digest(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 of a file's bytes."""
    return sha256(data).hexdigest()[:HASH_DIGITS]


def fingerprint(metric: str, family: str, identity: str, function: str | None) -> str:
    """Return the first 16 hexadecimal digits of SHA-256 over the four texts, with NUL between them.

    No path is part of it, so a finding keeps its fingerprint when its file is renamed.
    """
    key = "\0".join((metric, family, identity, function or ""))
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_DIGITS]


class IdentityKind(StrEnum):
    """What a finding is about, free of line numbers, values and the places of other files.

    Two findings of one rule family in one file with equal identity are the same finding in two runs.
    """

    QUALIFIED_NAME = "qualified name"
    """The dotted name of the function or class that the finding is about."""
    KIND_AND_NAME = "kind and name"
    """The kind of definition and its name, as in `unused-function` and `load`."""
    LINE_HASH = "line hash"
    """A hash of the line's text without white space."""
    BLOCK_HASH = "block hash"
    """The smallest hash of the windows of 50 tokens in a duplicated block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeRules:
    """The rules of a metric that look at all files: none but the `exceptions`, or with `most` all but these."""

    most: bool = False
    exceptions: tuple[str, ...] = ()

    def __contains__(self, rule: str) -> bool:
        return self.most != (rule in self.exceptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingIdentity:
    """What identifies a finding of the metric from one run to the next.

    `rule_family` replaces the rule in comparisons, for rules that contain a value (`CC-D`). With None each rule is
    its own family. `alerts` says whether a finding becomes an alert of GitHub's code scanning. `tree_rules`
    are those that look at all files, and not only at the one in which they report something. `revision` rises when the
    collector itself, and not its tool, says something else of the same bytes.
    """

    kind: IdentityKind
    rule_family: str | None = None
    alerts: bool = True
    tree_rules: TreeRules = TreeRules()
    revision: int = 1
