"""How git is run: an argument list, an environment built here from nothing, and no configuration but our own.

GitPython's command layer starts the process. Its repository objects are not used: they read a repository's
configuration, which belongs to the submitter.
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

from git.cmd import Git
from git.exc import GitCommandNotFound

from domain.errors import PermanentError
from domain.text import one_line

EMPTY_TREE_ID = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
MINIMUM_GIT_VERSION = (2, 37)
"""The first that can pin a host's address (`http.curloptResolve`) and refuse credentials in a URL."""

MAX_OUTPUT = 1 << 20
_KEPT_ERROR_BYTES = 1 << 14
_GRACE_SECONDS = 2.0
_NOT_FOUND = 127
"""What a shell, and `env`, say of a program that is not there."""

_INHERITED = ("PATH", "LD_LIBRARY_PATH")

Config = Sequence[tuple[str, str]]

_OUR_CONFIG: Config = (
    # No program may be named by anyone but us.
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.askPass", ""),
    ("credential.helper", ""),
    # The tree's own .gitattributes must not hide its churn; gits from 2.43 on may read it in a bare repository too.
    ("core.attributesFile", "/dev/null"),
    ("attr.tree", EMPTY_TREE_ID),
    # These caches sit beside borrowed objects, where the submitter may have written them.
    ("core.commitGraph", "false"),
    ("core.multiPackIndex", "false"),
    # The address space is limited, and packs are mapped into it.
    ("core.packedGitLimit", "256m"),
    ("core.packedGitWindowSize", "32m"),
    ("pack.threads", "2"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("submodule.recurse", "false"),
    # No shell, no redirect to an address that was not judged, no proxy that would resolve names by itself.
    ("protocol.version", "2"),
    ("http.followRedirects", "false"),
    ("http.proxy", ""),
    ("http.sslVerify", "true"),
    ("transfer.credentialsInUrl", "die"),
    ("transfer.bundleURI", "false"),
    # One pack is one file, whose size the kernel can limit.
    ("transfer.unpackLimit", "1"),
    # Well-known repositories have old flaws that fsck refuses. Nothing is ever checked out, and each name is judged
    # when the tree is read, so that they harm nobody; hashes and connectivity are checked all the same.
    ("transfer.fsckObjects", "false"),
    ("fetch.fsckObjects", "false"),
)


class GitFailedError(Exception):
    """git ended with an error. `status` is its exit code, or minus the signal; `stderr` the end of what it said."""

    def __init__(self, status: int, stderr: str) -> None:
        super().__init__(status, stderr)
        self.status = status
        self.stderr = stderr

    def reason(self) -> str:
        """One line for whoever reads the run."""
        if self.status == _NOT_FOUND:
            return "git is not installed on this machine"
        lines = [line for line in self.stderr.splitlines() if line.startswith(("fatal:", "error:"))]
        if lines:
            return one_line(lines[0].partition(":")[2], 200)
        if self.status < 0:
            return f"git was stopped by signal {-self.status}"
        return one_line(self.stderr, 200) or f"git ended with exit code {self.status}"


def git_environment(repository: Path, config: Config = (), *, protocols: str = "none") -> dict[str, str]:
    """The whole environment of a git process that works on the bare `repository`.

    `config` is added to ours; secrets may go there, since it is neither an argument nor a file. `protocols` are the
    transports git may use, separated by colons.
    """
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment |= {
        "GIT_DIR": str(repository),  # no search upward, so no other repository is ever found
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
    pairs = (*_OUR_CONFIG, *config)
    environment["GIT_CONFIG_COUNT"] = str(len(pairs))
    for number, (key, value) in enumerate(pairs):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _without_inherited(environment: Mapping[str, str]) -> list[str]:
    """A prefix that takes away what git would inherit beside `environment`: GitPython adds to `os.environ`.

    In the children that analyse, nothing is left to take away, and the prefix is empty.
    """
    foreign = sorted(set(os.environ) - set(environment))
    return ["env", *(part for name in foreign for part in ("-u", name))] if foreign else []


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Let the kernel stop this process, and for ever those that it starts meanwhile, at files of over `limit` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class GitProcess:
    """One running git. Read `stdout`, then `finish`; leaving the `with` block early kills it."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        *,
        stdin: BinaryIO | int | None = None,
        timeout: float | None = None,
        on_error_output: Callable[[bytes], None] | None = None,
    ) -> None:
        """Start it; `timeout` seconds from now it is killed.

        `on_error_output` hears each piece of stderr, in a thread of its own, and an empty one at the end.
        """
        command = [*_without_inherited(environment), "git", *arguments]
        # GitPython ends the process should its handle be forgotten, so the handle is kept.
        try:
            git = Git(environment["HOME"])
            self._handle = git.execute(command, env=dict(environment), as_process=True, istream=stdin)
        except GitCommandNotFound as error:
            raise GitFailedError(_NOT_FOUND, "") from error
        self._process = cast("subprocess.Popen[bytes]", self._handle.proc)
        self.stdout = cast("IO[bytes]", self._process.stdout)
        self._errors = b""
        self._on_error_output = on_error_output or (lambda _: None)
        self._reader = threading.Thread(target=self._read_errors, daemon=True)
        self._reader.start()
        self._timer = threading.Timer(timeout, self._process.kill) if timeout is not None else None
        if self._timer is not None:
            self._timer.start()

    def _read_errors(self) -> None:
        stream = cast("IO[bytes]", self._process.stderr)
        while piece := os.read(stream.fileno(), 1 << 16):
            self._errors = (self._errors + piece)[-_KEPT_ERROR_BYTES:]
            self._on_error_output(piece)
        self._on_error_output(b"")

    def feed(self, lines: Iterable[bytes]) -> None:
        """Give it all of its standard input (a pipe), which it must read before it answers."""
        pipe = cast("IO[bytes]", self._process.stdin)
        with suppress(BrokenPipeError):  # it has ended, and `finish` tells why
            pipe.writelines(lines)
            pipe.close()

    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Ask it to end; git takes its helpers with it."""
        self._process.terminate()

    def finish(self) -> None:
        """Wait for the end. Raises GitFailedError unless git says that all is well."""
        status = self._process.wait()
        self._reader.join()
        if status != 0:
            raise GitFailedError(status, self._errors.decode("utf-8", "replace"))

    def _stop(self) -> None:
        """End it if it still runs: asked first, so that git ends its helpers, which hold the pipes that we read."""
        if self.is_running():
            self._process.terminate()
            try:
                self._process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        if self._timer is not None:
            self._timer.cancel()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()


def run_git(
    repository: Path, *arguments: str, config: Config = (), protocols: str = "none", timeout: float | None = None
) -> bytes:
    """What git prints, at most `MAX_OUTPUT` bytes. Raises GitFailedError."""
    environment = git_environment(repository, config, protocols=protocols)
    with GitProcess(arguments, environment, timeout=timeout) as process:
        output = process.stdout.read(MAX_OUTPUT + 1)
        if len(output) > MAX_OUTPUT:
            raise GitFailedError(1, f"error: git {arguments[0]} printed more than {MAX_OUTPUT} bytes")
        process.finish()
        return output


def require_git(repository: Path) -> None:
    """Raise PermanentError unless git is there, and new enough to know the guards that cloning relies on."""
    try:
        said = run_git(repository, "version")
    except GitFailedError as error:
        raise PermanentError(error.reason()) from error
    version = re.search(rb"(\d+)\.(\d+)", said)
    if version is None or (int(version[1]), int(version[2])) < MINIMUM_GIT_VERSION:
        needed = ".".join(map(str, MINIMUM_GIT_VERSION))
        raise PermanentError(f"git {needed} or newer is needed on the worker to clone safely")
