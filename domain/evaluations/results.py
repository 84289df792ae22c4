"""The document of an evaluation's results, from which every form of it is made."""

from collections.abc import Iterator, Sequence

from domain.evaluations.comparison import (
    LEVEL,
    Group,
    PairedTest,
    PairTest,
    compare_by_task,
    compare_groups,
    differing_tools,
    groups_of,
    of_task,
    sample,
    tasks_of,
)
from domain.evaluations.evaluation import Evaluation, EvaluationSummary, Member
from domain.evaluations.measures import MEASURES
from domain.statistics.dominance import CONFIDENCE, cliffs_delta
from domain.text import JSON

DECLARED = "Authorship is declared by the submitter and was not checked."
OBSERVED = (
    "This is an observation and not an experiment: a difference does not say that the author caused it, since the "
    "projects may also differ in task, size, age and purpose."
)


def results_to_json(evaluation: Evaluation) -> dict[str, JSON]:
    """Return the results: groups, medians, tests over all projects, by task, and what was left out.

    The shape is described in docs/evaluations.md.
    """
    members, groups = evaluation.members, groups_of(evaluation.members)
    tasks = tasks_of(members)
    tests, paired = compare_groups(groups), compare_by_task(groups, tasks)
    return {
        **summary_to_json(evaluation.summary),
        "caveats": [DECLARED, OBSERVED],
        "measures": [measure.to_json() for measure in MEASURES],
        "groups": [_group_to_json(group, members) for group in groups],
        "level": LEVEL,
        "confidence": CONFIDENCE,
        "tests": len(tests),
        "overall": {"medians": _medians(groups), "pairs": [_test_to_json(test) for test in tests]},
        "by_task": [_task_to_json(task, groups) for task in tasks],
        "paired": [_paired_to_json(test) for test in paired],
        "left_out": [_left_out(member) for member in members if member.outcome.run_id is None],
        "incomplete": list(_incomplete(members)),
        "differing_tools": {tool: list(versions) for tool, versions in differing_tools(members).items()},
        "members": [member_to_json(member) for member in members],
    }


def evaluation_to_json(evaluation: Evaluation) -> dict[str, JSON]:
    """Return an evaluation with its projects and without results, as it is before all have ended."""
    members = [member_to_json(member) for member in evaluation.members]
    return {**summary_to_json(evaluation.summary), "caveats": [DECLARED, OBSERVED], "members": members}


def summary_to_json(summary: EvaluationSummary) -> dict[str, JSON]:
    """Return what is known of the evaluation itself."""
    return {
        "evaluation_id": str(summary.evaluation_id),
        "name": summary.name,
        "description": summary.description,
        "model_name": summary.model_name,
        "dataset_name": summary.dataset_name,
        "status": str(summary.status),
        "projects": summary.members,
        "created_at": summary.created_at.isoformat(),
        "finished_at": None if summary.finished_at is None else summary.finished_at.isoformat(),
    }


def member_to_json(member: Member) -> dict[str, JSON]:
    """Return a project: what was declared, and how it ended."""
    outcome = member.outcome.to_json()
    return {**member.declared.to_json(), "author": member.declared.author.label, **outcome}


def _group_to_json(group: Group, members: Sequence[Member]) -> dict[str, JSON]:
    return {
        "author": group.author.label,
        "author_type": group.author.author_type,
        "projects": len(group.members),
        "submitted": sum(member.declared.author == group.author for member in members),
        "source_lines": sum(member.outcome.source_lines or 0 for member in group.members),
    }


def _medians(groups: Sequence[Group]) -> dict[str, JSON]:
    """Return by measure and author the number of projects with a value, and their median."""
    return {
        measure.name: {group.author.label: _sample_to_json(group, measure.name) for group in groups}
        for measure in MEASURES
    }


def _sample_to_json(group: Group, measure: str) -> dict[str, JSON]:
    found = sample(group.values(measure))
    return {"projects": found.projects, "median": found.median}


def _test_to_json(test: PairTest) -> dict[str, JSON]:
    return {
        "measure": test.measure,
        "first": test.first.label,
        "second": test.second.label,
        "projects": [each.projects for each in test.samples],
        "medians": [each.median for each in test.samples],
        "u": test.u,
        "p": test.p_value,
        "exact": test.exact,
        "delta": test.dominance.delta,
        "delta_low": test.dominance.low,
        "delta_high": test.dominance.high,
        **_verdict_to_json(test),
    }


def _verdict_to_json(test: PairTest | PairedTest) -> dict[str, JSON]:
    assert test.verdict is not None  # nosec B101 # noqa: S101 - those who make tests add it
    return {"p_holm": test.verdict.p_holm, "higher": test.verdict.higher, "reason": test.verdict.reason}


def _task_to_json(task: str, groups: Sequence[Group]) -> dict[str, JSON]:
    """Return the medians of a task's projects, and how much one group dominates another; there is no test of a task."""
    parts = [of_task(group, task) for group in groups]
    return {"task": task, "medians": _medians(parts), "deltas": list(_deltas(parts))}


def _deltas(groups: Sequence[Group]) -> Iterator[dict[str, JSON]]:
    for index, first in enumerate(groups):
        for second in groups[index + 1 :]:
            for measure in MEASURES:
                one, other = first.values(measure.name), second.values(measure.name)
                if one and other:
                    found = cliffs_delta(one, other)
                    yield {
                        "measure": measure.name,
                        "first": first.author.label,
                        "second": second.author.label,
                        "delta": found.delta,
                        "delta_low": found.low,
                        "delta_high": found.high,
                    }


def _paired_to_json(test: PairedTest) -> dict[str, JSON]:
    return {
        "measure": test.measure,
        "first": test.first.label,
        "second": test.second.label,
        "tasks": test.tasks,
        "differing": test.differing,
        "w": test.rises,
        "p": test.p_value,
        "exact": test.exact,
        **_verdict_to_json(test),
    }


def _left_out(member: Member) -> dict[str, JSON]:
    outcome, declared = member.outcome, member.declared
    named = {"source": declared.source, "author": declared.author.label, "task": declared.task}
    return {**named, "job_id": declared.job_id, "state": str(outcome.state), "reason": outcome.reason}


def _incomplete(members: Sequence[Member]) -> Iterator[dict[str, JSON]]:
    for member in members:
        if member.outcome.incomplete:
            yield {"source": member.declared.source, "collectors": list(member.outcome.incomplete)}
