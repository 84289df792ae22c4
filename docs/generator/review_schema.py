"""JSON Schema of what a result says beside its numbers: comparison, review, insights, standing, options."""

from docs.generator.json_schema import Schema, nullable, object_schema, schema_of, with_description
from domain.findings.comparison import FIXED_LIMIT, PATHS_LIMIT
from domain.findings.roles import Role
from domain.findings.severity import FindingSeverity
from domain.gate.evaluation import SHOWN_FINDINGS, Status, Verdict
from domain.gate.policy import MAX_CONDITIONS, ConditionKind
from domain.gate.review import STATED_LIMIT
from domain.insights.insight import MODEL_VERSION, InsightType
from domain.path_globs import MAX_GLOB_LENGTH, MAX_GLOBS
from domain.statistics.standing import GRADES, HIGHER_IS_BETTER
from domain.tags import MAX_CATEGORIES, MAX_TAG_LENGTH, MAX_VALUES

INTEGER: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
PERCENT: Schema = {"type": "number", "minimum": 0, "maximum": 100}
TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
QUALITY_MEANING = "Mean health of the source files without churn, weighted by source lines. Null where it is not known."


def definitions() -> dict[str, Schema]:
    """Return the definitions, by name."""
    return {
        "comparison": _comparison(),
        "review": _review(),
        "policy": _policy(),
        "criterion": _criterion(),
        "insight": _insight(),
        "standing": _standing(),
        "options": _options(),
    }


def result_properties() -> dict[str, Schema]:
    """Return the properties of a result that refer to the definitions."""
    insights: Schema = {"type": "array", "items": _part("insight")}
    return {
        "comparison": with_description(
            nullable(_part("comparison")), "The comparison with the baseline; null where no earlier run can be one."
        ),
        "quality_score": with_description(nullable(PERCENT), QUALITY_MEANING),
        "review": with_description(nullable(_part("review")), "The quality gate; null for runs of earlier versions."),
        "insights": with_description(nullable(insights), "What stands out, the highest confidence first."),
        "standing": with_description(nullable(_part("standing")), "Where the run stands among well-known packages."),
        "options": with_description(_part("options"), "What the submission asked for beside the source."),
        "tags": with_description(nullable(_tags()), "The run's tags, each category with its values."),
    }


def _part(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _review() -> Schema:
    stated: Schema = {"type": "array", "maxItems": STATED_LIMIT, "items": TEXT}
    criteria: Schema = {"type": "array", "maxItems": MAX_CONDITIONS, "items": _part("criterion")}
    return object_schema(
        {
            "verdict": with_description(
                schema_of(Verdict), "`REJECTED` if a condition fails; `NOT_EVALUATED` without a baseline."
            ),
            "policy": _part("policy"),
            "criteria": with_description(criteria, "The answer of each condition, in the policy's order."),
            "strengths": with_description(stated, "What became better, and numbers among the best fifth of packages."),
            "weaknesses": with_description(stated, "What stands out, and numbers among the worst fifth of packages."),
        }
    )


def _condition_properties() -> dict[str, Schema]:
    return {
        "kind": with_description(schema_of(ConditionKind), "What it counts or compares."),
        "max": with_description(NUMBER, "The highest value that passes."),
        "severity": with_description(schema_of(FindingSeverity), "Only for kinds that count findings."),
        "metrics": with_description(
            {"type": "array", "items": TEXT}, "The metrics whose findings count; empty: all. Only for such kinds."
        ),
    }


_ONLY_FOR_FINDINGS = ("severity", "metrics")


def _policy() -> Schema:
    condition = object_schema(_condition_properties(), optional=_ONLY_FOR_FINDINGS)
    roles: Schema = {"type": "array", "items": schema_of(Role)}
    return object_schema(
        {
            "conditions": {"type": "array", "minItems": 1, "maxItems": MAX_CONDITIONS, "items": condition},
            "small_change_lines": with_description(
                INTEGER, "With fewer added lines, conditions per 100 lines are waived."
            ),
            "roles": with_description(roles, "Only files with these roles count."),
        }
    )


def _criterion() -> Schema:
    findings: Schema = {"type": "array", "maxItems": SHOWN_FINDINGS, "items": _part("finding")}
    return object_schema(
        {
            **_condition_properties(),
            "status": with_description(schema_of(Status), "`not_evaluated` where its numbers are not known."),
            "value": with_description(nullable(NUMBER), "What was measured."),
            "baseline": with_description(nullable(NUMBER), "The baseline's number, for kinds that compare numbers."),
            "reason": with_description(TEXT, "One sentence."),
            "findings": with_description(findings, "Those of its findings that weigh most."),
        },
        optional=_ONLY_FOR_FINDINGS,
    )


def _insight() -> Schema:
    return object_schema(
        {
            "type": schema_of(InsightType),
            "title": TEXT,
            "description": TEXT,
            "confidence_score": with_description(
                {"type": "number", "minimum": 0, "maximum": 1}, "Completeness, sample and effect as one number."
            ),
            "data": with_description(
                {"type": "object"}, "Its numbers, its `places`, and under `refuted_by` what would show it wrong."
            ),
            "tags": {"type": "array", "items": TEXT},
            "model_version": with_description(TEXT, f"What made it: `{MODEL_VERSION}` is the rules of this version."),
        }
    )


def _standing() -> Schema:
    ranks = object_schema(dict.fromkeys(HIGHER_IS_BETTER, PERCENT), optional=tuple(HIGHER_IS_BETTER))
    return object_schema(
        {
            "percentiles": with_description(ranks, "Mid-rank of each number, 100 is the best; source files only."),
            "grade": with_description(
                nullable({"enum": sorted(GRADES)}), "By fifths of the packages' quality scores; `A` is the best."
            ),
            "reason": with_description(MAYBE_TEXT, "Why nothing is known: the packages were measured by other tools."),
            "packages": with_description(INTEGER, "How many packages there are."),
        }
    )


def _options() -> Schema:
    names: Schema = {"type": "array", "minItems": 1, "items": TEXT}
    globs: Schema = {
        "type": "array", "minItems": 1, "maxItems": MAX_GLOBS,
        "items": {"type": "string", "minLength": 1, "maxLength": MAX_GLOB_LENGTH},
    }  # fmt: skip
    return object_schema(
        {
            "baseline": with_description({"type": "string", "format": "uuid"}, "The run to compare with."),
            "gate": with_description(_part("policy"), "The policy to judge by."),
            "collectors": with_description(names, "The metrics to measure; absent: all."),
            "include": with_description(globs, "Globs of the files to measure; absent: all."),
            "exclude": with_description(globs, "Globs of files to leave out."),
            "evaluation_id": with_description(
                {"type": "string", "format": "uuid"}, "The evaluation that the job is a member of."
            ),
            "tags": with_description(_tags(), "The tags that the run gets; a run keeps them apart from its options."),
        },
        optional=("baseline", "gate", "collectors", "include", "exclude", "tags", "evaluation_id"),
    )


def _tags() -> Schema:
    text: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TAG_LENGTH}
    values: Schema = {"type": "array", "minItems": 1, "maxItems": MAX_VALUES, "items": text}
    return {
        "type": "object", "maxProperties": MAX_CATEGORIES, "propertyNames": text, "additionalProperties": values
    }  # fmt: skip


def _comparison() -> Schema:
    counts: Schema = {"type": "object", "additionalProperties": {"type": "object"}}
    paths = object_schema({"total": INTEGER, "items": {"type": "array", "maxItems": PATHS_LIMIT, "items": TEXT}})
    renames: Schema = {"type": "array", "maxItems": PATHS_LIMIT, "items": object_schema({"from": TEXT, "to": TEXT})}
    fixed: Schema = {"type": "array", "maxItems": FIXED_LIMIT, "items": _part("finding")}
    files = {"added": paths, "removed": paths, "changed": paths}
    return object_schema(
        {
            "baseline_run_id": with_description(
                MAYBE_TEXT, "The earlier run; null once it was deleted, and for a file of `vibe8 analyze`."
            ),
            "chosen_as": with_description(
                {"enum": ["submitted", "pinned", "same branch", "default branch"]}, "Why this run is the baseline."
            ),
            "counts": with_description(counts, "Findings of the run by metric, severity, state and role."),
            "baseline_counts": with_description(counts, "Findings of the baseline, likewise."),
            "metrics": with_description(
                object_schema({"before": {"type": "object"}, "after": {"type": "object"}}), "`metrics` of both runs."
            ),
            "files": object_schema({**files, "renamed": object_schema({"total": INTEGER, "items": renames})}),
            "fixed": with_description(
                object_schema({"total": INTEGER, "items": fixed}), "Findings of the baseline that are gone."
            ),
            "tool_versions": with_description(
                {"type": "object", "additionalProperties": {"type": "array", "items": MAYBE_TEXT}},
                "Versions before and after of the tools that changed.",
            ),
            "selections": with_description(
                nullable(object_schema({"before": _part("options"), "after": _part("options")})),
                "What the options of both runs chose to measure; null where it is the same.",
            ),
        },
        optional=("selections",),
    )
