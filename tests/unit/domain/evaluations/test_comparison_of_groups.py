"""The comparison of groups: who is in one, what is tested, and when nothing is said."""

import pytest

from domain.evaluations.comparison import (
    EQUAL_VALUES,
    NO_DIFFERENCE,
    TOO_FEW,
    PairTest,
    compare_by_task,
    compare_groups,
    groups_of,
    tasks_of,
)
from domain.evaluations.evaluation import Member, MemberState
from domain.evaluations.measures import MEASURES
from domain.evaluations.results import results_to_json
from tests.unit.domain.evaluations.sample_evaluations import HUMAN, evaluation, group, lost, member, model

GPT, LLM = model("gpt"), model("llm")


def pair_tests(members: list[Member]) -> list[PairTest]:
    return compare_groups(groups_of(members))


def reasons(members: list[Member]) -> set[tuple[str | None, str | None]]:
    """Return what the tests say: the group with the higher values, and why none is named."""
    verdicts = [test.verdict for test in pair_tests(members)]
    return {(verdict.higher, verdict.reason) for verdict in verdicts if verdict is not None}


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (1, (None, TOO_FEW)),
        (3, (None, TOO_FEW)),  # p is at least 0.1
        (5, (None, TOO_FEW)),  # 0.0079 is above 0.05 / 10
        (6, ("gpt", None)),  # 0.0022
        (21, ("gpt", None)),  # no longer exact
    ],
)
def test_two_groups_that_do_not_overlap(size: int, said: tuple[str | None, str | None]) -> None:
    members = group(HUMAN, range(size)) + group(GPT, range(size, 2 * size))
    assert reasons(members) == {said}


def test_numbers_of_six_against_six() -> None:
    (first, *_) = pair_tests(group(HUMAN, range(6)) + group(GPT, range(6, 12)))
    assert (first.first, first.second) == (HUMAN, GPT)
    assert [sample.median for sample in first.samples] == [2.5, 8.5]
    assert (first.u, first.dominance.delta) == (0.0, -1.0)
    assert first.p_value == pytest.approx(2 / 924)
    assert first.verdict is not None
    assert first.verdict.p_holm == pytest.approx(20 / 924)


def test_every_further_pair_of_groups_needs_more_projects() -> None:
    """Three groups have 30 tests: 0.0022 is above 0.05 / 30."""
    two = group(HUMAN, range(6)) + group(GPT, range(6, 12))
    assert reasons([*two, *group(LLM, range(12, 18))]) == {(None, TOO_FEW)}
    seven = [*group(HUMAN, range(7)), *group(GPT, range(7, 14)), *group(LLM, range(14, 21))]
    assert reasons(seven) == {("gpt", None), ("llm", None)}


def test_groups_that_overlap_show_no_difference() -> None:
    assert reasons(group(HUMAN, range(10)) + group(GPT, range(10))) == {(None, NO_DIFFERENCE)}


def test_equal_values_are_another_reason_than_few_projects() -> None:
    assert reasons(group(HUMAN, [0] * 10) + group(GPT, [0] * 9 + [4])) == {(None, EQUAL_VALUES)}


def test_a_project_without_a_value_counts_where_it_has_one() -> None:
    members = [*group(HUMAN, range(6)), *group(GPT, range(6)), member(GPT, None)]
    assert {test.samples[1].projects for test in pair_tests(members)} == {6}
    assert [len(each.members) for each in groups_of(members)] == [6, 7]


def test_group_without_any_result_is_named_and_not_tested() -> None:
    members = [*group(HUMAN, range(6)), lost(GPT, MemberState.FAILED)]
    assert pair_tests(members) == []
    document = results_to_json(evaluation(members))
    assert [(each["author"], each["projects"], each["submitted"]) for each in document["groups"]] == [
        ("human", 6, 6),
        ("gpt", 0, 1),
    ]
    assert document["overall"]["pairs"] == []


@pytest.mark.parametrize("state", [MemberState.FAILED, MemberState.CANCELLED, MemberState.DELETED])
def test_projects_without_a_result_are_named(state: MemberState) -> None:
    members = [*group(HUMAN, range(6)), *group(GPT, range(6)), lost(GPT, state, task="sort", source="x.zip")]
    (left_out,) = results_to_json(evaluation(members))["left_out"]
    assert left_out.pop("job_id") == members[-1].declared.job_id
    assert left_out == {
        "source": "x.zip", "author": "gpt", "task": "sort", "state": str(state), "reason": f"it was {state}"
    }  # fmt: skip


@pytest.mark.parametrize(("tasks", "said"), [(8, (None, TOO_FEW)), (9, ("gpt", None))])
def test_nine_tasks_are_the_fewest_that_a_comparison_by_task_needs(
    tasks: int, said: tuple[str | None, str | None]
) -> None:
    names = [f"task {number}" for number in range(tasks)]
    members = group(HUMAN, range(tasks), names) + group(GPT, [value + 0.5 for value in range(tasks)], names)
    tests = compare_by_task(groups_of(members), tasks_of(members))
    assert len(tests) == len(MEASURES)
    assert {(test.verdict.higher, test.verdict.reason) for test in tests if test.verdict} == {said}
    assert {test.rises for test in tests} == {0.0}


def test_several_projects_of_a_task_count_by_their_median() -> None:
    members = group(HUMAN, [1, 2, 9], ["a"] * 3) + group(GPT, [5, 3], ["a", "a"])
    (first, *_) = compare_by_task(groups_of(members), ["a"])
    assert (first.tasks, first.differing, first.rises) == (1, 1, 0.0)  # 2 against 4


@pytest.mark.parametrize("other", [member(HUMAN, 1, task="b"), member(HUMAN, 1, task="")])
def test_no_comparison_by_task_where_a_group_lacks_one(other: Member) -> None:
    members = [*group(HUMAN, [1], ["a"]), *group(GPT, [2], ["a"]), other]
    assert compare_by_task(groups_of(members), tasks_of(members)) == []


def test_results_say_who_declared_the_authors_and_that_this_is_no_experiment() -> None:
    document = results_to_json(evaluation(group(HUMAN, range(6)) + group(GPT, range(6))))
    declared, observed = document["caveats"]
    assert "declared by the submitter" in declared
    assert "observation and not an experiment" in observed


def test_tasks_have_medians_and_deltas_and_no_test() -> None:
    members = group(HUMAN, [1, 2], ["a", "b"]) + group(GPT, [3, 4], ["a", "b"])
    first, second = results_to_json(evaluation(members))["by_task"]
    assert (first["task"], second["task"]) == ("a", "b")
    assert first["medians"]["lint_density"] == {
        "human": {"projects": 1, "median": 1}, "gpt": {"projects": 1, "median": 3}
    }  # fmt: skip
    assert first["deltas"][0].keys() == {"measure", "first", "second", "delta", "delta_low", "delta_high"}
    assert (first["deltas"][0]["delta"], len(first["deltas"])) == (-1.0, 10)


def test_people_come_first_and_their_names_do_not_part_them() -> None:
    members = group(model("a model"), [1]) + group(HUMAN, [1, 2]) + group(model("Zed"), [1])
    assert [each.author.label for each in groups_of(members)] == ["human", "Zed", "a model"]
