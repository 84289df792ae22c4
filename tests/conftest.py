"""Configuration of the whole suite; shared fixtures are in `tests/fixtures`."""

import signal

# A plugin must come before those that import it: pytest cannot rewrite the assertions of an imported module.
pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.worker_process",
    "tests.fixtures.database",
    "tests.fixtures.sources",
    "tests.fixtures.network.tcp_proxy",
]


def pytest_configure() -> None:
    # SIGTERM must end the servers of the suite as well, not pytest alone.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A suite started in the background inherits that these signals are ignored, and its processes would inherit it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
