"""The two kinds of source, an upload and a git repository, and the result of fetching one.

A repository URL is parsed and rebuilt from its validated parts: git never gets the original string.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import SplitResult, urlsplit

from domain.errors import InvalidInputError
from domain.metrics.report import SkippedFile
from domain.text import JSON, one_line

EXCLUDED_DIRECTORIES = frozenset(
    {
        ".git", ".hg", ".svn", "__pycache__", ".venv", "venv", ".tox", ".nox", ".eggs", "__pypackages__",
        "node_modules", "site-packages",
    }
)  # fmt: skip
"""Names of directories that are left out at any depth; `completeness` lists the ones that were found."""

_HOST_PATTERN = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PATH_SEGMENT_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FORBIDDEN_IN_BRANCH = re.compile(
    r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(/|$)|(^|/)\.|[./]$"
    r"|[\ud800-\udc7f\udd00-\udfff]"  # surrogates that encode no byte, so no git ref can contain them
)


class SourceKind(StrEnum):
    """Values of `jobs.source_kind`. `github` means any allowed git host."""

    UPLOAD = "upload"
    GITHUB = "github"


SMALL_UPLOAD_BYTES = 48 * 1024
SMALL_UPLOAD_CHARACTERS = SMALL_UPLOAD_BYTES * 4 // 3
"""Largest upload that a claim returns with the job and that a single child process handles; its length in base64."""


MAX_NAME_LENGTH = 255
"""Characters that a file name, project name or author model may have."""


def can_share_child(filename: object) -> bool:
    """Return whether a small upload may share a child process: a single file; an archive may take long to unpack."""
    return isinstance(filename, str) and filename.endswith(".py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorship:
    """Claims of the submitter about the code: project name, author type (`human` or `ai`), and model or person.

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
        for name, value in (("project_name", self.project_name), ("author_model", self.author_model)):
            if len(value or "") > MAX_NAME_LENGTH:
                raise InvalidInputError(
                    f"{name} has {len(value or '')} characters; it must have at most {MAX_NAME_LENGTH} characters"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One `.py` file or one `.zip` archive. Its bytes are stored apart from the job's row."""

    filename: str
    authorship: Authorship = Authorship()

    def __post_init__(self) -> None:
        if len(self.filename) > MAX_NAME_LENGTH:
            raise InvalidInputError(
                f"the file name has {len(self.filename)} characters; it must have at most {MAX_NAME_LENGTH} characters"
            )

    def metadata(self) -> dict[str, JSON]:
        """Build the job's `source_metadata`."""
        return {"upload_filename": self.filename, **_authorship_fields(self.authorship)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """A git repository on an https URL. Without a branch, HEAD's branch is fetched."""

    url: str
    branch: str | None = None
    authorship: Authorship = Authorship()

    def metadata(self) -> dict[str, JSON]:
        """Build the job's `source_metadata`."""
        return {"git_repo_url": self.url, "git_branch": self.branch, **_authorship_fields(self.authorship)}


_OPTIONAL_TEXT_FIELDS = ("git_branch", "project_name", "author_type", "author_model")


def validate_source_metadata(kind: SourceKind, metadata: Mapping[str, JSON]) -> None:
    """Check a `source_metadata` read from the database. Raises InvalidInputError that names the bad field."""
    source = "upload_filename" if kind is SourceKind.UPLOAD else "git_repo_url"
    if not isinstance(metadata.get(source), str):
        raise InvalidInputError(f"source_metadata names no source: {source!r} must be text; submit it again")
    for key in _OPTIONAL_TEXT_FIELDS:
        if not isinstance(metadata.get(key), str | None):
            raise InvalidInputError(f"source_metadata is malformed: {key!r} must be text or null; submit it again")


def _authorship_fields(authorship: Authorship) -> dict[str, JSON]:
    return {
        "project_name": authorship.project_name,
        "author_type": authorship.author_type,
        "author_model": authorship.author_model,
    }


def normalize_repository_url(url: str, allowed_hosts: Collection[str]) -> str:
    """Validate a repository URL and rebuild it as `https://host[:port]/path`.

    `allowed_hosts` contains `host` or `host:port`, in lower case. Raises InvalidInputError that says what to change.
    """
    parts = _split_https_url(url)
    host, port = (parts.hostname or "").lower(), parts.port
    host_and_port = host if port in (None, 443) else f"{host}:{port}"
    if not _HOST_PATTERN.fullmatch(host) or host_and_port not in allowed_hosts:
        allowed = ", ".join(sorted(allowed_hosts)) or "none"
        raise InvalidInputError(
            f"the host {one_line(host_and_port, 80)!r} is not allowed; allowed: {allowed} (GIT_ALLOWED_HOSTS)"
        )
    segments = parts.path.strip("/").split("/")
    if (
        len(segments) < 2
        or not all(_PATH_SEGMENT_PATTERN.fullmatch(segment) for segment in segments)
        or parts.query
        or parts.fragment
    ):
        raise InvalidInputError("the repository URL must be https://host/owner/repository and nothing more")
    return f"https://{host_and_port}/{'/'.join(segments)}"


def _split_https_url(url: str) -> SplitResult:
    if not url.isascii() or any(character <= " " for character in url):
        raise InvalidInputError("the repository URL must be plain ASCII without spaces")
    try:
        parts = urlsplit(url)
        _ = parts.hostname, parts.port  # these are parsed on access
    except ValueError as error:
        raise InvalidInputError("the repository URL cannot be read; use https://host/owner/repository") from error
    if parts.scheme != "https":
        raise InvalidInputError("the repository URL must start with https://")
    if "@" in parts.netloc:
        raise InvalidInputError("the repository URL must not contain a user name or token; pass the token separately")
    return parts


def validate_branch_name(branch: str) -> str:
    """Return the branch name unchanged if it is valid.

    Valid names pass `git check-ref-format --branch`, and git cannot take them for an option or a revision expression.
    Raises InvalidInputError for any other name.
    """
    if (
        not branch
        or len(branch) > 250
        or branch.startswith(("-", "/"))
        or branch == "@"
        or _FORBIDDEN_IN_BRANCH.search(branch)
    ):
        raise InvalidInputError(f"{one_line(branch, 80)!r} is not a branch name")
    return branch


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSource:
    """Result of fetching a source into scratch space; the files are on disk, in a `SourceLayout`.

    `has_history` is true if there is a bare repository with commits, and `shallow` if its history is cut off.
    `skipped` lists the files and excluded directories that were left out: at most `SKIPPED_LIMIT` of `skipped_total`.
    `not_selected` is the number of Python files that the submission's globs left out.
    """

    has_history: bool
    shallow: bool = False
    commit_sha: str | None = None
    branch: str | None = None
    skipped: tuple[SkippedFile, ...] = ()
    skipped_total: int = 0
    not_selected: int = 0

    def to_json(self) -> dict[str, JSON]:
        """Convert to the form in which a child process sends it."""
        return {
            "has_history": self.has_history,
            "shallow": self.shallow,
            "commit_sha": self.commit_sha,
            "branch": self.branch,
            "skipped": [[item.path, item.reason] for item in self.skipped],
            "skipped_total": self.skipped_total,
            "not_selected": self.not_selected,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, JSON]) -> "FetchedSource":
        """Convert back from the form of `to_json`."""
        return cls(
            has_history=bool(value["has_history"]),
            shallow=bool(value["shallow"]),
            commit_sha=value["commit_sha"],
            branch=value["branch"],
            skipped=tuple(SkippedFile(path=path, reason=reason) for path, reason in value["skipped"]),
            skipped_total=int(value["skipped_total"]),
            not_selected=int(value["not_selected"]),
        )
