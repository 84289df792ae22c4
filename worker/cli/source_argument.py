"""The argument SOURCE of the command line: a directory, a `.py` file, a `.zip` file, or a repository URL."""

import base64
import os
from dataclasses import dataclass, field
from pathlib import Path

from domain.errors import InvalidInputError
from domain.sources import normalize_repository_url, validate_branch_name
from domain.text import JSON, one_line
from infrastructure.settings import Settings

TOKEN_VARIABLE = "VIBE8_GIT_TOKEN"  # nosec B105 # noqa: S105 - a variable's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """A directory on this machine."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A `.py` or `.zip` file on this machine."""

    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRepository:
    """A repository on a git host. Its token comes from the environment, never from an argument."""

    url: str
    branch: str | None
    token: str | None = field(repr=False)


Source = Directory | File | RemoteRepository


def parse_source(text: str, branch: str | None, settings: Settings) -> Source:
    """Parse the argument. Raises InvalidInputError, whose message says what to do."""
    if not text.strip():  # the path of an empty text is this directory: that of an unset variable is not meant
        raise InvalidInputError("SOURCE is empty; `.` is this directory")
    if "://" in text:
        url = normalize_repository_url(text, settings.git_allowed_hosts)
        checked = validate_branch_name(branch) if branch is not None else None
        return RemoteRepository(url=url, branch=checked, token=_token())
    if branch is not None:
        raise InvalidInputError("--branch goes with a repository URL only")
    path = Path(text)
    try:
        if path.is_dir():
            return Directory(path=path)
        is_file = path.is_file()
    except OSError as error:
        raise InvalidInputError(f"{one_line(text, 200)!r} cannot be read: {error.strerror}") from error
    if not is_file:
        raise InvalidInputError(f"{one_line(text, 200)!r} is no directory, no file and no https:// URL")
    if path.suffix != ".py" and path.suffix.lower() != ".zip":  # the collectors read files that end in .py, not in .PY
        raise InvalidInputError(f"{one_line(path.name, 200)!r} is neither a .py nor a .zip file")
    return File(path=path)


def _token() -> str | None:
    return os.environ.get(TOKEN_VARIABLE, "").strip() or None


def pipeline_source(source: Source, settings: Settings) -> dict[str, JSON]:
    """Return the source as `worker.analysis.child_tasks.fetch` reads it."""
    if isinstance(source, Directory):
        return {"kind": "directory", "path": str(source.path.absolute())}
    if isinstance(source, File):
        data = base64.b64encode(read_file(source.path, settings)).decode()
        return {"kind": "upload", "filename": source.path.name, "file_data": data}
    return {
        "kind": "repository",
        "url": source.url,
        "branch": source.branch,
        "token": source.token,
        "allowed_hosts": list(settings.git_allowed_hosts),
        "ca_bundle": str(settings.git_ca_bundle) if settings.git_ca_bundle else None,
    }


def read_file(path: Path, settings: Settings) -> bytes:
    """Read the file. Raises InvalidInputError where it is too large or cannot be read."""
    try:
        size = path.stat().st_size
        limit = settings.plans.upload_bytes
        if size > limit:
            raise InvalidInputError(
                f"{one_line(path.name, 200)} ({size} bytes) is larger than {limit // 1024**2} MB (MAX_UPLOAD_MB)"
            )
        return path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{one_line(str(path), 200)} cannot be read: {error.strerror}") from error
