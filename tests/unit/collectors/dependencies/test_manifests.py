"""Manifests of every format, hostile ones too."""

import os
from pathlib import Path

import pytest

from collectors.dependencies.manifest_formats import (
    format_of,
    parse_lock,
    parse_pipfile,
    parse_pipfile_lock,
    parse_setup_cfg,
)
from collectors.dependencies.manifests import read_manifests
from collectors.dependencies.project_format import parse_pyproject
from collectors.dependencies.requirements_format import (
    Include,
    parse_requirement,
    parse_requirements,
)
from domain.metrics.manifest_files import MAX_MANIFEST_BYTES
from tests.unit.collectors.dependencies.manifest_trees import declared, names_of, write


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("requests", ("requests", None)),
        ("requests==2.31.0", ("requests", "2.31.0")),
        ("requests ===2.31.0", ("requests", "2.31.0")),
        ("Django>=4.2,==4.2.1", ("Django", "4.2.1")),
        ("Django==4.2.*", ("Django", None)),
        ("a[x,y]==1 ; python_version < '3.12'", ("a", "1")),
        ("name @ https://host.example/name-1.0.zip", ("name", None)),
        ("old (==1.0)", ("old", "1.0")),
        ("odd==1.0-custom_build", ("odd", None)),
        ("two words", None),
        ("=1.0", None),
        ("a" * 5000, None),
    ],
)
def test_requirement_is_parsed(text: str, expected: tuple[str, str | None] | None) -> None:
    found = parse_requirement(text)
    assert (found and found[:2]) == expected


def test_requirements_file_declares_its_requirements() -> None:
    text = (
        "# a comment\n"
        "alpha==1.0  # why\n"
        "beta>=2\\\n"
        "    ,<3\n"
        "gamma==3.1 \\\n"
        "    --hash=sha256:abc \\\n"
        "    --hash=sha256:def\n"
        "-r more.txt\n"
        "--index-url https://host.example/simple\n"
        "-e git+https://host.example/o/r.git@main#egg=Delta_Pkg\n"
        "git+https://host.example/o/r.git#subdirectory=x&egg=epsilon\n"
        "-e .\n"
        "./local/path\n"
        "https://host.example/nameless.whl\n"
        "zeta @ git+ssh://git@host.example/o/z\n"
        "eta==1.0 --config-settings a=b\n"
        "what is this\n"
    )
    assert Include("more.txt") in list(parse_requirements(text))
    assert names_of(parse_requirements(text)) == [
        ("alpha", "1.0"),
        ("beta", None),
        ("gamma", "3.1"),
        ("Delta_Pkg", None),
        ("epsilon", None),
        ("zeta", None),
        ("eta", "1.0"),
    ]


def test_pyproject_declares_its_dependencies() -> None:
    text = """
[build-system]
requires = ["hatchling>=1"]
[project]
dependencies = ["one==1.0", "two>=2"]
[project.optional-dependencies]
extra = ["three"]
[dependency-groups]
dev = ["four==4", {include-group = "other"}]
[tool.uv]
dev-dependencies = ["five"]
[tool.pdm.dev-dependencies]
lint = ["six==6.0"]
[tool.poetry.dependencies]
python = "^3.11"
seven = "7.0.1"
eight = "^8.0"
nine = {version = "==9.1", extras = ["x"]}
ten = [{version = "1.0", python = "<3.8"}, {version = "2.0"}]
eleven = {git = "https://host.example/x"}
twelve = "1.*"
[tool.poetry.dev-dependencies]
thirteen = "*"
[tool.poetry.group.docs.dependencies]
fourteen = "=1.4"
"""
    assert dict(names_of(parse_pyproject(text))) == {
        "hatchling": None,
        "one": "1.0",
        "two": None,
        "three": None,
        "four": "4",
        "five": None,
        "six": "6.0",
        "seven": "7.0.1",
        "eight": None,
        "nine": "9.1",
        "ten": None,
        "eleven": None,
        "twelve": None,
        "thirteen": None,
        "fourteen": "1.4",
    }


@pytest.mark.parametrize(
    "text",
    [
        "project = 1",
        "[project]\ndependencies = 'x'",
        "[project]\ndependencies = [1, {}]",
        "[project]\noptional-dependencies = []",
        "[tool]\npoetry = []",
        "[tool.poetry]\ngroup = {a = 1}",
        "[dependency-groups]\na = 'b'",
    ],
)
def test_unexpected_types_declare_nothing(text: str) -> None:
    assert names_of(parse_pyproject(text)) == []


def test_setup_cfg_declares_its_requirements() -> None:
    text = """
[metadata]
name = x
install_requires = not-here
[options]
install_requires =
    one==1.0
    # a comment
    two; python_version < "3.9"
tests_require = three; four==4
packages = find:
    five
[options.extras_require]
dev =
    six==6
docs = seven
[tool]
dev =
    eight
"""
    assert names_of(parse_setup_cfg(text)) == [
        ("one", "1.0"),
        ("two", None),
        ("three", None),
        ("four", "4"),
        ("six", "6"),
        ("seven", None),
    ]


def test_pipfile_declares_its_packages() -> None:
    text = """
[[source]]
url = "https://host.example/simple"
[packages]
one = "*"
two = "==2.0"
three = {version = "==3.0", extras = ["x"]}
[dev-packages]
four = {path = "."}
[requires]
python_version = "3.11"
"""
    assert names_of(parse_pipfile(text)) == [("one", None), ("two", "2.0"), ("three", "3.0"), ("four", None)]


def test_pipfile_lock_declares_its_packages() -> None:
    text = '{"_meta": {"hash": {}}, "default": {"one": {"version": "==1.0"}}, "develop": {"two": {"ref": "abc"}}}'
    assert names_of(parse_pipfile_lock(text)) == [("one", "1.0"), ("two", None)]
    assert list(parse_pipfile_lock("[1]")) == []


@pytest.mark.parametrize("key", ["package", "packages"])
def test_lock_file_declares_its_packages(key: str) -> None:
    text = f'[[{key}]]\nname = "one"\nversion = "1.0"\n[[{key}]]\nname = "two"\n[[{key}]]\nversion = "3"\n'
    assert names_of(parse_lock(text)) == [("one", "1.0"), ("two", None)]


@pytest.mark.parametrize(
    ("name", "is_lock"),
    [
        ("requirements.txt", False),
        ("requirements-dev.txt", False),
        ("pyproject.toml", False),
        ("setup.cfg", False),
        ("Pipfile", False),
        ("Pipfile.lock", True),
        ("poetry.lock", True),
        ("uv.lock", True),
        ("pdm.lock", True),
        ("pylock.toml", True),
        ("pylock.dev.toml", True),
    ],
)
def test_format_is_chosen_by_file_name(name: str, is_lock: bool) -> None:
    found = format_of(name)
    assert found is not None
    assert found.is_lock is is_lock


def test_other_files_declare_nothing() -> None:
    assert format_of("setup.py") is None
    assert format_of("base.txt") is None
    assert format_of("package-lock.json") is None


def test_names_are_normalised(tmp_path: Path) -> None:
    assert declared(tmp_path, **{"requirements.txt": "Foo_Bar.baz==1\n"}) == {"foo-bar-baz": "1"}


def test_lock_file_wins_over_pin_and_root_wins_over_folder(tmp_path: Path) -> None:
    lock = '[[package]]\nname = "{}"\nversion = "{}"\n'
    found = declared(
        tmp_path,
        **{
            "requirements.txt": "one==1.0\ntwo==1.0\nthree\n",
            "sub/requirements.txt": "two==9.0\nthree==3.0\n",
            "sub/deeper/uv.lock": lock.format("one", "1.5"),
            "a/poetry.lock": lock.format("one", "1.4"),
        },
    )
    assert found == {"one": "1.4", "two": "1.0", "three": "3.0"}


def test_within_one_file_the_highest_version_wins(tmp_path: Path) -> None:
    lock = "".join(f'[[package]]\nname = "x"\nversion = "{version}"\n' for version in ("1.9", "1.10", "odd", "1.2"))
    assert declared(tmp_path, **{"uv.lock": lock}) == {"x": "1.10"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_mark_decides_the_encoding(tmp_path: Path, encoding: str) -> None:
    assert declared(tmp_path, **{"requirements.txt": "one==1.0\r\ntwo\r\n".encode(encoding)}) == {
        "one": "1.0",
        "two": None,
    }


def test_no_manifests_declare_nothing() -> None:
    assert read_manifests(None).declared == {}


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("pyproject.toml", b"[project", "Expected ']'"),
        ("pyproject.toml", b"\xff\xff", "not utf-8 text"),
        ("Pipfile.lock", b"{", "Expecting property name"),
        ("uv.lock", b"x = " + b"[" * 200_000, "nested too deeply"),
        ("Pipfile.lock", b"[" * 200_000, "nested too deeply"),
        ("Pipfile.lock", b"[" + b"9" * 10_000 + b"]", "Exceeds the limit"),
        ("pyproject.toml", b"a." * 200_000 + b"b = 1", "a key has more than 32 parts"),
        ("pyproject.toml", b'"a" . ' * 100_000 + b"b = 1", "a key has more than 32 parts"),
        ("requirements.txt", b"x\n" * (MAX_MANIFEST_BYTES // 2 + 1), "larger than 8192 KB"),
    ],
)
def test_unreadable_manifest_is_one_gap(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    found = read_manifests(write(tmp_path, {f"sub/{name}": data, "requirements.txt": "kept==1\n"}))
    assert found.declared == {"kept": "1"}
    assert len(found.gaps) == 1
    assert found.gaps[0].startswith(f"sub/{name}: dependencies not read: ")
    assert reason in found.gaps[0]


def test_too_many_entries_are_a_gap(tmp_path: Path) -> None:
    text = "".join(f"p{number}\n" for number in range(10_001))
    found = read_manifests(write(tmp_path, {"requirements.txt": text}))
    assert len(found.declared) == 10_000
    assert found.gaps == ["requirements.txt: only the first 10000 dependencies were read"]


def test_size_of_all_manifests_is_limited(tmp_path: Path) -> None:
    filler = "# " + "x" * (MAX_MANIFEST_BYTES - 100) + "\n"
    sources: dict[str, str | bytes] = {f"d{n}/requirements.txt": f"{filler}p{n}\n" for n in range(5)}
    found = read_manifests(write(tmp_path, {**sources, "requirements.txt": "root\n"}))
    assert set(found.declared) == {"root", *(f"p{n}" for n in range(4))}
    assert found.gaps == [
        "d4/requirements.txt: dependencies not read: all such files together are larger than 32768 KB"
    ]


def test_links_and_pipes_are_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("stolen==1\n")
    root = write(tmp_path / "root", {"setup.cfg": ""})
    (root / "requirements.txt").symlink_to(secret)
    os.mkfifo(root / "requirements-dev.txt")
    found = read_manifests(root)
    assert found.declared == {}
    assert len(found.gaps) == 2


def test_invalid_names_and_versions_are_left_out(tmp_path: Path) -> None:
    lock = '[[package]]\nname = "../../etc"\nversion = "1"\n[[package]]\nname = "ok"\nversion = "1\\u0000<b>"\n'
    assert declared(tmp_path, **{"uv.lock": lock}) == {"ok": None}


@pytest.mark.parametrize(
    "line",
    [
        "b" + " " * 3_900 + "!",
        "b" * 500_000,
        "#" * 500_000,
        "b -" * 150_000,
        "(" * 3_900,
        "b[" * 200_000,
        "a; " + "(" * 3_000,
    ],
)
def test_long_lines_are_read_in_linear_time(tmp_path: Path, line: str) -> None:
    """A regular expression that backtracks over these lines would take minutes."""
    data = "\n ".join([line] * max(1, 400_000 // len(line)))
    sources: dict[str, str | bytes] = {
        "requirements.txt": data,
        "setup.cfg": f"[options]\ninstall_requires =\n {data}",
        "pyproject.toml": data,
    }
    found = read_manifests(write(tmp_path, sources))
    assert set(found.declared) == ({"a"} if line.startswith("a") else set())
    is_valid_toml = line.startswith("#")
    assert [gap.partition(":")[0] for gap in found.gaps] == ([] if is_valid_toml else ["pyproject.toml"])
