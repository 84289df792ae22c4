"""The comparison of an evaluation's groups: a group is the projects of one author, and a project is one value."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import comb
from statistics import median

from domain.evaluations.authors import Author, check_authors
from domain.evaluations.evaluation import Member
from domain.evaluations.measures import MEASURES
from domain.statistics.dominance import Dominance, cliffs_delta
from domain.statistics.formulas import holm
from domain.statistics.rank_tests import mann_whitney, wilcoxon

LEVEL = 0.05
TOO_FEW = "too few projects"
EQUAL_VALUES = "too many equal values"
NO_DIFFERENCE = "no difference shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The completed projects of one author, all of them or those of one task."""

    author: Author
    members: Sequence[Member]

    def values(self, measure: str) -> list[float]:
        """Return the projects' values of a measure; a project without one is left out."""
        found = (member.outcome.numbers.get(measure) for member in self.members)
        return [value for value in found if value is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The values of one measure in one group: their number, and the median (None without any)."""

    projects: int
    median: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a test shows at LEVEL: the label of the group with the higher values, or None with the reason why not.

    `p_holm` is the p-value adjusted for all tests of the table.
    """

    p_holm: float
    higher: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTest:
    """Two groups compared by one measure. `u` counts the pairs of projects in which the first one's value is higher.

    `delta` is positive where the first group's values are higher. `verdict` is None until all tests are known.
    """

    measure: str
    first: Author
    second: Author
    samples: tuple[Sample, Sample]
    u: float
    p_value: float
    exact: bool
    dominance: Dominance
    least_p: float
    least_p_of_sizes: float
    verdict: Verdict | None = None

    @property
    def higher(self) -> Author:
        """The author whose values are higher, by the sign of delta."""
        return self.first if self.dominance.delta > 0 else self.second


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTest:
    """Two groups compared task by task: the median of the first group's projects minus that of the second's.

    `tasks` counts the tasks, and `differing` those in which the medians differ.
    """

    measure: str
    first: Author
    second: Author
    tasks: int
    differing: int
    rises: float
    p_value: float
    exact: bool
    least_p: float
    verdict: Verdict | None = None

    @property
    def higher(self) -> Author:
        """The author whose values are higher in more of the ranks."""
        return self.first if self.rises * 4 > self.differing * (self.differing + 1) else self.second

    @property
    def least_p_of_sizes(self) -> float:
        """The smallest p-value of this many tasks, if the medians differed in all."""
        return min(1.0, 2.0 ** (1 - self.tasks))


def groups_of(members: Iterable[Member]) -> list[Group]:
    """Return a group for each declared author, people first; of members without a result only the author counts."""
    listed = list(members)
    return [
        Group(
            author=author,
            members=[each for each in listed if each.declared.author == author and each.outcome.run_id is not None],
        )
        for author in check_authors(each.declared.author for each in listed)
    ]


def tasks_of(members: Iterable[Member]) -> list[str]:
    """Return the different tasks in alphabetical order, without that of projects that have none."""
    return sorted({member.declared.task for member in members} - {""})


def of_task(group: Group, task: str) -> Group:
    """Return the part of a group that is of one task."""
    return replace(group, members=[member for member in group.members if member.declared.task == task])


def sample(values: Sequence[float]) -> Sample:
    """Return the number of values and their median."""
    return Sample(projects=len(values), median=median(values) if values else None)


def compare_groups(groups: Sequence[Group]) -> list[PairTest]:
    """Test each pair of groups by each measure of which both have values; Holm's adjustment is over all of them."""
    tests = [
        _pair_test(measure.name, first, second)
        for first, second in combinations(groups, 2)
        for measure in MEASURES
        if first.values(measure.name) and second.values(measure.name)
    ]
    return [replace(test, verdict=verdict) for test, verdict in zip(tests, _verdicts(tests), strict=True)]


def _pair_test(measure: str, first: Group, second: Group) -> PairTest:
    one, other = first.values(measure), second.values(measure)
    found = mann_whitney(one, other)
    return PairTest(
        measure=measure,
        first=first.author,
        second=second.author,
        samples=(sample(one), sample(other)),
        u=found.u,
        p_value=found.p_value,
        exact=found.exact,
        dominance=cliffs_delta(one, other),
        least_p=found.least_p,
        least_p_of_sizes=min(1.0, 2 / comb(len(one) + len(other), len(one))),
    )


def compare_by_task(groups: Sequence[Group], tasks: Sequence[str]) -> list[PairedTest]:
    """Test each pair of groups that both have a result in every task; Holm's adjustment is over all of these tests.

    A pair of groups is left out where one of them lacks a task, and where a project is of none.
    """
    tests = [
        test
        for first, second in combinations(groups, 2)
        for measure in MEASURES
        if (test := _paired_test(measure.name, first, second, tasks)) is not None
    ]
    return [replace(test, verdict=verdict) for test, verdict in zip(tests, _verdicts(tests), strict=True)]


def _paired_test(measure: str, first: Group, second: Group, tasks: Sequence[str]) -> PairedTest | None:
    if not tasks or any(not member.declared.task for group in (first, second) for member in group.members):
        return None
    differences = []
    for task in tasks:
        one, other = of_task(first, task).values(measure), of_task(second, task).values(measure)
        if not one or not other:
            return None
        differences.append(median(one) - median(other))
    found = wilcoxon(differences)
    return PairedTest(
        measure=measure,
        first=first.author,
        second=second.author,
        tasks=len(tasks),
        differing=found.pairs,
        rises=found.rises,
        p_value=found.p_value,
        exact=found.exact,
        least_p=found.least_p,
    )


def _verdicts(tests: Sequence[PairTest | PairedTest]) -> list[Verdict]:
    """Return the verdict on each test.

    The smallest p-value of a table must be at most LEVEL divided by the number of tests to show anything. Where the
    numbers of projects do not allow one that small, there are too few, and nothing is said of the groups.
    """
    limit = LEVEL / max(1, len(tests))
    return [
        _verdict(test, adjusted, limit)
        for test, adjusted in zip(tests, holm([test.p_value for test in tests]), strict=True)
    ]


def _verdict(test: PairTest | PairedTest, adjusted: float, limit: float) -> Verdict:
    if adjusted <= LEVEL:
        return Verdict(p_holm=adjusted, higher=test.higher.label, reason=None)
    if test.least_p_of_sizes > limit:
        reason = TOO_FEW
    elif test.least_p > limit:
        reason = EQUAL_VALUES
    else:
        reason = NO_DIFFERENCE
    return Verdict(p_holm=adjusted, higher=None, reason=reason)


def differing_tools(members: Iterable[Member]) -> Mapping[str, Sequence[str]]:
    """Return the tools that did not measure all projects in the same version, each with its versions."""
    versions: dict[str, set[str]] = {}
    for member in members:
        for tool, version in member.outcome.tool_versions.items():
            versions.setdefault(tool, set()).add(version)
    return {tool: sorted(found) for tool, found in sorted(versions.items()) if len(found) > 1}
