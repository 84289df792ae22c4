"""Paths that every child may access: the interpreter, our code, the tools and the system's libraries."""

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
    # Name resolution.
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    # TLS: trusted certificates and configuration, but no directory that may hold private keys.
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
    """Return existing paths with the Landlock access that every child has to each and to all below it.

    Call it after all modules have been imported: it includes their packages and shared libraries.
    """
    executable = (*_interpreter(), *_imported_packages(), *_tools(), *map(Path, _LIBRARIES), *_mapped_libraries())
    outermost = _outermost(path.resolve() for path in executable if path.exists())
    access = {path: applicable_access(path, ACCESS_EXECUTE) for path in outermost}
    return {**access, **_readable(_SYSTEM_FILES), "/dev/null": ACCESS_DEVICE}


def network_paths() -> dict[str, int]:
    """Return the paths that a child with network access may read as well."""
    return _readable(_NETWORK_FILES)


def _readable(paths: Iterable[str]) -> dict[str, int]:
    return {path: applicable_access(path, ACCESS_READ) for path in paths if Path(path).exists()}


def _outermost(paths: Iterable[Path]) -> list[str]:
    """Leave out each path that lies below another one."""
    unique = set(paths)
    return sorted(str(path) for path in unique if unique.isdisjoint(path.parents))


def _interpreter() -> Iterator[Path]:
    yield Path(sys.executable).resolve()
    base = Path(sys.base_prefix)
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    yield from (Path(sysconfig.get_path(name)) for name in names)
    yield from (base / "lib", base / "lib64")
    if sys.prefix != sys.base_prefix:
        yield Path(sys.prefix)


def _imported_packages() -> Iterator[Path]:
    """The directories of the imported top-level packages, and not their parents, which may hold much else."""
    for name, module in list(sys.modules.items()):
        if "." not in name and hasattr(module, "__path__"):
            yield from map(Path, module.__path__)


def _tools() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts")) / "ruff"
    git = shutil.which("git")
    if git is not None:
        yield Path(git).resolve()
        answer = subprocess.run([git, "--exec-path"], capture_output=True, check=False, cwd="/")
        yield Path(os.fsdecode(answer.stdout.rstrip(b"\n")))


def _mapped_libraries() -> set[Path]:
    """The directories of the shared libraries that this process has loaded: some systems keep them elsewhere."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set()
    return {Path(file).parent for file in _mapped_files(lines) if ".so" in Path(file).name}


def _mapped_files(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5].startswith("/"):
            yield fields[5]
