import os
from pathlib import Path

import pytest

from infrastructure.sources.git.bare_repository import (
    Head,
    UnusableHistoryError,
    copy_shallow_file,
    is_object_id,
    refs_view,
    resolve_head,
)

SHA = "a" * 40
OTHER = "b" * 40


def resolve(parent: Path, files: dict[str, str]) -> Head:
    with refs_view(parent) as view:
        for name, text in files.items():
            file = view / os.fsdecode(name.replace("__", "/").replace("_", "-"))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(os.fsencode(text))
        return resolve_head(view)


@pytest.mark.parametrize(
    ("files", "head"),
    [
        ({"HEAD": SHA + "\n"}, Head(SHA, None)),
        ({"HEAD": "c" * 64}, Head("c" * 64, None)),
        ({"HEAD": "ref: refs/heads/main\n", "refs__heads__main": SHA + "\n"}, Head(SHA, "main")),
        ({"HEAD": "ref: refs/heads/x/y\n", "refs__heads__x__y": SHA}, Head(SHA, "x/y")),
        (
            {
                "HEAD": "ref: refs/heads/main",
                "packed_refs": f"# pack-refs with: peeled\n{OTHER} refs/heads/a\n{SHA} refs/heads/main\n^{OTHER}\n",
            },
            Head(SHA, "main"),
        ),
        (  # a loose ref takes precedence over a packed one
            {"HEAD": "ref: refs/heads/m", "refs__heads__m": SHA, "packed_refs": f"{OTHER} refs/heads/m\n"},
            Head(SHA, "m"),
        ),
        (
            {"HEAD": "ref: refs/heads/a", "refs__heads__a": "ref: refs/heads/b", "refs__heads__b": SHA},
            Head(SHA, "a"),
        ),
        ({"HEAD": "ref: refs/heads/-x", "refs__heads__-x": SHA}, Head(SHA, "-x")),
        ({"HEAD": "ref: refs/heads/caf\udce9", "refs__heads__caf\udce9": SHA}, Head(SHA, "caf\\xe9")),
        (
            {"HEAD": "ref: refs/heads/\U0001f680#1@home", "packed_refs": f"{SHA} refs/heads/\U0001f680#1@home\n"},
            Head(SHA, "\U0001f680#1@home"),
        ),
        ({"HEAD": "ref: refs/remotes/origin/main", "refs__remotes__origin__main": SHA}, Head(SHA, None)),
        ({"HEAD": "ref: refs/tags/v1", "refs__tags__v1": SHA}, Head(SHA, None)),
        ({"HEAD": "ref: refs/heads/HEAD", "refs__heads__HEAD": SHA, "refs__tags__HEAD": OTHER}, Head(SHA, "HEAD")),
    ],
)
def test_head_is_resolved_through_symbolic_loose_and_packed_refs(
    files: dict[str, str], head: Head, tmp_path: Path
) -> None:
    assert resolve(tmp_path, files) == head
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "no HEAD"),
        ({"HEAD": ""}, "malformed"),
        ({"HEAD": "gibberish"}, "malformed"),
        ({"HEAD": SHA[:-1]}, "malformed"),
        ({"HEAD": "ref: refs/tags/v1"}, "no commit"),
        ({"HEAD": "ref: /etc/passwd"}, "malformed"),
        ({"HEAD": "ref: refs/heads/../../config"}, "malformed|no commit"),
        ({"HEAD": "ref: refs/heads/.invalid"}, "no commit"),  # written by the reftable format
        ({"HEAD": "ref: refs/heads/a\0b"}, "malformed|no commit"),
        ({"HEAD": "ref: refs/heads/main"}, "no commit"),
        ({"HEAD": "ref: refs/heads/main", "packed_refs": f"{SHA} refs/heads/maintenance\n"}, "no commit"),
        ({"HEAD": "ref: refs/heads/a", "refs__heads__a": "ref: refs/heads/a"}, "malformed|no commit"),
    ],
)
def test_unresolvable_head_is_refused_with_a_reason(files: dict[str, str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableHistoryError, match=reason):
        resolve(tmp_path, files)


def test_object_id_is_complete_and_lower_case() -> None:
    assert is_object_id(SHA.encode())
    assert is_object_id(b"0" * 64)
    assert not any(map(is_object_id, [b"a" * 39, b"a" * 41, b"A" * 40, b"-" + b"a" * 39, b"a" * 40 + b"\n"]))


def test_shallow_file_is_copied_if_valid_and_refused_if_malformed(tmp_path_factory: pytest.TempPathFactory) -> None:
    repository = tmp_path_factory.mktemp("repository")
    assert not copy_shallow_file(repository, None)
    assert not copy_shallow_file(repository, b"\n")
    assert not (repository / "shallow").exists()
    for content in (b"../../x", SHA.encode() + b" -x", b"\0" * 40):
        with pytest.raises(UnusableHistoryError, match="shallow"):
            copy_shallow_file(repository, content)
    assert copy_shallow_file(repository, f"{SHA}\n{OTHER}".encode())
    assert (repository / "shallow").read_text() == f"{SHA}\n{OTHER}\n"
