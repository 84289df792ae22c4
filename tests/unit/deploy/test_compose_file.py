"""docker-compose.yml and the Dockerfile, beyond their schemas, which `make check` validates."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import pytest

from domain.jobs import HEARTBEAT_SECONDS, LEASE_SECONDS
from infrastructure.observability.status_server import StatusServer
from infrastructure.settings import Settings
from tests.unit.deploy.project_files import ROOT, command_names, documents, setting_names
from worker.cli.commands.doctor.connections import LOCK_CONNECTIONS, OTHER_CONNECTIONS
from worker.http.server.serve import GRACE_SECONDS

(COMPOSE,) = documents(ROOT / "docker-compose.yml")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORKER, HTTP = SERVICES["worker"], SERVICES["http"]


def image_environment() -> dict[str, str]:
    block = re.search(r"^ENV ((?:.*\\\n)*.*)", DOCKERFILE, re.MULTILINE)
    assert block is not None
    return dict(pair.split("=", 1) for pair in block.group(1).replace("\\\n", " ").split())


def image_healthcheck() -> list[str]:
    words = re.search(r"^HEALTHCHECK .*? CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    assert words is not None
    return list(json.loads(words.group(1)))


def test_the_worker_service_can_be_scaled() -> None:
    assert not {"container_name", "ports", "hostname", "network_mode"} & set(WORKER)
    # Replicas would share a named volume; each gets its own anonymous one.
    assert WORKER["volumes"] == ["/scratch"]
    assert image_environment()["SCRATCH_DIR"] == "/scratch"


def test_the_containers_are_confined() -> None:
    for name in ("worker", "migrate", "http"):
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(WORKER["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", DOCKERFILE, re.MULTILINE)


def test_the_stop_grace_period_allows_for_requeueing_jobs() -> None:
    grace = int(WORKER["stop_grace_period"].removesuffix("s"))
    assert grace >= int(WORKER["environment"]["SHUTDOWN_GRACE"]) + (LEASE_SECONDS - HEARTBEAT_SECONDS) + 10
    assert re.search(r"^STOPSIGNAL SIGTERM$", DOCKERFILE, re.MULTILINE)
    assert WORKER["init"] is True


def test_the_environment_contains_only_known_settings() -> None:
    for service in ("worker", "migrate", "http"):
        assert set(SERVICES[service]["environment"]) <= setting_names()
    named = {name for name in image_environment() if not name.startswith("PYTHON")} - {"PATH"}
    assert named <= setting_names()


def test_every_documented_setting_reaches_the_containers() -> None:
    """From a file beside the Compose file, which need not exist: its values are overridden by those given here."""
    for service in ("worker", "migrate", "http"):
        assert SERVICES[service]["env_file"] == [{"path": "./vibe8.env", "required": False}]


def test_no_default_of_the_compose_file_hides_a_setting_of_that_file() -> None:
    for service in ("worker", "migrate", "http"):
        for name, value in SERVICES[service]["environment"].items():
            assert ":-" not in value, f"{name}: its default would win over vibe8.env"


def test_the_servers_are_published_on_loopback_only() -> None:
    ports = {name: SERVICES[name].get("ports", []) for name in SERVICES}
    assert ports == {
        "postgres": ["127.0.0.1:${POSTGRES_PORT:-5432}:5432"],
        "redis": ["127.0.0.1:${REDIS_PORT:-6379}:6379"],
        "migrate": [],
        "worker": [],
        "http": ["127.0.0.1:${HTTP_PORT:-8808}:8808"],
    }


def test_the_readme_names_the_passwords() -> None:
    readme = (ROOT / "README.md").read_text()
    assert re.search(r"POSTGRES_PASSWORD=\S+ REDIS_PASSWORD=\S+ docker compose up", readme)


def test_the_containers_run_known_commands() -> None:
    assert WORKER["command"] == ["vibe8", "worker"]
    assert SERVICES["migrate"]["command"] == ["vibe8", "migrate"]
    assert '\nCMD ["vibe8", "worker"]\n' in DOCKERFILE
    assert HTTP["command"] == ["vibe8", "serve"]
    assert {"worker", "migrate", "serve"} <= command_names()


def test_the_http_service_ends_answers_and_is_probed_as_a_worker_is() -> None:
    assert int(HTTP["stop_grace_period"].removesuffix("s")) >= GRACE_SECONDS + 10
    assert HTTP["healthcheck"] == WORKER["healthcheck"]
    assert HTTP["depends_on"] == WORKER["depends_on"]
    assert HTTP["ports"][0].endswith(f":{HTTP['environment']['HTTP_PORT']}")


def test_postgresql_has_connections_for_ten_replicas_and_two_api_processes() -> None:
    (option,) = [word for word in SERVICES["postgres"]["command"] if word.startswith("max_connections=")]
    settings, superusers = Settings(), 3
    each = settings.db_pool_size + settings.db_max_overflow
    replicas, apis = 10 * (each + LOCK_CONNECTIONS), 2 * each
    assert int(option.partition("=")[2]) >= replicas + apis + OTHER_CONNECTIONS + superusers


def test_redis_persists_and_never_evicts() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"


def test_a_worker_starts_after_its_services_and_the_migration() -> None:
    conditions = {name: item["condition"] for name, item in WORKER["depends_on"].items()}
    assert conditions == {
        "postgres": "service_healthy",
        "redis": "service_healthy",
        "migrate": "service_completed_successfully",
    }


def test_secrets_are_required_and_have_no_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for name in ("POSTGRES_PASSWORD", "REDIS_PASSWORD"):
        assert not re.search(rf"\$\{{{name}:?-", text)
        assert f"${{{name}:?" in text
    assert "PASSWORD" not in DOCKERFILE


def test_the_base_image_can_be_pinned_and_installs_are_hashed() -> None:
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE) == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    assert DOCKERFILE.count("--require-hashes") == 2


@pytest.mark.parametrize(("alive", "code"), [(None, 0), ("the event loop has not run for 31 s", 1)])
def test_the_healthcheck_follows_the_liveness_of_the_worker(alive: str | None, code: int) -> None:
    server = StatusServer("127.0.0.1", 0, alive=lambda: alive, ready=lambda: "Redis is unavailable")
    try:
        assert probe(WORKER["healthcheck"]["test"][1:], server.port) == code
    finally:
        server.close()


def test_the_healthcheck_fails_without_a_worker() -> None:
    server = StatusServer("127.0.0.1", 0, alive=lambda: None, ready=lambda: None)
    server.close()
    assert probe(image_healthcheck(), server.port) != 0


def test_image_and_compose_use_the_same_healthcheck() -> None:
    assert WORKER["healthcheck"]["test"] == ["CMD", *image_healthcheck()]
    for name in ("STATUS_HOST", "STATUS_PORT"):
        assert WORKER["environment"][name] == image_environment()[name]
    assert WORKER["expose"] == [image_environment()["STATUS_PORT"]]


def probe(command: list[str], port: int) -> int:
    """Run the probe and return its exit code, with a proxy variable set, as a container may have one."""
    assert command[0] == "python"
    environment = {"PATH": os.environ["PATH"], "STATUS_PORT": str(port), "http_proxy": "http://127.0.0.1:1"}
    return subprocess.run([sys.executable, *command[1:]], env=environment, capture_output=True, check=False).returncode
