"""What every child must be able to read: the interpreter, our code, the tools, the system's libraries. Nothing else."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from infrastructure.sandbox.landlock import ACCESS_DEVICE, ACCESS_EXECUTE, ACCESS_READ, applicable_access

_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_SYSTEM_FILES = (
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/usr/share/zoneinfo",
    "/dev/urandom",
    "/dev/random",
)

_NETWORK_FILES = (
    # Names.
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    # Whom to trust, and how to speak TLS; never a private key.
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates/extracted",
    "/etc/crypto-policies",
    "/etc/gnutls",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/crypto-policies",
)


def allowed_paths() -> dict[str, int]:
    """Paths that are there, with what every child may do below them. Call it when all modules are imported."""
    run = (*_interpreter(), *_code(), *_tools(), *map(Path, _LIBRARIES), *_mapped())
    found = {
        path: applicable_access(path, ACCESS_EXECUTE)
        for path in _outermost(path.resolve() for path in run if path.exists())
    }
    return {**found, **_readable(_SYSTEM_FILES), "/dev/null": ACCESS_DEVICE}


def network_paths() -> dict[str, int]:
    """What whoever speaks to a git host reads besides."""
    return _readable(_NETWORK_FILES)


def _readable(paths: Iterable[str]) -> dict[str, int]:
    return {path: applicable_access(path, ACCESS_READ) for path in paths if Path(path).exists()}


def _outermost(paths: Iterable[Path]) -> list[str]:
    every = set(paths)
    return sorted(str(path) for path in every if every.isdisjoint(path.parents))


def _interpreter() -> Iterator[Path]:
    yield Path(sys.executable).resolve()
    base = Path(sys.base_prefix)
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    yield from (Path(sysconfig.get_path(name)) for name in names)
    yield from (base / "lib", base / "lib64")
    if sys.prefix != sys.base_prefix:
        yield Path(sys.prefix)


def _code() -> Iterator[Path]:
    """The directories of the packages that are imported, and not those that they lie in: much else may lie there."""
    for name, module in list(sys.modules.items()):
        if "." not in name and hasattr(module, "__path__"):
            yield from map(Path, module.__path__)


def _tools() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts")) / "ruff"
    git = shutil.which("git")
    if git is not None:
        yield Path(git).resolve()
        said = subprocess.run([git, "--exec-path"], capture_output=True, check=False, cwd="/")
        yield Path(os.fsdecode(said.stdout.rstrip(b"\n")))


def _mapped() -> set[Path]:
    """Where the libraries lie that this process has loaded, on systems with a taste of their own."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {Path(file).parent for file in _files_of(lines) if ".so" in Path(file).name}


def _files_of(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/"):
            yield fields[5]
