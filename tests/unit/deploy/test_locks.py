"""The lock files: every requirement is pinned with hashes, and no lock names an index."""

import re

import pytest

from tests.tools.audit import LOCKS
from tests.unit.deploy.project_files import ROOT

PIN = re.compile(r"[a-z0-9][a-z0-9._-]*==[^\s;]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+")
locks = pytest.mark.parametrize("name", LOCKS)


def entries(name: str) -> list[str]:
    """Return the requirements of the lock, each with its continuation lines."""
    return re.split(r"\n(?! )", (ROOT / name).read_text().strip())


@locks
def test_every_requirement_is_a_pin_with_its_hashes(name: str) -> None:
    found = entries(name)
    assert len(found) > 3
    for entry in found:
        assert PIN.fullmatch(entry), entry


@locks
def test_no_lock_names_an_index(name: str) -> None:
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert not re.search(r"^-|index-url|find-links|trusted-host", text, re.MULTILINE)


def test_nothing_is_installed_without_hashes() -> None:
    for name in ("Makefile", "Dockerfile"):
        lines = (ROOT / name).read_text().replace("\\\n", " ").splitlines()
        installs = [part for line in lines for part in line.split("&&") if re.search(r"\bpip install\b", part)]
        assert installs
        for install in installs:
            assert "--require-hashes" in install or "--no-deps" in install, install


def test_development_and_demo_use_the_production_versions() -> None:
    production, demo, development = (
        set(map(pinned, entries(f"requirements{name}.lock"))) for name in ("", "-demo", "-dev")
    )
    assert production < demo < development


def pinned(entry: str) -> str:
    return entry.split(" ", 1)[0]
