"""`make demo`: jobs from submission to result, and a tracked repository, on temporary servers.

Starts PostgreSQL and Valkey, migrates, and starts a worker process. Submits an earlier commit of the working directory,
then the working directory with its git history, shows the progress, the result and what changed since that commit.
Then it tracks a copy of the repository behind a git host, pushes the newest commit to it, and shows how the run of that
commit compares with the first. At the end it writes a report, whose link stays valid, and stops everything that it
started.
"""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from domain.errors import ServiceUnavailableError, Vibe8Error
from domain.text import one_line
from infrastructure.embedded.git_host import GitHost, can_serve
from infrastructure.embedded.stack import EmbeddedStack
from infrastructure.embedded.stack_file import HOME_VARIABLE
from worker.cli.commands.up import handle_termination_signals
from worker.cli.exit_codes import INTERRUPTED, exit_code

UPLOAD_MB = 200
START_SECONDS = 60
COMMITS_BACK = 20
REPORT = "vibe8-report.html"
_PLAIN = re.compile(r"[^A-Za-z0-9_.-]+")
# -P: the working directory is analysed and must not be imported.
VIBE8 = (sys.executable, "-P", "-c", "from worker.cli.main import main; main()")
_SERVICE_VARIABLES = ("DATABASE_URL", "REDIS_URL", "REDIS_HOST")


def main() -> None:
    """Run the demonstration. Exits with 0 when the job completed, else with the exit code of what failed."""
    handle_termination_signals(signal.default_int_handler)
    try:
        code = _run_with_own_servers()
    except Vibe8Error as error:
        print(f"vibe8: {one_line(str(error), 2_000)}", file=sys.stderr)
        code = exit_code(error)
    except KeyboardInterrupt:
        print("vibe8: interrupted; the demonstration has stopped everything that it started", file=sys.stderr)
        code = INTERRUPTED
    sys.exit(code)


def _run_with_own_servers() -> int:
    with _temporary_directory() as directory:
        stack = EmbeddedStack(directory, durable=False)
        try:
            _print_line("1/7  starting PostgreSQL and Valkey in a temporary directory")
            stack.start()
            with _git_host(directory) as host:
                return _demonstrate(directory, _environment(directory, host), host)
        finally:
            handle_termination_signals(signal.SIG_IGN)  # a second Ctrl-C must not interrupt the stopping of the servers
            stack.stop()


def _git_host(directory: Path) -> AbstractContextManager[GitHost | None]:
    return GitHost(directory / "git-host") if can_serve() else nullcontext()


def _environment(directory: Path, host: GitHost | None) -> dict[str, str]:
    git = {} if host is None else {"GIT_ALLOWED_HOSTS": host.address, "GIT_CA_BUNDLE": str(host.ca_file)}
    variables = {
        **git,
        HOME_VARIABLE: str(directory),
        "SCRATCH_DIR": str(directory / "scratch"),
        "MAX_UPLOAD_MB": str(UPLOAD_MB),
        "LOG_FORMAT": "json",
    }
    return {**{name: value for name, value in os.environ.items() if name not in _SERVICE_VARIABLES}, **variables}


def _demonstrate(directory: Path, environment: Mapping[str, str], host: GitHost | None) -> int:
    _print_line("2/7  creating the schema")
    migrated = _run(("migrate",), environment)
    if migrated:
        return migrated
    _print_line("3/7  starting a worker process")
    with _worker(environment, directory / "worker.log"):
        project = ("--project", Path.cwd().name or "demo")
        earlier = _earlier_commit(directory / "earlier")
        if earlier is None:
            _print_line("4/7  no earlier commit to compare with: the git history is not here")
        else:
            _print_line(f"4/7  submitting commit {earlier}, to compare with")
            _run(("submit", str(directory / "earlier"), *project, "--wait", "--json"), environment, quiet=True)
        _print_line("5/7  submitting this directory with its git history, and waiting for its job\n")
        code = _run(("submit", ".", *project, "--wait"), environment)
        if code == 0:
            code = _track(environment, host, earlier)
        return code or _write_report(environment)


def _track(environment: Mapping[str, str], host: GitHost | None, earlier: str | None) -> int:
    """Track a copy of the repository as it was at an earlier commit, push the newest one, and compare both runs."""
    if host is None or earlier is None:
        _print_line("\n6/7  no repository is tracked: that needs an earlier commit, and git's http-backend")
        return 0
    name = f"demo/{_PLAIN.sub('-', Path.cwd().name).strip('-.') or 'project'}"
    copy = host.root / name
    # A copy, so that neither hooks nor refs of the working directory are touched.
    made = _git("clone", "--quiet", "--bare", "--no-tags", "--", ".", str(copy))
    if made is None or _git("--git-dir", str(copy), "update-ref", "refs/heads/main", earlier) is None:
        _print_line("\n6/7  no repository is tracked: git could not copy this one")
        return 0
    _git("--git-dir", str(copy), "symbolic-ref", "HEAD", "refs/heads/main")
    _print_line(f"\n6/7  tracking a copy of this repository, at commit {earlier}")
    code = _run(("repo", "add", host.url(name), "--schedule", "hourly", "--wait"), environment)
    if code:
        return code
    _print_line("\n7/7  pushing this commit to it; the check finds it, and its run is compared with the first\n")
    _git("push", "--quiet", "--no-verify", str(copy), "+HEAD:refs/heads/main")
    code = _run(("repo", "check", host.url(name), "--wait"), environment, quiet=True)
    return code or _run(("compare", _newest_run(environment)), environment)


def _earlier_commit(directory: Path) -> str | None:
    """Write the files of an earlier commit into a new directory. Returns its short id; None where there is none."""
    listed = _git("rev-list", "--first-parent", "--abbrev-commit", f"--max-count={COMMITS_BACK + 1}", "HEAD")
    commits = (listed or b"").decode().split()
    archive = None if len(commits) < 2 else _git("archive", "--format=zip", commits[-1])
    if archive is None:
        return None
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        files.extractall(directory)
    return commits[-1]


def _git(*arguments: str) -> bytes | None:
    done = subprocess.run(["git", *arguments], capture_output=True, check=False)  # nosec B607 # noqa: S607 - on the PATH
    return done.stdout if done.returncode == 0 else None


def _write_report(environment: Mapping[str, str]) -> int:
    """Export the newest run as a page into the working directory. Returns an exit code."""
    code = _run(("export", _newest_run(environment), "--format", "html", "--output", REPORT), environment)
    if code == 0:
        _print_line(f"\nThe report, for a browser: {Path(REPORT).resolve().as_uri()}")
    return code


def _newest_run(environment: Mapping[str, str]) -> str:
    listed = subprocess.run(
        [*VIBE8, "runs", "--limit", "1", "--json"], env=environment, capture_output=True, check=True
    )
    return str(json.loads(listed.stdout)[0]["source"]["run_id"])


def _run(arguments: tuple[str, ...], environment: Mapping[str, str], *, quiet: bool = False) -> int:
    """Run `vibe8 ARGUMENTS` and return its exit code. Always waits for its end: Ctrl-C on a terminal reaches it too."""
    output = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen([*VIBE8, *arguments], env=environment, stdout=output)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        raise
    finally:
        process.wait()


@contextmanager
def _worker(environment: Mapping[str, str], log_file: Path) -> Iterator[None]:
    """Start a worker process; at the end, drain it and wait for it."""
    with log_file.open("wb") as log:
        # A session of its own, so that Ctrl-C on a terminal reaches this process only, which then ends the worker.
        process = subprocess.Popen([*VIBE8, "worker"], env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while b"worker.started" not in log_file.read_bytes():
            if process.poll() is not None or time.monotonic() > deadline:
                raise ServiceUnavailableError(f"the worker did not start: {log_file.read_text()[-1000:]}")
            time.sleep(0.05)
        yield
    finally:
        handle_termination_signals(signal.SIG_IGN)
        for _ in range(2):  # the first signal drains, the second sends running jobs back to the queue
            process.terminate()
        process.wait()


@contextmanager
def _temporary_directory() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="vibe8-demo-"))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _print_line(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
