import pytest

from domain.history.coupling import CoupledPair, find_coupling


def commit(*paths: str) -> set[str]:
    return set(paths)


def pair(shared: int, left: int, right: int) -> CoupledPair:
    return CoupledPair("A", "B", shared, left, right, 0.0)


@pytest.mark.parametrize(
    ("counts", "degree"),
    [
        # The pairs of code-maat's own test, `calculates-coupling-by-degree`; it prints whole numbers.
        ((2, 2, 2), 100),
        ((1, 2, 1), 66),
        # Worked by hand: 6 shared of 8 and 12 revisions are 6 / 10.
        ((6, 8, 12), 60),
    ],
)
def test_degree_is_that_of_code_maat(counts: tuple[int, int, int], degree: int) -> None:
    assert int(pair(*counts).degree) == degree


def test_confidence_is_the_share_of_the_file_that_changes_less() -> None:
    assert pair(6, 8, 12).confidence == 0.75


def test_history_worked_by_hand() -> None:
    """30 commits: a and b together in 6, a alone in 2, b alone in 4, others in 18; of a pair x, y only 4 are shared."""
    commits = [
        *[commit("b", "a")] * 6, *[commit("a")] * 2, *[commit("b")] * 4,
        *[commit("x", "y")] * 4, commit("x"), commit("y"), *[commit("c")] * 12,
    ]  # fmt: skip
    found = find_coupling(commits)
    assert (found.commits, found.tested) == (30, 1)
    (only,) = found.pairs
    assert (only.left, only.right, only.shared, only.left_revisions, only.right_revisions) == ("a", "b", 6, 8, 10)
    assert only.degree == pytest.approx(100 * 6 / 9)
    # (C(8,6) C(22,4) + C(8,7) C(22,3) + C(8,8) C(22,2)) / C(30,10)
    assert only.p_value == pytest.approx((28 * 7315 + 8 * 1540 + 231) / 30_045_015)


def test_pairs_below_a_limit_are_left_out() -> None:
    four_shared = [*[commit("a", "b")] * 4, *[commit("a"), commit("b")] * 4]
    assert find_coupling(four_shared).tested == 0
    low_degree = [*[commit("a", "b")] * 5, *[commit("a")] * 30, *[commit("z")] * 900]  # 100 * 5 / 20 = 25
    assert (find_coupling(low_degree).tested, list(find_coupling(low_degree).pairs)) == (1, [])


def test_files_that_change_in_every_commit_are_not_coupled_beyond_chance() -> None:
    """a and b change in 9 of 10 commits each, and together in the 8 that follow from that."""
    commits = [*[commit("a", "b")] * 8, commit("a"), commit("b")]
    found = find_coupling(commits)
    assert found.tested == 1
    assert list(found.pairs) == []


def test_no_commit_has_no_pair() -> None:
    found = find_coupling([])
    assert (list(found.pairs), found.commits, found.tested) == ([], 0, 0)
