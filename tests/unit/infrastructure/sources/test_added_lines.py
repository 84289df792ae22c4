"""Added lines as a child counts them, and as the worker reads what a child says."""

from typing import Any

import pytest

from domain.errors import PermanentError
from infrastructure.sources.git.added_lines import count_added_lines, read_added_lines


class History:
    def added_lines(self, since: str) -> dict[str, int] | None:
        if since == "broken":
            raise PermanentError("git says no")
        return {"known": {"a.py": 3, "b.py": 4, "tests/test_a.py": 5, "skipped.py": 100}}.get(since)


def test_lines_are_counted_by_role_and_commits_without_an_answer_are_left_out() -> None:
    roles = {"a.py": "source", "b.py": "source", "tests/test_a.py": "test"}
    history: Any = History()
    counted = count_added_lines(history, ["known", "unknown", "broken", "beyond the limit"], roles)
    assert counted == {"known": {"source": 7, "test": 5}}


@pytest.mark.parametrize("value", [None, 7, "x", [], {"c": 1}, {"other": {"source": 1}}])
def test_what_a_child_may_not_say_is_not_read(value: Any) -> None:
    assert read_added_lines(value, ["c"]) == {}


def test_only_known_roles_and_sizes_are_read() -> None:
    said = {"c": {"source": 3, "test": -1, "docs": True, "example": "1", "generated": 10**12, "else": 1}}
    assert read_added_lines(said, ["c"]) == {"c": {"source": 3}}
