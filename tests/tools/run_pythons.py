"""Run the unit and parity tests on several Python interpreters: `make test-pythons PYTHONS="3.12 3.13"`.

An interpreter is a version or a path. A version is looked for on the PATH (`python3.12`), among those of pyenv, and
among those of uv. Each interpreter gets a virtual environment of its own in `.venvs`, with the locked requirements.
Those that were not found are listed at the end, and the exit code is then 3, unless tests failed, which is 1.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ROOT / ".venvs"
TESTS = ("tests/unit", "tests/parity")
TESTS_FAILED, NOT_FOUND = 1, 3


def main(wanted: Sequence[str]) -> int:
    """Test on each interpreter; return the exit code."""
    if not wanted:
        sys.exit('name the interpreters: make test-pythons PYTHONS="3.12 3.13"')
    found = {name: find_interpreter(name) for name in wanted}
    failed = [name for name, python in found.items() if python is not None and not _test(name, python)]
    missing = [name for name, python in found.items() if python is None]
    for name in wanted:
        state = "not found" if name in missing else "failed" if name in failed else "passed"
        print(f"Python {name}: {state}" + (f" ({found[name]})" if found[name] else ""))
    return TESTS_FAILED if failed else NOT_FOUND if missing else 0


def find_interpreter(name: str) -> str | None:
    """Return the path of an interpreter by its version (`3.12`, `3.12.1`) or path; None if there is none."""
    return next((path for path in _candidates(name) if _works(path, name)), None)


def _candidates(name: str) -> Iterator[str]:
    if not re.fullmatch(r"\d+(\.\d+)+", name):
        yield from filter(None, [shutil.which(name)])
        return
    yield from filter(None, [shutil.which(f"python{'.'.join(name.split('.')[:2])}")])
    homes = [os.environ.get("PYENV_ROOT"), "~/.pyenv", "~/.local/share/uv/python"]
    for home in (Path(home).expanduser() for home in homes if home):
        for pattern in (f"versions/{name}*/bin/python", f"cpython-{name}*/bin/python"):
            yield from (str(path) for path in sorted(home.glob(pattern), reverse=True))


def _works(path: str, name: str) -> bool:
    """Return whether the interpreter starts and has that version: a shim may start another one, or none."""
    code = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
    try:
        run = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    version = run.stdout.strip()
    return run.returncode == 0 and (not name[0].isdigit() or f"{version}.".startswith(f"{name}."))


def _test(name: str, python: str) -> bool:
    """Return whether the tests pass."""
    environment = ENVIRONMENTS / re.sub(r"[^\w.]+", "-", name)
    own_python = str(environment / "bin" / "python")
    steps = [
        [python, "-m", "venv", str(environment)],
        [own_python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", "requirements-dev.lock"],
        [own_python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "-e", "."],
    ]
    if not (environment / ".installed").exists():
        for step in steps:
            if subprocess.run(step, cwd=ROOT, check=False).returncode != 0:
                return False
        (environment / ".installed").touch()
    tests = [own_python, "-m", "pytest", "-m", "not slow", "-p", "no:cacheprovider", *TESTS]
    return subprocess.run(tests, cwd=ROOT, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
