"""Files and ports that the sandbox profiles of an analysis allow."""

from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInputError
from tests.fixtures.git_repository import WorkTree
from worker.analysis.sandbox_profiles import build_profiles

SCRATCH = Path("/scratch/job-1")


def repository(url: Any, ca_bundle: str | None = None) -> dict[str, Any]:
    allowed = ["host.example", "host.example:8443"]
    return {"kind": "repository", "url": url, "ca_bundle": ca_bundle, "allowed_hosts": allowed}


def test_only_fetching_a_repository_may_use_the_network() -> None:
    fetching, collecting = build_profiles(SCRATCH, repository("https://host.example:8443/a/b", "/etc/our-ca.pem"))
    assert (fetching.tcp_ports, fetching.readable_paths, fetching.scratch_writable) == (
        (8443,),
        ("/etc/our-ca.pem",),
        True,
    )
    assert (collecting.tcp_ports, collecting.readable_paths, collecting.scratch_writable) == ((), (), False)
    assert fetching.scratch == collecting.scratch == str(SCRATCH)
    assert build_profiles(SCRATCH, repository("https://host.example/a/b"))[0].tcp_ports == (443,)


@pytest.mark.parametrize("url", ["http://[x", "https://host.example:99999/a/b", 5, None, "https://other.example/a/b"])
def test_refused_repository_url_gets_no_profile(url: Any) -> None:
    with pytest.raises(InvalidInputError):
        build_profiles(SCRATCH, repository(url))


def test_upload_needs_scratch_only() -> None:
    for profile in build_profiles(SCRATCH, {"kind": "upload"}):
        assert (profile.tcp_ports, profile.readable_paths) == ((), ())


def test_only_head_refs_and_objects_of_a_local_repository_are_readable(tmp_path: Path) -> None:
    work = WorkTree(tmp_path / "work")
    work.commit("one", a_py="x = 1\n")
    inner = work.path / "inner"
    inner.mkdir()
    fetching, collecting = build_profiles(SCRATCH, {"kind": "directory", "path": str(inner)})
    assert collecting.readable_paths == (str(work.path / ".git/objects"),)
    readable = {Path(path).relative_to(work.path).as_posix() for path in fetching.readable_paths}
    assert {"inner", ".git/HEAD", ".git/refs", ".git/objects"} <= readable
    assert not readable & {".", ".git/config", ".git/hooks"}
