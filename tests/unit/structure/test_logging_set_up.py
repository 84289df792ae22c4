"""Logging is set up by programs, not by functions that tests or other programs call in their own process."""

import subprocess

from tests.unit.deploy.project_files import ROOT

PROGRAMS = {
    "benchmarks/growth/__main__.py",
    "benchmarks/http/__main__.py",
    "benchmarks/queue_workers.py",
    "worker/cli/commands/serve.py",
    "worker/cli/commands/up.py",
    "worker/cli/run_async.py",
}


def test_only_programs_set_up_logging() -> None:
    command = ["git", "grep", "--name-only", "--untracked", "configure_logging(", "--", "*.py", ":!tests"]
    found = set(subprocess.check_output(command, cwd=ROOT, text=True).split())
    assert found - {"infrastructure/observability/log_setup.py"} == PROGRAMS
