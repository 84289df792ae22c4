"""Which files and ports the two children of an analysis are given."""

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


def test_a_repository_is_fetched_from_its_hosts_port_and_collected_without_any() -> None:
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
def test_what_may_not_be_fetched_gets_no_port(url: Any) -> None:
    with pytest.raises(InvalidInputError):
        build_profiles(SCRATCH, repository(url))


def test_an_upload_needs_nothing_but_scratch() -> None:
    for profile in build_profiles(SCRATCH, {"kind": "upload"}):
        assert (profile.tcp_ports, profile.readable_paths) == ((), ())


def test_of_a_directorys_repository_only_head_refs_and_objects(tmp_path: Path) -> None:
    work = WorkTree(tmp_path / "work")
    work.commit("one", a_py="x = 1\n")
    inner = work.path / "inner"
    inner.mkdir()
    fetching, collecting = build_profiles(SCRATCH, {"kind": "directory", "path": str(inner)})
    assert collecting.readable_paths == (str(work.path / ".git/objects"),)
    readable = {Path(path).relative_to(work.path).as_posix() for path in fetching.readable_paths}
    assert {"inner", ".git/HEAD", ".git/refs", ".git/objects"} <= readable
    assert not readable & {".", ".git/config", ".git/hooks"}
