"""Real git repositories for tests, made with git itself and a configuration of their own."""

import os
import subprocess
from pathlib import Path

IDENTITY = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "LC_ALL": "C",
}


def git(directory: Path, *arguments: str | bytes, stdin: bytes = b"", **environment: str) -> bytes:
    """What `git ARGUMENTS` prints in `directory`; fails the test where git fails."""
    result = subprocess.run(
        ["git", *arguments],  # noqa: S607
        cwd=directory,
        input=stdin,
        env={"PATH": os.environ["PATH"], "HOME": str(directory), **IDENTITY, **environment},
        capture_output=True,
        check=False,
    )
    assert result.returncode == 0, (arguments, result.stderr)
    return result.stdout


class WorkTree:
    """A repository with a work tree; each commit is one second after the last."""

    def __init__(self, path: Path, *, branch: str = "main", object_format: str = "sha1") -> None:
        path.mkdir(parents=True)
        self.path = path
        self._clock = 1_700_000_000
        self.git("init", "-q", f"--initial-branch={branch}", f"--object-format={object_format}")

    def git(self, *arguments: str | bytes, stdin: bytes = b"", **environment: str) -> bytes:
        return git(self.path, *arguments, stdin=stdin, **environment)

    def write(self, name: str | bytes, content: str | bytes, *, mode: int = 0o644) -> Path:
        place = Path(os.fsdecode(os.fsencode(self.path) + b"/" + os.fsencode(name)))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        place.chmod(mode)
        return place

    def commit(self, message: str = "a change", **files: str | bytes) -> str:
        """Write the files (`a_py` is `a.py`), add everything, commit. Returns the commit's name."""
        for name, content in files.items():
            self.write(name.replace("_py", ".py"), content)
        self._clock += 1
        date = f"{self._clock} +0000"
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)
        return self.head()

    def merge(self, branch: str, *options: str) -> str:
        self._clock += 1
        date = f"{self._clock} +0000"
        self.git(
            "merge", "-q", "--no-ff", "-m", "a merge", *options, branch, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date
        )
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD").decode().strip()

    @property
    def dot_git(self) -> Path:
        return self.path / ".git"
