"""`make audit`: what is known against our dependencies, and what bandit says of us. One line for each finding."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-build.lock")
ROOMS = ("worker", "collectors", "domain", "infrastructure", "alembic", "docs", "benchmarks", "examples")
ROOT = Path(__file__).parents[2]


class AuditError(Exception):
    """The audit could not be made; the text is one line."""


def locks() -> Iterator[str]:
    """Ask the vulnerability service about every pinned package. Raises AuditError where it does not answer."""
    for lock in LOCKS:
        yield from (f"{lock}: {line}" for line in judge_lock(*_run("pip_audit", *_ABOUT_LOCK, str(ROOT / lock))))


_ABOUT_LOCK = ("--require-hashes", "--disable-pip", "--progress-spinner=off", "--desc=off", "--format=json", "-r")


def judge_lock(said: str, complaint: str) -> Iterator[str]:
    """What pip-audit's JSON holds against the lock. Raises AuditError where it was told nothing about a package."""
    try:
        packages = json.loads(said)["dependencies"]
    except ValueError as error:
        last = (complaint.strip().splitlines() or ["it said nothing"])[-1]
        raise AuditError(f"the vulnerability service cannot be reached: {last[:200]}") from error
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown or not packages:
        some = ", ".join(unknown[:3])
        raise AuditError(f"the vulnerability service has no answer for {len(unknown)} of {len(packages)} ({some}, ...)")
    for package in packages:
        for known in package["vulns"]:
            mended = ", ".join(known["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {known['id']}, mended in {mended}"


def ourselves() -> Iterator[str]:
    """What bandit finds in our own code beyond the lines that say why. Raises AuditError."""
    places = [str(ROOT / room) for room in ROOMS]
    said, complaint = _run("bandit", "-q", "-c", str(ROOT / "pyproject.toml"), "-f", "json", "-r", *places)
    try:
        document = json.loads(said)
    except ValueError as error:
        raise AuditError(f"bandit said nothing that can be read: {complaint[-200:]}") from error
    if document["errors"]:
        raise AuditError(f"bandit could not read {document['errors'][0]['filename']}")
    yield from map(_finding, document["results"])


def _finding(found: Mapping[str, Any]) -> str:
    place = Path(found["filename"]).relative_to(ROOT)
    return f"{place}:{found['line_number']}: {found['test_id']} {found['issue_text']}"


def _run(module: str, *arguments: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


CHECKS: Mapping[str, Callable[[], Iterator[str]]] = {"ourselves": ourselves, "locks": locks}


def main(*names: str) -> int:
    """Run the checks of these names, or all: 0 clean, 1 something was found, 2 no telling."""
    code = 0
    for name in names or CHECKS:
        try:
            found = list(CHECKS[name]())
        except AuditError as error:
            print(f"audit of {name}: {error}", file=sys.stderr)
            code = 2
            continue
        print(*found or [f"audit of {name}: clean"], sep="\n")
        code = max(code, bool(found))
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
