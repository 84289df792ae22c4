import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.sources.local.packing import pack_directory
from tests.fixtures.git_repository import WorkTree

UPLOAD = """
import json, sys
from pathlib import Path
from domain.errors import Vibe8Error
from infrastructure.sources.git.clone import fetch_repository
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.uploads.upload import fetch_upload
root = Path(sys.argv[1])
try:
    if sys.argv[2] == "clone":
        options = {"ca_bundle": None, "allowed_hosts": ["github.com"]}
        fetch_repository("https://github.com/o/r", None, None, SourceLayout(root), SourceLimits(), **options)
    source = fetch_upload(sys.argv[2], sys.stdin.read(), SourceLayout(root), SourceLimits())
    print(json.dumps(source.to_json()))
except Vibe8Error as error:
    print(json.dumps({"error": f"{type(error).__name__}: {error}"}))
"""


def run(directory: Path, filename: str, data: bytes, **environment: str) -> dict[str, object]:
    """Fetch an upload, or clone for the name `clone`, in a process without git on its PATH."""
    directory.mkdir()
    result = subprocess.run(
        [sys.executable, "-c", UPLOAD, str(directory), filename],
        input=base64.b64encode(data),
        capture_output=True,
        check=True,
        env={"PATH": str(directory), **environment},
    )
    answer: dict[str, object] = json.loads(result.stdout)
    return answer


def test_python_file_needs_no_git(tmp_path: Path) -> None:
    assert run(tmp_path / "scratch", "a.py", b"x = 1\n")["skipped"] == []


def test_archive_is_fetched_without_its_history(work_tree: WorkTree, tmp_path: Path) -> None:
    source = run(tmp_path / "scratch", "a.zip", pack_directory(work_tree.path, with_history=True))
    assert source["has_history"] is False
    assert source["skipped"] == [[".git", "history unusable: git is not installed on this machine"]]


@pytest.mark.parametrize("inherited", [{}, {"SOMETHING": "inherited"}])
def test_clone_reports_that_git_is_not_installed(tmp_path: Path, inherited: dict[str, str]) -> None:
    assert run(tmp_path / "scratch", "clone", b"", **inherited) == {
        "error": "PermanentError: git is not installed on this machine"
    }
