"""Every command and program of docs/tutorial.md, run in its order in a copy of this repository."""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fixtures.servers import temporary_directory
from tests.fixtures.worker_process import worker_process
from tests.tools.audit import LOCKS
from tests.unit.deploy.project_files import ROOT

PAGE = ROOT / "docs/tutorial.md"
SECONDS = 300
UP = ".venv/bin/vibe8 up"
SMALL = ("worker", "domain", "docs", "README.md", "Makefile", "pyproject.toml", *LOCKS, "collectors",
         "infrastructure", "alembic", "alembic.ini")  # fmt: skip
"""What is copied: all that the demonstration runs; the analysis of the rest would take a minute."""


@dataclass(frozen=True)
class Block:
    """A block of code, and the file name that the text before it names."""

    language: str
    text: str
    file: str | None


def blocks() -> list[Block]:
    save = r"(?:[Ss]ave (?:it )?as `([\w.]+)`:\n\n)?"
    found = re.finditer(rf"{save}^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [Block(language=match[2], text=match[3], file=match[1]) for match in found]


def expected(text: str) -> str:
    """Return a pattern of the output: any number for a number, an id, whole or short, for an id, anything for `...`."""
    return "".join(r"(?:.*\n)*?" if line == "..." else _expected_line(line) for line in text.splitlines())


def _expected_line(line: str) -> str:
    variable = {"id": "[0-9a-f]{32}", "short": "[0-9a-f]{8}", "number": r"\d+(?:\.\d+)?", "space": " +"}
    ids = r"(?P<id>[0-9a-f]{32})|(?P<short>\b[0-9a-f]{8}\b)"
    parts = re.finditer(rf"{ids}|(?P<number>\d+(?:\.\d+)?)|(?P<space> +)|(?P<text>.)", line)
    return "".join(variable.get(str(part.lastgroup)) or re.escape(part[0]) for part in parts) + r" *\n"


@pytest.fixture
def clone() -> Iterator[Path]:
    """A repository with this program's files and this interpreter's virtual environment."""
    with temporary_directory() as directory:
        listing = subprocess.check_output(["git", "ls-files", "-z", *SMALL], cwd=ROOT, text=True)  # noqa: S607
        for name in filter(None, listing.split("\0")):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, directory / name)
        for name in ("pyproject.toml", *LOCKS):
            os.utime(directory / name, (0, 0))  # older than the virtual environment, which make leaves alone then
        (directory / ".venv").symlink_to(Path(sys.prefix))
        git = ("git", "-c", "user.name=a", "-c", "user.email=a@example.org")
        for command in (("init", "--quiet"), ("add", "--all", ":!.venv"), ("commit", "--quiet", "--message", "all")):
            subprocess.run([*git, *command], cwd=directory, check=True)
        yield directory


def environment(clone: Path) -> Mapping[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(clone),
        "VIBE8_HOME": str(clone / ".state"),
        "SCRATCH_DIR": str(clone / ".scratch"),
        "PACKAGE_INDEX_URL": "",
        "LOG_FORMAT": "json",
    }


async def run(command: str, clone: Path) -> str:
    """Run commands in a shell, and return what they print on both streams."""
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", command, cwd=clone, env=environment(clone), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate()
    return out.decode()


async def follow(clone: Path, page: Sequence[Block]) -> list[str]:
    """Write the files, run the commands and compare their output. Return the commands that were run."""
    done: list[str] = []
    output = ""
    for block in page:
        if block.language == "python":
            assert block.file is not None
            (clone / block.file).write_text(block.text)
        elif block.language == "sh":
            output = await run(block.text, clone)
            done += block.text.splitlines()
        else:
            assert re.match(expected(block.text), output), f"{done[-1]} printed:\n{output}"
    return done


async def test_tutorial(clone: Path) -> None:
    page = blocks()
    (start,) = [place for place, block in enumerate(page) if block.text.strip() == UP]
    before = await follow(clone, page[:start])
    assert before == ["make demo"]
    up = worker_process(
        UP.split(),
        clone / "up.log",
        end_signal=signal.SIGINT,
        env=environment(clone),
        cwd=clone,
        start_new_session=True,
    )
    async with up as running:
        after = await follow(clone, page[start + 1 :])
        assert len(after) > 8
        assert await running.stop(signal.SIGINT) == 0


def test_program_of_the_tutorial_is_short() -> None:
    (program,) = [block.text for block in blocks() if block.file == "watch_job.py"]
    assert len(program.splitlines()) <= 30


def test_comparison_accepts_other_numbers_and_refuses_other_words() -> None:
    pattern = expected(f"one 1.5 %\n...\nthe id {'0' * 32}\n")
    assert re.match(pattern, f"one 27 %\nmore\n\nthe id {'a' * 32}\n")
    assert not re.match(pattern, f"two 1 %\nthe id {'0' * 32}\n")
    assert not re.match(pattern, "one 1 %\nmore\n")
