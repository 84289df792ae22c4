"""Running git with an argument list, a newly built environment, and only the configuration of this module.

GitPython's command layer starts the process. Its repository objects are not used, because they read the repository's
configuration, which the submitter controls.
"""

import os
import re
import resource
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, BinaryIO, Self, cast

from domain.errors import PermanentError
from domain.text import one_line

EMPTY_TREE_ID = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MINIMUM_GIT_VERSION = (2, 37)
"""First version that can fix the address of a host (`http.curloptResolve`) and refuse credentials in a URL."""

MAX_OUTPUT_BYTES = 1 << 20
_KEPT_STDERR_BYTES = 1 << 14
_CUT_MARK = b"..."
_OWN_PREFIXES = ("fatal:", "error:")
_TERMINATE_GRACE_SECONDS = 2.0
_COMMAND_NOT_FOUND = 127
"""Exit code of a shell, and of `env`, for a program that does not exist."""

_INHERITED_VARIABLES = ("PATH", "LD_LIBRARY_PATH")

GitConfig = Sequence[tuple[str, str]]

_SAFE_CONFIG: GitConfig = (
    # No hook, helper or other program may be named by the repository.
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    # The tree's .gitattributes must not hide its churn; git 2.43 and newer reads it in a bare repository as well.
    ("core.attributesFile", "/dev/null"),
    ("attr.tree", EMPTY_TREE_ID),
    # These caches are stored beside the objects, and the submitter may have written them for a linked history.
    ("core.commitGraph", "false"),
    ("core.multiPackIndex", "false"),
    # The address space is limited, and git maps packs into it.
    ("core.packedGitLimit", "256m"),
    ("core.packedGitWindowSize", "32m"),
    ("pack.threads", "2"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    # No redirect to an unchecked address, and no proxy, which would resolve names itself.
    ("protocol.version", "2"),
    ("http.followRedirects", "false"),
    ("http.proxy", ""),
    ("http.sslVerify", "true"),
    ("transfer.credentialsInUrl", "die"),
    ("transfer.bundleURI", "false"),
    # A fetch writes one pack file, whose size the kernel can limit.
    ("transfer.unpackLimit", "1"),
    # Well-known repositories have old flaws that fsck refuses. They are harmless here: nothing is checked out, and each
    # name is validated when the tree is read. git checks hashes and connectivity in any case.
    ("transfer.fsckObjects", "false"),
    ("fetch.fsckObjects", "false"),
)


class GitFailedError(Exception):
    """Failed git process. `status` is its exit code, or minus the signal; `stderr` is the end of its error output."""

    def __init__(self, status: int, stderr: str) -> None:
        super().__init__(status, stderr)
        self.status = status
        self.stderr = stderr

    @property
    def is_not_installed(self) -> bool:
        """Whether there is no git on this machine."""
        return self.status == _COMMAND_NOT_FOUND

    def own_lines(self) -> list[str]:
        """Return the lines that git itself wrote about the failure.

        git marks what it passes on from a host with `remote:`, line by line, and its own messages with `fatal:` or
        `error:`. A message of git may quote the host, line ends included, so only the first line is git's for certain.
        """
        lines = re.split(r"[\r\n]", self.stderr)  # a host may use the other line ends of `splitlines`
        return [line for line in lines if line.startswith(_OWN_PREFIXES)]

    def reason(self) -> str:
        """Summarize the failure in one line, for the result of the job."""
        if self.is_not_installed:
            return "git is not installed on this machine"
        lines = self.own_lines()
        if lines:
            return one_line(lines[0].partition(":")[2], 200)
        if self.status < 0:
            return f"git was stopped by signal {-self.status}"
        return one_line(self.stderr, 200) or f"git ended with exit code {self.status}"


def git_environment(repository: Path, config: GitConfig = (), *, protocols: str = "none") -> dict[str, str]:
    """Build the whole environment of a git process that works on the bare `repository`.

    `config` is added to the safe configuration. It may contain secrets, because it is neither in an argument nor in a
    file. `protocols` are the transports that git may use, separated by colons.
    """
    environment = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}
    environment |= {
        "GIT_DIR": str(repository),  # git does not search the parent directories for a repository
        "HOME": str(repository.parent),
        "LANG": "C",
        "LANGUAGE": "C",
        "LC_ALL": "C",
        "GIT_ALLOW_PROTOCOL": protocols,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_PYTHON_REFRESH": "quiet",
        "GIT_TERMINAL_PROMPT": "0",
    }
    pairs = (*_SAFE_CONFIG, *config)
    environment["GIT_CONFIG_COUNT"] = str(len(pairs))
    for number, (key, value) in enumerate(pairs):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _unset_inherited(environment: Mapping[str, str]) -> list[str]:
    """Return a command prefix that unsets all variables but those of `environment`: GitPython passes `os.environ` on.

    In analysis child processes there are no other variables, and the prefix is empty.
    """
    inherited = sorted(set(os.environ) - set(environment))
    return ["env", *(part for name in inherited for part in ("-u", name))] if inherited else []


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Limit the size of files that this process can write; processes started inside keep the limit (in bytes)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    new_soft = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (new_soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def end_of_output(output: bytes, limit: int) -> bytes:
    """Return the end of an output, at most `limit` bytes. The first line is marked if it is cut.

    Its beginning said who wrote it (see `GitFailedError.own_lines`), so its rest must not look like a whole line.
    """
    if len(output) <= limit:
        return output
    return _CUT_MARK + output[len(_CUT_MARK) - limit :]


class GitProcess:
    """A running git process. Read `stdout`, then call `finish`; leaving the `with` block before that kills it."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: BinaryIO | int | None = None,
        timeout: float | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
    ) -> None:
        """Start git; it is killed after `timeout` seconds.

        `on_stderr` is called with each chunk of stderr, from another thread, and with an empty chunk at the end.
        """
        # Imported here, because many sources need no git. A zygote imports it in advance, for `child_tasks`.
        from infrastructure.sources.git.gitpython import Git, GitCommandNotFound  # noqa: PLC0415

        command = [*_unset_inherited(environment), "git", *arguments]
        # GitPython terminates the process when its handle is garbage-collected, so the handle is kept.
        try:
            git = Git(environment["HOME"])
            self._handle = git.execute(command, env=dict(environment), as_process=True, istream=stdin)
        except GitCommandNotFound as error:
            raise GitFailedError(_COMMAND_NOT_FOUND, "") from error
        self._process = cast("subprocess.Popen[bytes]", self._handle.proc)
        self.stdout = cast("IO[bytes]", self._process.stdout)
        self._stderr = b""
        self._on_stderr = on_stderr or (lambda _: None)
        self._stderr_thread = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_thread.start()
        self._kill_timer = threading.Timer(timeout, self._process.kill) if timeout is not None else None
        if self._kill_timer is not None:
            self._kill_timer.start()

    def _read_stderr(self) -> None:
        stream = cast("IO[bytes]", self._process.stderr)
        while chunk := os.read(stream.fileno(), 1 << 16):
            self._stderr = end_of_output(self._stderr + chunk, _KEPT_STDERR_BYTES)
            self._on_stderr(chunk)
        self._on_stderr(b"")

    def write_stdin(self, lines: Iterable[bytes]) -> None:
        """Write the whole standard input (a pipe) and close it. The command must read it all before it prints."""
        pipe = cast("IO[bytes]", self._process.stdin)
        with suppress(BrokenPipeError):  # git has ended, and `finish` raises its error
            pipe.writelines(lines)
            pipe.close()

    def is_running(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Send SIGTERM; git ends its helper processes as well."""
        self._process.terminate()

    def finish(self) -> None:
        """Wait until the process ends. Raises GitFailedError unless its exit code is 0."""
        status = self._process.wait()
        self._stderr_thread.join()
        if status != 0:
            raise GitFailedError(status, self._stderr.decode("utf-8", "replace"))

    def _stop(self) -> None:
        """Stop the process if it runs. SIGTERM comes first, so that git ends its helpers: they keep the pipes open."""
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(_TERMINATE_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        if self._kill_timer is not None:
            self._kill_timer.cancel()
        self._stderr_thread.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def run_git(
    repository: Path, *arguments: str, config: GitConfig = (), protocols: str = "none", timeout: float | None = None
) -> bytes:
    """Run git and return its output. Raises GitFailedError, also for more than `MAX_OUTPUT_BYTES` of output."""
    environment = git_environment(repository, config, protocols=protocols)
    with GitProcess(arguments, environment, timeout=timeout) as process:
        output = process.stdout.read(MAX_OUTPUT_BYTES + 1)
        if len(output) > MAX_OUTPUT_BYTES:
            raise GitFailedError(1, f"error: git {arguments[0]} wrote more than {MAX_OUTPUT_BYTES} bytes")
        process.finish()
        return output


def require_git(repository: Path) -> None:
    """Raise PermanentError unless git is installed and supports the options on which safe cloning relies."""
    try:
        output = run_git(repository, "version")
    except GitFailedError as error:
        raise PermanentError(error.reason()) from error
    version = re.search(rb"(?<!\d)(\d++)\.(\d++)", output)
    if version is None or (int(version[1]), int(version[2])) < MINIMUM_GIT_VERSION:
        needed = ".".join(map(str, MINIMUM_GIT_VERSION))
        raise PermanentError(f"git {needed} or newer is needed on the worker to clone safely")
