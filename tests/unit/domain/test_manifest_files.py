import pytest

from domain.metrics.manifest_files import included_paths, is_manifest, resolve_include


@pytest.mark.parametrize(
    "path",
    [
        "requirements.txt", "a/requirements-dev.txt", "dev_requirements.txt", "test-requirements.in",
        "requirements/base.txt", "a/requirements/ci.in", "constraints.txt", "constraints-3.11.txt", "pyproject.toml",
        "setup.cfg", "Pipfile", "uv.lock", "pylock.x.toml", "environment.yml", "environment-dev.yaml", "pixi.toml",
        "requirements-dev.lock", "dev-environment.yml", "hatch.toml",
    ],
)  # fmt: skip
def test_manifests_are_found_by_name_and_folder(path: str) -> None:
    assert is_manifest(path)


@pytest.mark.parametrize(
    "path", ["requirements.txt.py", "base.txt", "requirements/sub/a.txt", "docs/index.in", "x.lock"]
)
def test_other_files_are_no_manifests(path: str) -> None:
    assert not is_manifest(path)


CASES = [
    ("requirements.txt", "-r base.txt\n--requirement=a/b.pip\n  -c  c.txt\n-rx.txt\n", "base.txt a/b.pip c.txt x.txt"),
    ("a/b/requirements.in", "--constraint ../c.txt # why\n-r ..\\..\\up.txt\n", "a/c.txt up.txt"),
    ("requirements.txt", "-r ../x.txt\n-r /etc/passwd\n-r https://h/x\n-r C:\\x\n-r ${X}/y\n--require x\n", ""),
    ("a/pyproject.toml", 'dynamic\ndependencies = { file = ["deps/base.in", \'x.txt\'] }\n', "a/deps/base.in a/x.txt"),
    ("pyproject.toml", '[tool.setuptools.dynamic.dependencies]\nfile = "r.txt"\nprofile = "no"\n', "r.txt"),
    ("setup.cfg", "[options]\ninstall_requires = file: a.txt, b/c.txt\n", "a.txt b/c.txt"),
    ("uv.lock", "-r x.txt\n", ""),
]  # fmt: skip


@pytest.mark.parametrize(("path", "text", "expected"), CASES)
def test_included_paths_are_those_inside_the_tree(path: str, text: str, expected: str) -> None:
    assert list(included_paths(path, text)) == expected.split()


def test_include_that_leads_outside_is_none() -> None:
    assert resolve_include("a/requirements.txt", "../../x.txt") is None
    assert resolve_include("a/requirements.txt", "./../x.txt") == "x.txt"


@pytest.mark.parametrize(
    "text", ["file = [" * 100_000, 'file = "' * 100_000, "-r " * 300_000, "file:" * 200_000, "-r" + " " * 900_000]
)
@pytest.mark.parametrize("path", ["pyproject.toml", "setup.cfg", "requirements.txt"])
def test_long_text_is_searched_in_linear_time(path: str, text: str) -> None:
    """A pattern that backtracks would take hours."""
    assert len(set(included_paths(path, f"dynamic {text}"))) <= 2
