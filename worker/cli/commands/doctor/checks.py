"""`vibe8 doctor`: check what a worker needs, and say what to do where a check fails."""

import asyncio
import os
import platform
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

from cryptography.fernet import Fernet
from rich.console import Console
from rich.markup import escape

from collectors.engine.discovery import discover
from collectors.engine.report_assembly import tool_versions
from domain.errors import ServiceUnavailableError, Vibe8Error
from domain.sandbox import Guarantee
from domain.text import one_line
from infrastructure.child_process.runner import ZygoteRunner
from infrastructure.settings import Settings, load_settings, misspelt_settings
from worker.analysis.pipeline_factory import child_limits
from worker.analysis.workspace import worker_workspace
from worker.cli.commands.doctor.connections import check_connections
from worker.cli.commands.doctor.services import Check, check_services
from worker.cli.exit_codes import DONE, FAILED, UNREACHABLE
from worker.cli.output.writer import OutputWriter
from worker.process.backpressure import available_memory_mb

NEW_KEY_COMMAND = "python -c 'from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())'"


async def run_checks(*, as_json: bool, quiet: bool, only_problems: bool = False) -> int:
    """Run all checks, and print them, or only those that failed or warn.

    Returns DONE where none failed, FAILED where one did, UNREACHABLE where a service is away.
    """
    checks = [_python(), _tools(), await asyncio.to_thread(_git), *await _sandbox(), *await _services()]
    output = OutputWriter(as_json=as_json)
    shown = [check for check in checks if check.advice or not check.ok] if only_problems else checks
    if as_json:
        output.print_json([asdict(check) for check in shown])
    elif not quiet:
        for check in shown:
            _print_check(output.console, check)
    if any(check.unreachable for check in checks):
        return UNREACHABLE
    return DONE if all(check.ok for check in checks) else FAILED


def _print_check(console: Console, check: Check) -> None:
    state = "[red]FAIL[/red]" if not check.ok else "[yellow]WARN[/yellow]" if check.advice else "[green]OK  [/green]"
    console.print(f"{state}  {check.name:<14}  {escape(check.found)}", soft_wrap=True)
    if check.advice:
        console.print(f"{'':<22}-> {escape(check.advice)}", soft_wrap=True)


def _python() -> Check:
    cores = len(os.sched_getaffinity(0))
    return Check(name="python", found=f"{platform.python_version()}, {cores} cores, {platform.system()}")


def _tools() -> Check:
    versions = ", ".join(f"{name} {version}" for name, version in tool_versions(discover()).items() if name != "python")
    return Check(name="tools", found=versions)


def _git() -> Check:
    git = shutil.which("git")
    if git is None:
        return Check(name="git", found="not on the PATH", ok=False, advice="install git")
    version = subprocess.run([git, "--version"], capture_output=True, text=True, check=False)
    return Check(name="git", found=version.stdout.strip())


async def _sandbox() -> list[Check]:
    settings = load_settings(need_services=False)
    try:
        with worker_workspace(settings.scratch_dir) as scratch:
            children = ZygoteRunner((), child_limits(settings, cores=1), scratch=scratch)
            try:
                await children.start()
            finally:
                await children.stop()
    except Vibe8Error as error:
        return [Check(name="sandbox", found=one_line(str(error)), ok=False, advice="set SCRATCH_DIR")]
    return [_guarantee(guarantee) for guarantee in children.guarantees]


def _guarantee(guarantee: Guarantee) -> Check:
    missing = "" if guarantee.available else "MISSING, "
    return Check(
        name="sandbox",
        found=f"{guarantee.name} ({guarantee.feature}): {missing}{guarantee.detail}",
        ok=guarantee.available or not guarantee.mandatory,
        advice="" if guarantee.available else guarantee.remedy,
    )


async def _services() -> list[Check]:
    try:
        settings = load_settings()
    except ServiceUnavailableError as error:
        missing = Check(name="services", found="no addresses are set", ok=False, advice=str(error), unreachable=True)
        return [*_local(load_settings(need_services=False)), missing]
    return [*_local(settings), *await check_services(settings), *await check_connections(settings)]


def _local(settings: Settings) -> list[Check]:
    return [_misspelt(), _scratch(settings), _memory(settings), _tokens(settings)]


def _misspelt() -> Check:
    """Check for variables that look like settings and are read by nothing: a warning, since they may be another's."""
    misspelt = misspelt_settings(os.environ)
    if not misspelt:
        return Check(name="settings", found="every variable with a setting's name is read")
    return Check(name="settings", found=f"not read: {misspelt}", advice="see docs/configuration.md for the names")


def _scratch(settings: Settings) -> Check:
    directory: Path = settings.scratch_dir
    try:
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free // (1024 * 1024)
    except OSError as error:
        return Check(name="scratch", found=f"{directory}: {error.strerror}", ok=False, advice="set SCRATCH_DIR")
    if not os.access(directory, os.W_OK):
        return Check(name="scratch", found=f"{directory} cannot be written", ok=False, advice="set SCRATCH_DIR")
    found, least = f"{directory}, {free} MB free", settings.min_free_disk_mb
    if free >= 2 * least:
        return Check(name="scratch", found=found)
    advice = f"free some disk space: with less than {least} MB (MIN_FREE_DISK_MB) the worker claims no job"
    return Check(name="scratch", found=found, ok=free >= least, advice=advice)


def _memory(settings: Settings) -> Check:
    available, least = available_memory_mb(), settings.min_free_memory_mb
    if available is None:
        return Check(name="memory", found="the available memory is not known on this machine")
    found = f"{available} MB available"
    if available >= least:
        return Check(name="memory", found=found)
    advice = f"free or add memory: with less than {least} MB (MIN_FREE_MEMORY_MB) the worker claims no job"
    return Check(name="memory", found=found, ok=False, advice=advice)


def _tokens(settings: Settings) -> Check:
    keys = [key.get_secret_value() for key in settings.token_encryption_keys]
    if not keys:
        return Check(name="tokens", found="no TOKEN_ENCRYPTION_KEYS: private repositories are refused")
    try:
        for key in keys:
            Fernet(key)
    except ValueError:
        found = "TOKEN_ENCRYPTION_KEYS holds a value that is no Fernet key"
        return Check(name="tokens", found=found, ok=False, advice=f"make one with: {NEW_KEY_COMMAND}")
    return Check(name="tokens", found=f"encrypted with the first of {len(keys)} keys")
