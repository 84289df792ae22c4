"""A project with a package of the same name as one of ours is told so, instead of `No module named 'domain.errors'`."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("made", ["domain/__init__.py", "collectors/__init__.py", "infrastructure.py"])
def test_package_that_hides_ours_is_named_with_what_to_do(tmp_path: Path, made: str) -> None:
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).touch()
    command = [sys.executable, "-c", "import worker.client"]
    refused = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    last = refused.stderr.strip().splitlines()[-1]
    assert last.startswith(f"ImportError: {tmp_path / made} comes before the package ")
    assert last.endswith("rename it, or start the program from another directory")


def test_folder_without_python_of_the_same_name_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "domain").mkdir()
    subprocess.run([sys.executable, "-c", "import worker.client"], cwd=tmp_path, check=True)
