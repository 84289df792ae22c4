"""Git work trees of a given size, made from the standard library's files.

The files are real, the history is synthetic: each commit rewrites some lines of one file, so `git log --numstat` has as
much to do as in a real repository with that many commits.
"""

import ast
import random
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path

CHANGED_LINES = 20
SEED = 8


def library_files(lines: int) -> list[tuple[Path, str]]:
    """Return files of the standard library and its tests with that many lines together, and their relative paths."""
    root = Path(sysconfig.get_path("stdlib"))
    files = [path for path in sorted(root.rglob("*.py")) if "site-packages" not in path.parts]
    random.Random(SEED).shuffle(files)  # nosec B311 # the same numbers in each run
    chosen: list[tuple[Path, str]] = []
    total = 0
    for path in files:
        if total >= lines:
            break
        content = path.read_bytes()
        if not _is_accepted_by_all_tools(content):
            continue
        total += content.count(b"\n")
        chosen.append((path, str(path.relative_to(root))))
    return chosen


def _is_accepted_by_all_tools(content: bytes) -> bool:
    """Return whether the file is UTF-8 and parses; docstr-coverage stops at the first file that is not UTF-8."""
    try:
        ast.parse(content.decode())
    except (SyntaxError, ValueError):
        return False
    return True


def make_tree(directory: Path, *, lines: int, commits: int) -> int:
    """Make a git work tree of about `lines` lines and exactly `commits` commits; return its number of lines."""
    files = library_files(lines)
    contents = {name: path.read_bytes() for path, name in files}
    directory.mkdir(parents=True)
    _git(directory, "init", "-q", "--initial-branch=main")
    importer = subprocess.Popen(["git", "fast-import", "--quiet"], cwd=directory, stdin=subprocess.PIPE)  # nosec B607 # noqa: S607 - this machine's own git
    assert importer.stdin is not None  # nosec B101 # noqa: S101 - a pipe was asked for
    for chunk in _history(contents, commits):
        importer.stdin.write(chunk)
    importer.stdin.close()
    if importer.wait():
        raise SystemExit("git fast-import failed")
    _git(directory, "reset", "-q", "--hard", "main")
    return sum(content.count(b"\n") for content in contents.values())


def copy_tree(source: Path, directory: Path) -> Path:
    """Clone the work tree's HEAD with its history, on a branch `main`; return the directory."""
    subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(source), str(directory)], check=True)  # nosec B607 # noqa: S607 - this machine's own git
    _git(directory, "checkout", "-q", "-B", "main")
    return directory


def change_files(directory: Path, share: float) -> int:
    """Commit a change to that share of the files; return the number of changed files."""
    found = sorted(directory.rglob("*.py"))
    files = [path for path in found if ".git" not in path.parts and path.is_file() and not path.is_symlink()]
    chosen = random.Random(SEED + 1).sample(files, max(1, round(len(files) * share)))  # nosec B311 # the same numbers in each run
    for path in chosen:
        path.write_bytes(path.read_bytes() + b"\nCHANGED = True\n")
    identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"]
    _git(directory, *identity, "commit", "-q", "-a", "-m", "change")
    return len(chosen)


def _history(contents: dict[str, bytes], commits: int) -> Iterator[bytes]:
    """Yield a fast-import stream: all commits but the last rewrite some lines, the last restores the real contents."""
    chance = random.Random(SEED)  # nosec B311 # the same numbers in each run
    names = sorted(contents)
    current: dict[str, list[bytes]] = {}
    for number in range(commits):
        last = number == commits - 1
        touched = names if last else [chance.choice(names)]
        yield f"commit refs/heads/main\ncommitter B <b@localhost> {1_600_000_000 + number} +0000\ndata 1\nx\n".encode()
        for name in touched:
            if last:
                data = contents[name]
            else:
                rows = current.setdefault(name, contents[name].splitlines(keepends=True))
                if rows:
                    start = chance.randrange(len(rows))
                    rows[start : start + CHANGED_LINES] = [f"# {number}\n".encode()] * min(CHANGED_LINES, len(rows))
                data = b"".join(rows)
            yield f"M 100644 inline {name}\ndata {len(data)}\n".encode() + data + b"\n"


def _git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=directory, check=True)  # nosec B607 # noqa: S607 - this machine's own git
