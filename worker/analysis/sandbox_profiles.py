"""What the two children of an analysis may touch: the one that fetches, and the one that collects."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from domain.sandbox import SandboxProfile
from domain.sources import normalize_repository_url
from domain.text import JSON
from infrastructure.sources.local.history import paths_to_read

HTTPS = 443


def profiles(scratch: Path, source: Mapping[str, JSON]) -> tuple[SandboxProfile, SandboxProfile]:
    """For fetching: it writes into scratch, and reaches the git host. For collecting: it reads scratch, and no more.

    `source` is what `worker.analysis.child_tasks.fetch` reads. A directory's history stays where it is, so both read
    it there.
    Raises InvalidInputError for a repository that may not be fetched at all.
    """
    fetching: list[Path] = []
    collecting: list[Path] = []
    ports: tuple[int, ...] = ()
    if source["kind"] == "repository":
        url = normalize_repository_url(str(source["url"]), source["allowed_hosts"])  # a row may hold anything
        ports = (urlsplit(url).port or HTTPS,)
        fetching = [Path(source["ca_bundle"])] if source["ca_bundle"] else []
    elif source["kind"] == "directory":
        places = paths_to_read(Path(source["path"]))
        fetching, collecting = list(places.fetching), list(places.collecting)
    return (
        SandboxProfile(
            scratch=str(scratch), scratch_writable=True, readable_paths=_absolute(fetching), tcp_ports=ports
        ),
        SandboxProfile(scratch=str(scratch), readable_paths=_absolute(collecting)),
    )


def _absolute(paths: list[Path]) -> tuple[str, ...]:
    return tuple(str(path.absolute()) for path in paths)
