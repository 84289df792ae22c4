"""What the exports say about the rules of a metric, in words of our own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

SUMMARY_LIMIT = 255
TEXT_LIMIT = 1_024
"""The most characters of a summary, and of an explanation or advice: GitHub's code scanning shows no more."""


@dataclass(frozen=True, slots=True)
class RuleText:
    """One rule: what it finds, why that matters, and what to do about it.

    Raises ValueError for a text that is empty or too long.
    """

    summary: str
    explanation: str
    advice: str

    def __post_init__(self) -> None:
        for text, limit in (
            (self.summary, SUMMARY_LIMIT),
            (self.explanation, TEXT_LIMIT),
            (self.advice, TEXT_LIMIT),
        ):
            if not 0 < len(text) <= limit:
                raise ValueError(f"text about a rule: 1 to {limit} characters, not {len(text)}: {text[:40]!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingRules:
    """The texts of a metric's rules.

    `texts` maps the beginning of rule identifiers to their text: `F401` is one rule, `F4` a group of them. `default` is
    the text of a rule that begins like none of these. `security` marks a metric whose findings are weaknesses of
    security: code scanning shows them apart, with a score.
    """

    default: RuleText
    texts: Mapping[str, RuleText] = field(default_factory=lambda: MappingProxyType({}))
    security: bool = False

    def text_of(self, rule: str) -> RuleText:
        """Return the text of the longest beginning of the rule that has one."""
        for length in range(min(len(rule), SUMMARY_LIMIT), 0, -1):
            text = self.texts.get(rule[:length])
            if text is not None:
                return text
        return self.default
