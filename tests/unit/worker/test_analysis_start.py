"""How `vibe8 analyze` starts: what its two processes import, and which command lines the full parser gets."""

import subprocess
import sys
from pathlib import Path

import pytest

from worker.analysis.workspace import Removals, job_workspace
from worker.cli.main import _is_plain


@pytest.mark.parametrize(
    ("modules", "used", "unused"),
    [
        (
            "worker.cli.main, worker.cli.commands.analyze",
            {"asyncio", "pydantic", "structlog"},
            {
                "typer",
                "rich",
                "git",
                "prometheus_client",
                "httpx",
                "cryptography",
                "pypi_simple",
                "collectors.metrics",
                "worker.results.reviewed_analysis",
                "domain.gate.policy",
            },
        ),
        (
            "infrastructure.child_process.zygote, worker.analysis.child_tasks",
            {"bandit", "vulture", "ruff", "collectors.metrics.security"},
            {"rich", "yaml", "stevedore", "bandit.formatters", "git", "asyncio", "pydantic", "structlog", "httpx"},
        ),
    ],
    ids=["command", "zygote"],
)
def test_only_what_is_used_is_imported(modules: str, used: set[str], unused: set[str]) -> None:
    code = f"import sys, {modules}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert used <= set(loaded)
    assert not unused & set(loaded)


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        (".", True),
        ("src --json", True),
        ("--no-cache --json src", True),
        ("https://github.com/psf/requests", True),
        ("", False),
        ("--json", False),
        ("a b", False),
        ("a --branch b", False),
        ("a --bogus", False),
        ("-- a", False),
        ("a --json=1", False),
    ],
)
def test_only_a_source_with_flags_is_read_without_the_full_parser(line: str, plain: bool) -> None:
    assert _is_plain(line.split()) is plain


async def test_workspaces_are_gone_when_their_removals_end_whatever_is_raised(tmp_path: Path) -> None:
    async def work() -> None:
        async with Removals() as removals:
            async with job_workspace(tmp_path, removals) as first:
                (first / "deep" / "er").mkdir(parents=True)
            async with job_workspace(tmp_path, removals) as second:
                assert second != first
                (second / "file").write_text("x")
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert list(tmp_path.iterdir()) == []
