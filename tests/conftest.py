"""Configuration of the whole suite; shared fixtures are in `tests/fixtures`."""

import compileall
import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings

# A plugin must come before those that import it: pytest cannot rewrite the assertions of an imported module.
pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.worker_process",
    "tests.fixtures.command_server",
    "tests.fixtures.network.http_service",
    "tests.fixtures.database",
    "tests.fixtures.sources",
    "tests.fixtures.network.tcp_proxy",
]


ROOT = Path(__file__).parents[1]
PACKAGES = ("collectors", "domain", "infrastructure", "worker")

_CACHE = tempfile.TemporaryDirectory(prefix="vibe8-test-cache-")


# The machine may be busy, and a first example may import a library: no test of Hypothesis is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # once, before xdist starts its processes
        # The suite starts hundreds of processes that write no bytecode: each would compile anew what has none.
        for package in PACKAGES:
            compileall.compile_dir(ROOT / package, quiet=2)
    # `vibe8 analyze` must neither use nor change the facts that the developer's own runs have kept.
    os.environ["XDG_CACHE_HOME"] = _CACHE.name
    # SIGTERM must end the servers of the suite as well, not pytest alone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A suite started in the background inherits that these signals are ignored, and its processes would inherit it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
