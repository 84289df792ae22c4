from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from domain.findings.baseline import Candidate, Project, choose_baseline, likely_commits, paths_agree

OK = {"lint": "ok", "churn": "partial"}


def candidate(age: int, **fields: Any) -> Candidate:
    values: dict[str, Any] = {
        "branch": "main", "commit": f"c{age}", "on_default_branch": False, "pinned": False, "rejected": False,
        "collectors": OK, **fields
    }  # fmt: skip
    return Candidate(run_id=UUID(int=age), created_at=datetime(2026, 1, 1, tzinfo=UTC) - timedelta(days=age), **values)


def chosen(candidates: list[Candidate], **fields: Any) -> tuple[int, str] | None:
    found = choose_baseline(candidates, **{"branch": "main", "commit": "now", "collectors": OK, **fields})
    return None if found is None else (found[0].run_id.int, found[1])


def test_newest_run_of_the_branch_is_the_baseline() -> None:
    assert chosen([candidate(3), candidate(1, branch="other"), candidate(2)]) == (2, "same branch")
    assert chosen([]) is None


def test_without_one_the_newest_of_the_default_branch_is() -> None:
    main = candidate(2, branch="trunk", on_default_branch=True)
    assert chosen([candidate(1, branch="other"), main]) == (2, "default branch")
    assert chosen([candidate(1, branch="other")]) is None


def test_pinned_run_comes_first_whatever_its_branch() -> None:
    assert chosen([candidate(1), candidate(9, branch="release", pinned=True)]) == (9, "pinned")


def test_run_of_the_same_commit_is_no_baseline() -> None:
    assert chosen([candidate(1, commit="now"), candidate(2)]) == (2, "same branch")
    uploads = [candidate(1, branch=None, commit=None)]
    assert chosen(uploads, branch=None, commit=None) == (1, "same branch")


def test_run_that_is_less_complete_is_no_baseline() -> None:
    failed = {"lint": "failed", "churn": "ok"}
    assert chosen([candidate(1, collectors=failed), candidate(2)]) == (2, "same branch")
    assert chosen([candidate(1, collectors=failed)], collectors=failed) == (1, "same branch")


def test_run_that_its_gate_rejected_is_a_baseline_only_if_it_is_pinned() -> None:
    assert chosen([candidate(1, rejected=True), candidate(2)]) == (2, "same branch")
    assert chosen([candidate(1, rejected=True)]) is None
    assert chosen([candidate(1, rejected=True, pinned=True), candidate(2)]) == (1, "pinned")


def test_likely_commits_hold_that_of_every_baseline_that_can_be_chosen() -> None:
    runs = [
        candidate(1, branch="topic"), candidate(2, branch="topic"), candidate(3, branch="topic"),
        candidate(4, on_default_branch=True), candidate(5, branch="other"),
    ]  # fmt: skip
    assert likely_commits(runs, branch="topic") == ("c1", "c2", "c4")
    assert likely_commits(runs, branch="new") == ("c4",)
    assert likely_commits([*runs, candidate(9, pinned=True)], branch="new") == ("c9", "c4")
    main = [candidate(age, on_default_branch=True, rejected=age == 2) for age in (1, 2, 3)]
    assert likely_commits(main, branch=None) == ("c1", "c3")
    assert likely_commits([candidate(1, commit=None)], branch="main") == ()


@pytest.mark.parametrize(
    "url",
    [
        "https://GitHub.com/owner/repo",
        "http://github.com/owner/repo",
        "https://github.com/owner/repo.git",
        "https://github.com/owner/repo/",
        "https://github.com/owner/repo.git/",
    ],
)
def test_urls_of_one_repository_are_one_project(url: str) -> None:
    expected = Project.of(url="https://github.com/owner/repo", name=None, filename=None)
    assert Project.of(url=url, name="any name", filename=None) == expected
    assert Project.of(url="https://github.com/owner/Repo", name=None, filename=None) != expected


def test_project_is_the_repository_else_its_name_else_the_file() -> None:
    named, by_file = (Project.of(url=None, name=name, filename="a.zip") for name in ("P", None))
    assert named is not None
    assert by_file is not None
    assert (named.by_file_name, by_file.by_file_name) == (False, True)
    assert named.key != by_file.key
    assert Project.of(url=None, name="a.zip", filename=None) != by_file
    assert Project.of(url=None, name=None, filename=None) is None
    assert Project.of(url="http://[", name=None, filename=None) is not None


def test_uploads_with_one_file_name_agree_if_half_of_their_paths_do() -> None:
    assert paths_agree({"a", "b"}, {"a"})
    assert not paths_agree({"a", "b", "c"}, {"a"})
    assert paths_agree((), ())
