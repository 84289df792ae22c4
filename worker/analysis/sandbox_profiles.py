"""Sandbox profiles of an analysis: one for fetching, one for collecting."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from domain.sandbox import SandboxProfile
from domain.sources import normalize_repository_url
from domain.text import JSON
from infrastructure.sources.local.history import paths_to_read

HTTPS_PORT = 443


def build_profiles(scratch: Path, source: Mapping[str, JSON]) -> tuple[SandboxProfile, SandboxProfile]:
    """Return the profile for fetching `source` into `scratch`, and the one for collecting.

    Fetching may write `scratch` and connect to the git host. Collecting may only read `scratch`. Both may read the git
    history of a local directory, which is not copied. `source` is what `worker.analysis.child_tasks.fetch` reads.
    Raises InvalidInputError for a repository URL that is not allowed.
    """
    fetching: list[Path] = []
    collecting: list[Path] = []
    ports: tuple[int, ...] = ()
    if source["kind"] == "repository":
        url = normalize_repository_url(
            str(source["url"]), source["allowed_hosts"]
        )  # the row may have been written by another program
        ports = (urlsplit(url).port or HTTPS_PORT,)
        fetching = [Path(source["ca_bundle"])] if source["ca_bundle"] else []
    elif source["kind"] == "directory":
        paths = paths_to_read(Path(source["path"]))
        fetching, collecting = list(paths.fetching), list(paths.collecting)
    return (
        SandboxProfile(
            scratch=str(scratch), scratch_writable=True, readable_paths=_absolute(fetching), tcp_ports=ports
        ),
        SandboxProfile(scratch=str(scratch), readable_paths=_absolute(collecting)),
    )


def _absolute(paths: list[Path]) -> tuple[str, ...]:
    return tuple(str(path.absolute()) for path in paths)
