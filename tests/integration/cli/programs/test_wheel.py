"""The wheel alone, without a clone: it analyses, and has types and all that the commands need."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[4]


def test_wheel_analyses_without_a_clone(tmp_path: Path) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    packages = {path.name for path in site.iterdir() if not path.name.endswith(".dist-info")}
    assert packages == {"worker", "domain", "infrastructure", "collectors"}, "the client is a distribution of its own"
    project.mkdir()
    (project / "code.py").write_text("import os\n")
    start = "import sys, worker.cli.main as main; print(main.__file__, file=sys.stderr); main.main()"
    done = subprocess.run(
        [sys.executable, "-c", start, "analyze", ".", "--json", "--offline"],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(str(site))
    assert json.loads(done.stdout)["metrics"]["lint"]["total"] == 1
    assert all(
        (site / package / "py.typed").exists() for package in ("worker", "domain", "infrastructure", "collectors")
    )
