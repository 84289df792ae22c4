"""The systemd units: known sections and directives, and values of the right form."""

import re
from pathlib import Path

import pytest

from domain.jobs import HEARTBEAT_SECONDS, LEASE_SECONDS
from infrastructure.settings import Settings
from tests.unit.deploy.project_files import DEPLOY, command_names, setting_names
from worker.analysis.pipeline_factory import memory_budget
from worker.http.server.serve import GRACE_SECONDS

FOLDER = DEPLOY / "systemd"
UNITS = sorted(path for path in FOLDER.iterdir() if path.suffix in (".service", ".timer"))
YES_NO, SPAN, SIZE, NUMBER, WORDS = r"yes|no", r"\d+(s|min|h)?", r"\d+[KMG]?", r"\d+", r"\S.*"
UNIT = r"[\w@-]+\.(service|target|timer)( [\w@-]+\.(service|target|timer))*"
KNOWN: dict[str, dict[str, str]] = {
    "Unit": {
        "Description": WORDS,
        "Documentation": r"(file|https?|man):\S+",
        "Wants": UNIT,
        "After": UNIT,
        "StartLimitIntervalSec": SPAN,
    },
    "Service": {
        "Type": r"exec|oneshot",
        "User": r"[a-z]\w*",
        "Group": r"[a-z]\w*",
        "EnvironmentFile": r"/\S+",
        "Environment": r"[A-Z_]+=\S+( [A-Z_]+=\S+)*",
        "CacheDirectory": r"[\w/%-]+",
        "CacheDirectoryMode": r"0[0-7]{3}",
        "ExecStart": r"/\S+( \S+)*",
        "Restart": r"always|on-failure|no",
        "RestartSec": SPAN,
        "KillMode": r"mixed|control-group|process",
        "KillSignal": r"SIG[A-Z]+",
        "TimeoutStartSec": SPAN,
        "TimeoutStopSec": SPAN,
        "OOMPolicy": r"continue|stop|kill",
        "CPUWeight": NUMBER,
        "MemoryHigh": SIZE,
        "MemoryMax": SIZE,
        "TasksMax": NUMBER,
        "LimitNOFILE": NUMBER,
        "LimitCORE": NUMBER,
        "NoNewPrivileges": YES_NO,
        "CapabilityBoundingSet": r"",
        "AmbientCapabilities": r"",
        "ProtectSystem": r"strict|full|yes",
        "RestrictAddressFamilies": r"AF_\w+( AF_\w+)*",
        "SystemCallArchitectures": r"native",
        "SystemCallFilter": r"@?[\w-]+( @?[\w-]+)*",
        "SystemCallErrorNumber": r"E[A-Z]+",
        "UMask": r"0[0-7]{3}",
        **dict.fromkeys(
            [
                "ProtectHome", "ProtectClock", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules",
                "ProtectKernelTunables", "ProtectControlGroups", "PrivateTmp", "PrivateDevices", "RestrictRealtime",
                "RestrictSUIDSGID", "LockPersonality", "RemoveIPC",
            ],
            YES_NO,
        ),
    },
    "Timer": {"OnCalendar": r"\*-\*-\* [\d/:]+ UTC", "RandomizedDelaySec": SPAN, "Persistent": YES_NO},
    "Install": {"WantedBy": UNIT},
}  # fmt: skip
CONFINED = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "ProtectHome": "yes", "CapabilityBoundingSet": ""}
units = pytest.mark.parametrize("path", UNITS, ids=[path.name for path in UNITS])


def read(path: Path) -> dict[str, dict[str, str]]:
    """Return section -> directive -> value. Fails on a duplicate directive or a continued line."""
    found: dict[str, dict[str, str]] = {}
    for line in path.read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = found.setdefault(line.strip("[]"), {})
            continue
        name, sign, value = line.partition("=")
        assert sign, f"{path.name}: {line}"
        assert name not in section, f"{path.name}: {name} is a duplicate"
        assert not value.endswith("\\"), f"{path.name}: {name} is continued"
        section[name] = value
    return found


WORKER = read(FOLDER / "vibe8-worker@.service")["Service"]


@units
def test_a_unit_contains_only_known_directives(path: Path) -> None:
    for section, directives in read(path).items():
        for name, value in directives.items():
            assert name in KNOWN[section], f"{path.name}: {name} is not known in [{section}]"
            assert re.fullmatch(KNOWN[section][name], value), f"{path.name}: {name}={value}"


@units
def test_a_service_is_confined_and_runs_a_known_command(path: Path) -> None:
    if path.suffix == ".timer":
        assert path.with_suffix(".service") in UNITS
        return
    service = read(path)["Service"]
    assert CONFINED.items() <= service.items()
    program, command, *_ = service["ExecStart"].split()
    assert program == "/opt/vibe8/bin/vibe8"
    assert command in command_names()
    assert service["User"] != "root"
    environment = dict(pair.split("=", 1) for pair in service.get("Environment", "").split())
    assert {name for name in environment if not name.startswith("PYTHON")} <= setting_names()


def test_a_worker_is_always_restarted() -> None:
    assert WORKER["Restart"] == "always"
    assert read(FOLDER / "vibe8-worker@.service")["Unit"]["StartLimitIntervalSec"] == "0"
    assert WORKER["OOMPolicy"] == "continue"


def test_a_worker_drains_before_its_children_are_killed() -> None:
    assert (WORKER["KillMode"], WORKER["KillSignal"]) == ("mixed", "SIGTERM")
    assert int(WORKER["TimeoutStopSec"]) >= Settings().shutdown_grace + (LEASE_SECONDS - HEARTBEAT_SECONDS) + 10


def test_scratch_is_in_the_writable_cache_directory() -> None:
    environment = dict(pair.split("=", 1) for pair in WORKER["Environment"].split())
    assert environment["SCRATCH_DIR"] == f"/var/cache/{WORKER['CacheDirectory']}"


def test_the_example_environment_is_valid() -> None:
    lines = [line.lstrip("#") for line in (FOLDER / "worker.env.example").read_text().splitlines() if "=" in line]
    values = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    assert set(values) <= setting_names()
    assert values["SHUTDOWN_GRACE"] == str(Settings().shutdown_grace)
    Settings(**{name.lower(): value for name, value in values.items()})  # type: ignore[arg-type]


def test_each_instance_has_a_status_port_of_its_own() -> None:
    unit = (DEPLOY / "systemd/vibe8-worker@.service").read_text()
    assert "Environment=STATUS_PORT=808%i " in unit
    assert not [
        line for line in (DEPLOY / "systemd/worker.env.example").read_text().splitlines() if "STATUS_PORT=" in line
    ]


def test_the_http_service_ends_answers_before_it_is_killed() -> None:
    service = read(FOLDER / "vibe8-http.service")["Service"]
    assert service["ExecStart"].endswith("vibe8 serve")
    assert int(service["TimeoutStopSec"]) >= GRACE_SECONDS + 10
    assert service["Restart"] == "always"


def test_the_worker_may_take_what_the_largest_jobs_on_two_cores_take() -> None:
    gigabytes = read(FOLDER / "vibe8-worker@.service")["Service"]["MemoryMax"].removesuffix("G")
    assert int(gigabytes) << 10 >= 512 + (memory_budget(Settings(), 2).total_bytes >> 20)
