"""The manifests follow their schemas, and agree with each other and with the program."""

import copy
import http.client
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest

from domain.jobs import HEARTBEAT_SECONDS, LEASE_SECONDS
from infrastructure.observability.status_server import StatusServer
from infrastructure.settings import Settings
from tests.unit.deploy.project_files import DEPLOY, VERSION, command_names, documents, setting_names, values_of
from worker.analysis.pipeline_factory import memory_budget
from worker.http.api.jobs.events import MAX_STREAM_SECONDS
from worker.http.server.serve import GRACE_SECONDS
from worker.process.bootstrap import PREFETCH

FOLDER = DEPLOY / "kubernetes"
VERSIONS = ("1.29.0", kubernetes_validate.latest_version())
HTTP_FOLDER = FOLDER / "http"
FILES = [path for path in sorted(FOLDER.rglob("*.yaml")) if path.name != "kustomization.yaml"]
DOCUMENTS = [(path, document) for path in FILES for document in documents(path)]
MANIFESTS = [(path, document) for path, document in DOCUMENTS if document["apiVersion"] != "keda.sh/v1alpha1"]
KEDA_DOCUMENTS = [document for _, document in DOCUMENTS if document["apiVersion"] == "keda.sh/v1alpha1"]
KEDA_SCHEMA = json.loads((Path(__file__).parent / "keda.schema.json").read_text())
SIZES = {"Mi": 1, "Gi": 1024}


def only(kind: str, *, http: bool = False) -> dict[str, Any]:
    """Return the only manifest of a kind: of the HTTP service, or of all the rest."""
    (found,) = (each for path, each in DOCUMENTS if each["kind"] == kind and (path.parent == HTTP_FOLDER) is http)
    return found


def pod_spec(document: dict[str, Any]) -> dict[str, Any]:
    (spec,) = (found["spec"] for found in values_of("template", document))
    return dict(spec)


def mebibytes(amount: str) -> int:
    return int(amount[:-2]) * SIZES[amount[-2:]]


def kustomization(folder: Path = FOLDER) -> dict[str, Any]:
    (found,) = documents(folder / "kustomization.yaml")
    return found


def configuration(folder: Path = FOLDER) -> dict[str, str]:
    (generator,) = kustomization(folder)["configMapGenerator"]
    return dict(literal.split("=", 1) for literal in generator["literals"])


DEPLOYMENT = only("Deployment")
POD = pod_spec(DEPLOYMENT)
(WORKER,) = POD["containers"]
HTTP = pod_spec(only("Deployment", http=True))
PODS = [*(pod_spec(only(kind)) for kind in ("Deployment", "CronJob", "Job")), HTTP]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("path", "document"), MANIFESTS, ids=[path.name for path, _ in MANIFESTS])
def test_manifests_follow_the_kubernetes_schema(path: Path, document: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(document, version, strict=True)


def test_the_kubernetes_schema_refuses_an_unknown_field() -> None:
    broken = copy.deepcopy(DEPLOYMENT)
    pod_spec(broken)["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("document", KEDA_DOCUMENTS, ids=[document["kind"] for document in KEDA_DOCUMENTS])
def test_manifests_follow_the_keda_schema(document: dict[str, Any]) -> None:
    jsonschema.validate(document, KEDA_SCHEMA)


@pytest.mark.parametrize(("name", "value"), [("targetQueryValue", 8), ("targetQueryvalue", "8"), ("query", None)])
def test_the_keda_schema_refuses_a_misspelled_field(name: str, value: Any) -> None:
    broken = copy.deepcopy(only("ScaledObject"))
    broken["spec"]["triggers"][0]["metadata"][name] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, KEDA_SCHEMA)


def test_every_manifest_is_in_a_kustomization_or_applied_by_hand() -> None:
    listed = {FOLDER / name for name in kustomization()["resources"]}
    listed |= {
        folder / name for folder in (FOLDER / "migrate", HTTP_FOLDER) for name in kustomization(folder)["resources"]
    }
    by_hand = {FOLDER / "namespace.yaml", FOLDER / "secret.example.yaml", HTTP_FOLDER / "ingress.example.yaml"}
    assert set(FILES) == listed | by_hand
    for folder in (FOLDER, FOLDER / "migrate", HTTP_FOLDER):
        assert kustomization(folder)["namespace"] == only("Namespace")["metadata"]["name"]
        assert kustomization(folder)["images"] == [{"name": "vibe8-worker", "newTag": VERSION}]


def test_every_container_is_confined() -> None:
    for pod in PODS:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["runAsGroup"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["image"] == "vibe8-worker"
        assert {"requests", "limits"} == set(container["resources"])
        assert "memory" in container["resources"]["limits"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"] if "sizeLimit" in volume["emptyDir"]}
        assert container["command"][0] == "vibe8"
        assert container["command"][1] in command_names()


def test_the_probes_use_the_paths_of_the_status_server() -> None:
    (port,) = WORKER["ports"]
    assert str(port["containerPort"]) == configuration()["STATUS_PORT"]
    assert configuration()["STATUS_HOST"] == "0.0.0.0"  # noqa: S104 - Prometheus and the probes connect from outside
    annotations = DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == configuration()["STATUS_PORT"]
    paths = {name: WORKER[name]["httpGet"]["path"] for name in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert paths == {"livenessProbe": "/livez", "readinessProbe": "/readyz", "startupProbe": "/livez"}
    assert all(WORKER[name]["httpGet"]["port"] == port["name"] for name in paths)
    server = StatusServer("127.0.0.1", 0, alive=lambda: None, ready=lambda: "Redis is unavailable")
    try:
        for path, status in (("/livez", 200), ("/readyz", 503), (annotations["prometheus.io/path"], 200)):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", path)
            assert connection.getresponse().status == status
            connection.close()
    finally:
        server.close()


def test_the_termination_grace_period_allows_for_requeueing_jobs() -> None:
    grace = int(configuration()["SHUTDOWN_GRACE"])
    assert POD["terminationGracePeriodSeconds"] >= grace + (LEASE_SECONDS - HEARTBEAT_SECONDS) + 10


def test_the_largest_jobs_in_every_slot_fit_the_limits() -> None:
    settings, slots = Settings(), int(configuration()["ARQ_MAX_JOBS"])
    scratch = next(volume for volume in POD["volumes"] if volume["name"] == "scratch")
    size = mebibytes(scratch["emptyDir"]["sizeLimit"])
    assert size >= 2 * settings.max_clone_mb * slots
    limits = WORKER["resources"]["limits"]
    assert mebibytes(limits["ephemeral-storage"]) > size
    children = memory_budget(settings, int(limits["cpu"])).total_bytes >> 20
    assert mebibytes(limits["memory"]) >= 512 + children
    assert next(mount for mount in WORKER["volumeMounts"] if mount["name"] == "scratch")["mountPath"] == "/scratch"


def test_the_settings_are_valid() -> None:
    values = configuration()
    assert {name.lower() for name in values} <= set(Settings.model_fields)
    settings = Settings(**{name.lower(): value for name, value in values.items()})  # type: ignore[arg-type]
    assert str(settings.scratch_dir) == values["SCRATCH_DIR"]


def test_references_use_the_names_of_the_secret_and_the_config_map() -> None:
    secret = only("Secret")
    assert {name.lower() for name in secret["stringData"]} <= set(Settings.model_fields)
    used = {(ref["name"], ref["key"]) for _, found in DOCUMENTS for ref in values_of("secretKeyRef", found)}
    used |= {(ref["name"], ref["key"]) for ref in only("TriggerAuthentication")["spec"]["secretTargetRef"]}
    assert used == {(secret["metadata"]["name"], "DATABASE_URL")}
    whole = {ref["name"] for _, found in DOCUMENTS for ref in values_of("secretRef", found)}
    assert whole == {secret["metadata"]["name"]}
    maps = {ref["name"] for _, found in DOCUMENTS for ref in values_of("configMapRef", found)}
    assert maps == {kustomization(folder)["configMapGenerator"][0]["name"] for folder in (FOLDER, HTTP_FOLDER)}


def test_selectors_match_the_workers() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert DEPLOYMENT["spec"]["selector"]["matchLabels"] == labels
    assert only("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert only("NetworkPolicy")["spec"]["podSelector"]["matchLabels"].items() <= labels.items()
    assert POD["serviceAccountName"] == only("ServiceAccount")["metadata"]["name"]


def test_only_keda_scales_by_the_slots_of_a_worker() -> None:
    spec = only("ScaledObject")["spec"]
    assert spec["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    assert "replicas" not in DEPLOYMENT["spec"]
    (trigger,) = spec["triggers"]
    slots = min(int(configuration()["ARQ_MAX_JOBS"]), int(WORKER["resources"]["limits"]["cpu"]) + PREFETCH)
    assert trigger["metadata"]["targetQueryValue"] == str(slots)
    assert trigger["authenticationRef"]["name"] == only("TriggerAuthentication")["metadata"]["name"]
    assert 2 <= spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]


def test_the_http_service_is_reached_through_its_service_and_ingress() -> None:
    deployment, service, ingress = (only(kind, http=True) for kind in ("Deployment", "Service", "Ingress"))
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    for selector in (
        service["spec"]["selector"],
        deployment["spec"]["selector"]["matchLabels"],
        only("NetworkPolicy", http=True)["spec"]["podSelector"]["matchLabels"],
        only("PodDisruptionBudget", http=True)["spec"]["selector"]["matchLabels"],
    ):
        assert selector == labels
    (container,) = HTTP["containers"]
    ports = {port["name"]: str(port["containerPort"]) for port in container["ports"]}
    settings = configuration(HTTP_FOLDER)
    assert ports == {"http": settings["HTTP_PORT"], "status": settings["STATUS_PORT"]}
    assert settings.keys() <= setting_names()
    assert service["spec"]["ports"][0]["targetPort"] in ports
    (opened,) = only("NetworkPolicy", http=True)["spec"]["ingress"][0]["ports"]
    assert str(opened["port"]) == settings["HTTP_PORT"]
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] in settings["HTTP_ALLOWED_HOSTS"].split(",")
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"]["name"] == service["metadata"]["name"]
    annotations = ingress["metadata"]["annotations"]
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) > MAX_STREAM_SECONDS
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-body-size"][:-1]) > Settings().max_upload_mb
    assert HTTP["terminationGracePeriodSeconds"] >= GRACE_SECONDS + 5 + 10, "preStop, answers, and a margin"


def test_cleanup_jobs_do_not_overlap() -> None:
    spec = only("CronJob")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert pod_spec(only("CronJob"))["containers"][0]["command"] == ["vibe8", "cleanup", "--json"]
