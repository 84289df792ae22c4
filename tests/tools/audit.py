"""`make audit`: vulnerabilities of the locked dependencies, and bandit's findings in our own code, a line each."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

LOCKS = (
    "requirements.lock",
    "requirements-demo.lock",
    "requirements-dev.lock",
    "requirements-build.lock",
    "requirements-bench.lock",
)
CHECKED_FOLDERS = (
    "worker",
    "collectors",
    "domain",
    "infrastructure",
    "alembic",
    "docs",
    "benchmarks",
    "examples",
    "clients",
)
EXAMPLE_PROJECTS = "examples/evaluation/projects"
"""Code that is analysed, and that nobody runs."""

ROOT = Path(__file__).parents[2]


class AuditError(Exception):
    """The audit has no result; the text is one line."""


def check_locks() -> Iterator[str]:
    """Yield the known vulnerabilities of every pinned package.

    Raises AuditError if the vulnerability service does not answer.
    """
    for lock in LOCKS:
        yield from (f"{lock}: {line}" for line in read_lock_report(*_run("pip_audit", *_ABOUT_LOCK, str(ROOT / lock))))


_ABOUT_LOCK = ("--require-hashes", "--disable-pip", "--progress-spinner=off", "--desc=off", "--format=json", "-r")


def read_lock_report(output: str, errors: str) -> Iterator[str]:
    """Yield the vulnerabilities in pip-audit's JSON report.

    Raises AuditError if the report lacks a result for a package: no answer is not a clean one.
    """
    try:
        packages = json.loads(output)["dependencies"]
    except ValueError as error:
        last = (errors.strip().splitlines() or ["no output"])[-1]
        raise AuditError(f"the vulnerability service cannot be reached: {last[:200]}") from error
    unknown = [package["name"] for package in packages if "skip_reason" in package]
    if unknown or not packages:
        some = ", ".join(unknown[:3])
        raise AuditError(f"the vulnerability service has no answer for {len(unknown)} of {len(packages)} ({some}, ...)")
    for package in packages:
        for known in package["vulns"]:
            fixed = ", ".join(known["fix_versions"]) or "no version yet"
            yield f"{package['name']} {package['version']}: {known['id']}, fixed in {fixed}"


def check_own_code() -> Iterator[str]:
    """Yield bandit's findings in our own code, except on lines that suppress one with a reason.

    Raises AuditError if bandit fails, or cannot read a file.
    """
    folders = [str(ROOT / folder) for folder in CHECKED_FOLDERS]
    output, errors = _run(
        "bandit",
        "-q",
        "-c",
        str(ROOT / "pyproject.toml"),
        "-x",
        str(ROOT / EXAMPLE_PROJECTS),
        "-f",
        "json",
        "-r",
        *folders,
    )
    try:
        document = json.loads(output)
    except ValueError as error:
        raise AuditError(f"bandit's output is not JSON: {errors[-200:]}") from error
    if document["errors"]:
        raise AuditError(f"bandit could not read {document['errors'][0]['filename']}")
    yield from map(_finding, document["results"])


def _finding(found: Mapping[str, Any]) -> str:
    place = Path(found["filename"]).relative_to(ROOT)
    return f"{place}:{found['line_number']}: {found['test_id']} {found['issue_text']}"


def _run(module: str, *arguments: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False)
    return done.stdout, done.stderr


CHECKS: Mapping[str, Callable[[], Iterator[str]]] = {"own-code": check_own_code, "locks": check_locks}


def main(*names: str) -> int:
    """Run the named checks, or all. Returns 0 without findings, 1 with findings, 2 if a check has no result."""
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
