"""Names of files, repositories and branches, and source arguments of commands, with any characters."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError
from domain.sources import normalize_repository_url, validate_branch_name
from infrastructure.settings import Settings
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from tests.fuzz.collecting import collect
from tests.fuzz.generators import count_outcome, fuzz_settings, naughty_strings
from tests.fuzz.jail import assert_clear_message, assert_no_process_left, assert_plain_files, jailed
from worker.cli.source_argument import parse_source

ANY = st.text(st.characters(exclude_categories=()), max_size=40) | st.sampled_from(naughty_strings())
PARTS = st.one_of(
    st.binary(min_size=1, max_size=20),
    st.sampled_from(naughty_strings()).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from([b"-x", b"--config=a", b"@x", b"#", b"a.py", b"venv", b".git", b"%s", b"*", b"[a]", b"{a}", b"~"]),
).map(lambda part: part.replace(b"\0", b"").replace(b"/", b"")[:240] or b"_")
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(lambda parts: b"/".join(parts) + b".py")


@fuzz_settings(25)
@given(paths=st.lists(PATHS, min_size=1, max_size=10))
def test_any_file_names_on_disk(paths: Sequence[bytes]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root, layout = Path(directory) / "root", SourceLayout(Path(directory) / "scratch")
        root.mkdir()
        layout.root.mkdir()
        for path in paths:
            with contextlib.suppress(NotADirectoryError, IsADirectoryError, FileExistsError):
                write_file(os.fsencode(root) + b"/" + path)
        with jailed(layout.root):
            try:
                source = fetch_directory(root, layout, SourceLimits())
            except InvalidInputError as error:
                assert_clear_message(str(error))
                count_outcome("names on disk", "refused")
                return
        assert assert_plain_files(layout.tree, 1 << 20) + source.skipped_total > 0
        analysis = collect(layout.tree, "names on disk")
        assert not [line for line in analysis.errors if "lint" in line]
        assert_no_process_left(layout.root)
        count_outcome("names on disk", "completed")


def write_file(path: bytes) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - bytes
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"import os\nx = 1\n")


SETTINGS = Settings()
HOSTS = ("github.com", "git.example.test:8443")


@fuzz_settings(400)
@given(
    parts=st.lists(ANY | st.sampled_from(["https://", "github.com", "/", "@", ":", "owner", "repo", "#"]), max_size=8)
)
def test_any_repository_url(parts: Sequence[str]) -> None:
    for text in ("".join(parts), "https://github.com/" + "/".join(parts)):
        try:
            url = normalize_repository_url(text, HOSTS)
        except InvalidInputError as error:
            assert_clear_message(str(error))
            count_outcome("repository URLs", "refused")
            continue
        assert url.startswith(("https://github.com/", "https://git.example.test:8443/"))
        assert normalize_repository_url(url, HOSTS) == url
        count_outcome("repository URLs", "completed")


def git_accepts(branch: str) -> bool:
    command = [b"git", b"check-ref-format", b"--branch", os.fsencode(branch)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@fuzz_settings(150)
@given(branch=ANY | st.text("ab/.-@{}~^:*[\\ \x7flock", max_size=12))
def test_any_branch_name(branch: str) -> None:
    try:
        accepted = validate_branch_name(branch)
    except InvalidInputError as error:
        assert_clear_message(str(error))
        count_outcome("branch names", "refused")
    else:
        assert accepted == branch
        assert git_accepts(branch)
        count_outcome("branch names", "completed")


@fuzz_settings(300)
@given(text=ANY, branch=st.none() | ANY)
def test_any_source_argument_of_a_command(text: str, branch: str | None) -> None:
    for source in (text, f"{text}.py", f"https://github.com/{text}", f"/{text}"):
        try:
            parse_source(source, branch, SETTINGS)
        except InvalidInputError as error:
            assert_clear_message(str(error), most=2_500)  # 200 characters of the name, each as an escape
            count_outcome("sources of a command", "refused")
        else:
            count_outcome("sources of a command", "completed")
