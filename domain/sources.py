"""What can be analysed: an upload or a git repository; and what fetching one yields.

A URL is parsed and rebuilt from what is allowed; nothing of the original string reaches git.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

from domain.errors import InvalidInputError
from domain.metrics.report import SkippedFile
from domain.text import JSON, one_line

EXCLUDED_DIRECTORIES = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".tox", ".nox", ".eggs", "__pypackages__",
        "node_modules", "site-packages",
    }
)  # fmt: skip
"""Directories that no collector looks into, wherever they stand; named in `completeness` when met."""

MANIFEST_NAME_PATTERN = re.compile(
    r"(requirements[^/]*\.txt|pyproject\.toml|setup\.cfg|Pipfile|Pipfile\.lock|poetry\.lock|uv\.lock|pdm\.lock|pylock[^/]*\.toml)"
)
"""File names that may declare dependencies; fetched beside the `.py` files, for the `deps` collector alone."""

_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_BRANCH_FORBIDDEN = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(/|$)|(^|/)\.|[./]$"
    r"|[\ud800-\udc7f\udd00-\udfff]"  # stand for no byte, so no git knows such a name
)


class SourceKind(StrEnum):
    """`jobs.source_kind`. `github` means any allowed git host."""

    UPLOAD = "upload"
    GITHUB = "github"


SMALL_UPLOAD_CHARACTERS = 64 * 1024
"""Characters of an upload in base64, at most, that come along with a claim, and that one child fetches and collects."""

MAX_NAME_LENGTH = 255
"""Characters of a name that a submitter gives: of a file, a project, a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorship:
    """What the submitter says of the code: a project name, `human` or `ai`, and which model or who.

    Raises InvalidInputError for a name of more than MAX_NAME_LENGTH characters, or another author type.
    """

    project_name: str | None = None
    author_type: str | None = None
    author_model: str | None = None

    def __post_init__(self) -> None:
        if self.author_type not in (None, "human", "ai"):
            raise InvalidInputError(
                f"author_type must be 'human' or 'ai', not {one_line(self.author_type or '', 40)!r}"
            )
        for what in ("project_name", "author_model"):
            if len(getattr(self, what) or "") > MAX_NAME_LENGTH:
                raise InvalidInputError(f"{what} must have at most {MAX_NAME_LENGTH} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One `.py` file or one `.zip` archive, base64-encoded (standard alphabet, padded)."""

    filename: str
    file_data: str = field(repr=False)
    authorship: Authorship = Authorship()

    def __post_init__(self) -> None:
        if len(self.filename) > MAX_NAME_LENGTH:
            raise InvalidInputError(f"the file name must have at most {MAX_NAME_LENGTH} characters")

    def metadata(self) -> dict[str, JSON]:
        """The row's `source_metadata`."""
        return {"upload_filename": self.filename, "file_data": self.file_data, **_authorship(self.authorship)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository over https; no branch means the one that HEAD names."""

    url: str
    branch: str | None = None
    authorship: Authorship = Authorship()

    def metadata(self) -> dict[str, JSON]:
        """The row's `source_metadata`."""
        return {"git_repo_url": self.url, "git_branch": self.branch, **_authorship(self.authorship)}


_TEXTS = ("git_branch", "project_name", "author_type", "author_model")


def validate_source_metadata(kind: SourceKind, metadata: Mapping[str, JSON]) -> None:
    """Raise InvalidInputError, naming the field, unless this is a `source_metadata` that can be worked on."""
    source = "upload_filename" if kind is SourceKind.UPLOAD else "git_repo_url"
    if not isinstance(metadata.get(source), str):
        raise InvalidInputError(f"source_metadata names no source: there is no text under {source!r}; submit it again")
    for key in _TEXTS:
        if not isinstance(metadata.get(key), str | None):
            raise InvalidInputError(f"source_metadata holds what is no text under {key!r}; submit it again")


def _authorship(authorship: Authorship) -> dict[str, JSON]:
    return {
        "project_name": authorship.project_name,
        "author_type": authorship.author_type,
        "author_model": authorship.author_model,
    }


def normalize_repository_url(url: str, allowed_hosts: Collection[str]) -> str:
    """The same repository's URL, rebuilt as `https://host[:port]/path`.

    `allowed_hosts` are `host` or `host:port`, in lower case. Raises InvalidInputError with what to do about it.
    """
    if not url.isascii() or any(character <= " " for character in url):
        raise InvalidInputError("the repository URL must be plain ASCII without spaces")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise InvalidInputError("the repository URL cannot be read; use https://host/owner/repository") from error
    if parts.scheme != "https":
        raise InvalidInputError("the repository URL must start with https://")
    if "@" in parts.netloc:
        raise InvalidInputError("the repository URL must not carry a user name or token; pass the token separately")
    place = host if port in (None, 443) else f"{host}:{port}"
    if not _HOST.fullmatch(host) or place not in allowed_hosts:
        allowed = ", ".join(sorted(allowed_hosts)) or "none"
        raise InvalidInputError(
            f"the host {one_line(place, 80)!r} is not allowed; allowed: {allowed} (GIT_ALLOWED_HOSTS)"
        )
    segments = parts.path.strip("/").split("/")
    if (
        len(segments) < 2
        or not all(_SEGMENT.fullmatch(segment) for segment in segments)
        or parts.query
        or parts.fragment
    ):
        raise InvalidInputError("the repository URL must be https://host/owner/repository and nothing more")
    return f"https://{place}/{'/'.join(segments)}"


def validate_branch_name(branch: str) -> str:
    """The branch, if git would accept it (`git check-ref-format --branch`) and it cannot be an option or a revision.

    Raises InvalidInputError otherwise.
    """
    if (
        not branch
        or len(branch) > 250
        or branch.startswith(("-", "/"))
        or branch == "@"
        or _BRANCH_FORBIDDEN.search(branch)
    ):
        raise InvalidInputError(f"{one_line(branch, 80)!r} is not a branch name")
    return branch


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSource:
    """A source in scratch: what `SourceLayout` lays out on disk, and what could not be taken.

    `has_history` says whether a bare repository with commits stands beside the tree, `shallow` that it was cut off.
    `skipped` lists files and excluded directories, at most `SKIPPED_LIMIT` of `skipped_total`.
    """

    has_history: bool
    shallow: bool = False
    commit_sha: str | None = None
    branch: str | None = None
    skipped: tuple[SkippedFile, ...] = ()
    skipped_total: int = 0

    def to_json(self) -> dict[str, JSON]:
        """As a child process sends it."""
        return {
            "has_history": self.has_history,
            "shallow": self.shallow,
            "commit_sha": self.commit_sha,
            "branch": self.branch,
            "skipped": [[item.path, item.reason] for item in self.skipped],
            "skipped_total": self.skipped_total,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> "FetchedSource":
        """The inverse of `to_json`."""
        return cls(
            has_history=bool(value["has_history"]),
            shallow=bool(value["shallow"]),
            commit_sha=value["commit_sha"],
            branch=value["branch"],
            skipped=tuple(SkippedFile(path=path, reason=reason) for path, reason in value["skipped"]),
            skipped_total=int(value["skipped_total"]),
        )
