"""Measures well-known packages, for the percentiles of a project's numbers: `make calibrate`. Takes some ten minutes.

Each package is a wheel that pip downloads by name and that is unpacked; nothing of it is built or run. A package that
the lock has is measured in the locked version, so that a test can repeat it.
"""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from domain.findings.measured_run import iter_files
from domain.metrics.file_tree import quality_of
from domain.statistics.standing import HIGHER_IS_BETTER, Calibration, source_files, source_numbers
from worker.results.calibration import CALIBRATION_FILE

ROOT = Path(__file__).parents[2]
PROCESSES = 2
NOT_ANALYSERS = frozenset({"git", "packaging", "python"})
"""Entries of `tool_versions` on which none of the numbers depends, or that differ from machine to machine."""

PACKAGES = (
    "aiohttp", "alembic", "apscheduler", "arrow", "arq", "attrs", "babel", "bandit", "beautifulsoup4", "black",
    "bottle", "celery", "click", "cryptography", "django", "docutils", "fabric", "fastapi", "flask", "gitpython",
    "gunicorn", "httpx", "hypothesis", "jinja2", "jsonschema", "kombu", "marshmallow", "networkx", "paramiko", "peewee",
    "pip", "poetry-core", "psutil", "pydantic", "pygments", "pylint", "pytest", "redis", "requests", "rich", "scrapy",
    "setuptools", "sphinx", "sqlalchemy", "starlette", "structlog", "tornado", "twisted", "typer", "urllib3",
    "virtualenv", "werkzeug",
)  # fmt: skip


def main() -> int:
    """Measure all packages and write the file. Returns exit code 2, with one line, where a package cannot be had."""
    locked = locked_versions((ROOT / "requirements-dev.lock").read_text())
    with tempfile.TemporaryDirectory(prefix="vibe8-calibrate-") as scratch, ThreadPoolExecutor(PROCESSES) as pool:
        measured = pool.map(lambda name: _measure(Path(scratch, name), name, locked.get(name)), PACKAGES)
        try:
            rows = dict(zip(PACKAGES, measured, strict=True))
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{error.cmd[-1]}: {error.stderr.decode(errors='replace').strip().splitlines()[-1]}\n")
            return 2
    CALIBRATION_FILE.parent.mkdir(exist_ok=True)
    CALIBRATION_FILE.write_text(json.dumps(calibration(rows).to_json(), indent=1) + "\n")
    return 0


def locked_versions(lock: str) -> Mapping[str, str]:
    """Return the version of each package of a lock file."""
    return dict(re.findall(r"^([\w.-]+)==([^\s;]+)", lock, re.MULTILINE))


def calibration(rows: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Calibration:
    """Return the sorted values of all packages; each row is a version and the document of a run."""
    found = [numbers_of(document) for _, document in rows.values()]
    versions = [document["tool_versions"] for _, document in rows.values()]
    values = {name: sorted(value for each in found if (value := each[name]) is not None) for name in HIGHER_IS_BETTER}
    return Calibration(
        packages={name: version for name, (version, _) in rows.items()},
        tool_versions={tool: version for tool, version in versions[0].items() if tool not in NOT_ANALYSERS},
        values=values,
    )


def numbers_of(document: Mapping[str, Any]) -> Mapping[str, float | None]:
    """Return the numbers of a run that are compared."""
    nodes = list(iter_files(document["file_tree"]))
    return source_numbers(document["metrics"], source_files(nodes), quality_of(nodes))


def analyse(directory: Path) -> Mapping[str, Any]:
    """Return the document of `vibe8 analyze` over a directory."""
    command = [sys.executable, "-m", "worker", "analyze", "--json", "--no-cache", str(directory)]
    environment = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(directory.parent),
        "PACKAGE_INDEX_URL": "",
        "MAX_TREE_MB": "500",
    }
    run = subprocess.run(command, check=True, capture_output=True, cwd=ROOT, env=environment)
    document: Mapping[str, Any] = json.loads(run.stdout)
    return document


def _measure(scratch: Path, name: str, version: str | None) -> tuple[str, Mapping[str, Any]]:
    scratch.mkdir()
    wanted = name if version is None else f"{name}=={version}"
    options = ("--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:", "--dest", str(scratch))
    subprocess.run([sys.executable, "-m", "pip", "download", *options, wanted], check=True, capture_output=True)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(scratch / "tree")
    document = analyse(scratch / "tree")
    sys.stdout.write(f"{wheel.name}\n")
    return wheel.name.split("-")[1], document


if __name__ == "__main__":
    sys.exit(main())
