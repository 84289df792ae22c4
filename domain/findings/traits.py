"""What a run says of its metrics that have findings, so that it can be compared without the collectors' modules."""

from collections.abc import Mapping
from dataclasses import dataclass

from domain.findings.identity import FindingIdentity, IdentityKind, TreeRules
from domain.text import JSON


class InvalidTraitsError(ValueError):
    """The document of a run does not describe its metrics as `MetricTraits.to_json` does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTraits:
    """What a comparison needs to know of a metric that has findings.

    `tool` is its key in `tool_versions`. `file_number` are the two keys, in the `metrics` of a file's node, of a number
    that is null where the file was not measured; None for a metric without numbers of files. With `needs_syntax` a file
    that does not parse has no other findings than its syntax errors.
    """

    identity: FindingIdentity
    tool: str
    file_number: tuple[str, str] | None
    needs_syntax: bool

    def to_json(self) -> dict[str, JSON]:
        """Return it as an object of `findings.metrics`."""
        rules = self.identity.tree_rules
        return {
            "tool": self.tool,
            "revision": self.identity.revision,
            "identity": self.identity.kind.value,
            "rule_family": self.identity.rule_family,
            "alerts": self.identity.alerts,
            "tree_rules": {"most": rules.most, "exceptions": list(rules.exceptions)},
            "file_number": None if self.file_number is None else list(self.file_number),
            "needs_syntax": self.needs_syntax,
        }


Traits = Mapping[str, MetricTraits]
"""By the metric's name."""


def traits_from_json(value: Mapping[str, JSON]) -> dict[str, MetricTraits]:
    """Return the traits by metric. Raises InvalidTraitsError; a run's document may have been damaged."""
    try:
        return {name: _from_json(of_metric) for name, of_metric in value.items()}
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise InvalidTraitsError(f"findings.metrics is not as this version writes it: {error!r}") from error


def _from_json(value: Mapping[str, JSON]) -> MetricTraits:
    rules, number = value["tree_rules"], value["file_number"]
    identity = FindingIdentity(
        kind=IdentityKind(value["identity"]),
        rule_family=value["rule_family"],
        alerts=bool(value["alerts"]),
        tree_rules=TreeRules(most=bool(rules["most"]), exceptions=tuple(rules["exceptions"])),
        revision=int(value["revision"]),
    )
    return MetricTraits(
        identity=identity,
        tool=str(value["tool"]),
        file_number=None if number is None else (str(number[0]), str(number[1])),
        needs_syntax=bool(value["needs_syntax"]),
    )
