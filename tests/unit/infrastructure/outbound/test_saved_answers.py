"""Answers of the package index that a user's commands keep: used once more, if nobody else can have written them."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from infrastructure.outbound.saved_answers import KEPT_SECONDS, MAX_ANSWERS, SavedAnswers


class Index:
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.prepared = False

    async def prepare(self) -> None:
        self.prepared = True

    async def latest_versions(self, packages: Sequence[str]) -> Mapping[str, str | None]:
        self.asked += packages
        return {name: "1.0" if name != "unknown" else None for name in packages if name != "silent"}

    async def aclose(self) -> None: ...


def saved(directory: Path, *, address: str = "", now: float = 1e9) -> tuple[SavedAnswers, Index]:
    index = Index()
    return SavedAnswers(index, directory, address, clock=lambda: now), index


async def fill(directory: Path, *names: str) -> Path:
    answers, _ = saved(directory)
    await answers.latest_versions(names)
    answers.save()
    return next(directory.iterdir())


async def test_next_run_asks_only_for_what_got_no_answer(tmp_path: Path) -> None:
    first, index = saved(tmp_path / "kept")
    await first.prepare()
    assert await first.latest_versions(["a", "unknown", "silent"]) == {"a": "1.0", "unknown": None}
    assert await first.latest_versions(["a"]) == {"a": "1.0"}
    assert (index.prepared, index.asked) == (True, ["a", "unknown", "silent"])
    first.save()
    second, index = saved(tmp_path / "kept", now=1e9 + KEPT_SECONDS - 1)
    await second.prepare()
    assert await second.latest_versions(["a", "unknown"]) == {"a": "1.0", "unknown": None}
    assert (index.prepared, index.asked) == (False, [])
    assert await second.latest_versions(["a", "silent", "b"]) == {"a": "1.0", "b": "1.0"}
    assert index.asked == ["silent", "b"]


@pytest.mark.parametrize("other", [{"now": 1e9 + KEPT_SECONDS}, {"now": 1e9 - 10}, {"address": "https://other"}])
async def test_expired_answers_and_those_of_another_index_are_not_used(tmp_path: Path, other: Any) -> None:
    await fill(tmp_path, "a")
    answers, index = saved(tmp_path, **other)
    await answers.latest_versions(["a"])
    assert index.asked == ["a"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"[1]",
        b"\xff",
        b"7",
        b"[" * 100_000,
        json.dumps({"a": 1, "b": ["x", "1"], "c": [1e9 + 9], "d": [1e9 + 9, 3], "a2": [1e9 + 9, "x" * 300]}).encode(),
        b'{"a": [1e9, NaN]}',
        b'{"a": [1000000009, "1.0"]}' + b" " * (1 << 20) + b"x",
    ],
)
async def test_damaged_file_counts_as_empty(tmp_path: Path, content: bytes) -> None:
    file = await fill(tmp_path, "a")
    file.write_bytes(content)
    answers, index = saved(tmp_path)
    assert await answers.latest_versions(["a", "b", "c", "d"]) == dict.fromkeys("abcd", "1.0")
    assert index.asked == ["a", "b", "c", "d"]


@pytest.mark.parametrize("change", ["writable", "link", "pipe"])
async def test_file_that_others_may_have_written_is_not_read(tmp_path: Path, change: str) -> None:
    file = await fill(tmp_path / "kept", "a")
    assert file.stat().st_mode & 0o777 == 0o600
    if change == "writable":
        file.chmod(0o620)
    elif change == "link":
        file.rename(tmp_path / "elsewhere")
        file.symlink_to(tmp_path / "elsewhere")
    else:
        file.unlink()
        os.mkfifo(file)
    answers, index = saved(tmp_path / "kept")
    await answers.latest_versions(["a"])
    assert index.asked == ["a"]


async def test_file_is_bounded_and_keeps_the_latest_answers(tmp_path: Path) -> None:
    await fill(tmp_path, "old")
    names = [f"name-{number}" for number in range(MAX_ANSWERS)]
    answers, _ = saved(tmp_path, now=1e9 + 1)
    await answers.latest_versions(names)
    answers.save()
    answers, index = saved(tmp_path, now=1e9 + 2)
    await answers.latest_versions([*names, "old"])
    assert index.asked == ["old"]


async def test_directory_that_cannot_be_written_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answers, _ = saved(tmp_path / "file" / "kept")
    assert await answers.latest_versions(["a"]) == {"a": "1.0"}
    answers.save()
