"""Files and ports that the sandbox profiles of an analysis allow."""

from pathlib import Path
from typing import Any

import pytest

from domain.errors import InvalidInputError
from tests.fixtures.git_repository import WorkTree
from worker.analysis.sandbox_profiles import MemoryBudget, build_profiles

SCRATCH = Path("/scratch/job-1")
GIB = 1 << 30


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


@pytest.mark.parametrize(("cores", "total_gib"), [(1, 4.5), (2, 7.5), (8, 25.5)])
def test_all_children_together_take_what_the_page_about_capacity_says(cores: int, total_gib: float) -> None:
    memory = MemoryBudget(2 * GIB, cores)
    fetching, collecting = build_profiles(SCRATCH, {"kind": "upload"})
    analyses = [memory.analysing(collecting, 1)] * cores
    fetches = [memory.fetching(fetching)] * memory.fetches
    express = memory.analysing(collecting, 1, express=True)
    assert sum(each.total_memory_bytes or 0 for each in (*analyses, *fetches, express)) == memory.total_bytes
    assert memory.total_bytes == total_gib * GIB
    assert memory.analysing(collecting, cores).total_memory_bytes == cores * 2 * GIB


def test_git_gets_less_memory_than_its_child_so_that_it_can_say_what_it_lacks() -> None:
    fetching = MemoryBudget(2 * GIB, 2).fetching(build_profiles(SCRATCH, {"kind": "upload"})[0])
    assert (fetching.memory_bytes, fetching.total_memory_bytes) == (GIB * 3 // 4, GIB)
    least = MemoryBudget(GIB // 4, 2).fetching(fetching)
    assert (least.memory_bytes, least.total_memory_bytes) == (GIB // 2, GIB // 2)
