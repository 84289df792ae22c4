"""The distributions that provide an imported name, and the table of them."""

import json
from pathlib import Path

import pytest

from collectors.dependencies.import_names import (
    OTHER_STANDARD_LIBRARY,
    DeclaredNames,
    canonical_name,
    distributions_for,
)


@pytest.mark.parametrize(
    ("dotted", "expected"),
    [
        ("yaml.safe_load", ("pyyaml",)),
        ("requests", ("requests",)),
        ("typing_extensions.Self", ("typing-extensions",)),
        ("google.cloud.storage", ("google-cloud-storage",)),
        ("google.cloud.secretmanager_v1.types", ("google-cloud-secret-manager",)),
        ("google.protobuf.message.Message", ("protobuf",)),
        ("google.cloud", ()),
        ("google", ()),
        ("azure.storage.blob.aio", ("azure-storage-blob",)),
        ("azure.identity", ("azure-identity",)),
        ("airflow.models", ("apache-airflow",)),
        ("airflow.providers.sftp.hooks", ("apache-airflow-providers-sftp",)),
        ("zope.interface", ("zope-interface",)),
        ("psycopg2", ("psycopg2", "psycopg2-binary")),
        ("_private", ()),
        ("größe", ()),
        ("a" * 300, ()),
    ],
)
def test_import_name_has_its_distributions(dotted: str, expected: tuple[str, ...]) -> None:
    assert tuple(distributions_for(dotted)) == expected


# Names at the top of the packages of real wheels, by the distribution that brings them.
OF_NAMESPACES = {
    "apache-airflow-providers-apache-spark": "airflow.providers.apache.spark",
    "apache-airflow-providers-cncf-kubernetes": "airflow.providers.cncf.kubernetes",
    "apache-airflow-providers-common-io": "airflow.providers.common.io",
    "apache-airflow-providers-common-sql": "airflow.providers.common.sql",
    "azure-appconfiguration": "azure.appconfiguration",
    "azure-core": "azure.core",
    "azure-cosmos": "azure.cosmos",
    "azure-data-tables": "azure.data.tables",
    "azure-eventhub": "azure.eventhub",
    "azure-eventhub-checkpointstoreblob-aio": "azure.eventhub.extensions.checkpointstoreblobaio",
    "azure-mgmt-compute": "azure.mgmt.compute",
    "azure-monitor-opentelemetry": "azure.monitor.opentelemetry",
    "azure-monitor-opentelemetry-exporter": "azure.monitor.opentelemetry.exporter",
    "azure-servicebus": "azure.servicebus",
    "azure-storage-file-datalake": "azure.storage.filedatalake",
    "botbuilder-core": "botbuilder.core",
    "botbuilder-integration-aiohttp": "botbuilder.integration.aiohttp",
    "collective-exportimport": "collective.exportimport",
    "databricks-sdk": "databricks.sdk",
    "databricks-vectorsearch": "databricks.vector_search",
    "dogpile-cache": "dogpile.cache",
    "flufl-lock": "flufl.lock",
    "google-adk": "google.adk",
    "google-ads": "google.ads",
    "google-ai-generativelanguage": "google.ai.generativelanguage_v1beta",
    "google-analytics-admin": "google.analytics.admin_v1alpha",
    "google-analytics-data": "google.analytics.data_v1beta",
    "google-api-core": "google.api_core",
    "google-auth": "google.oauth2",
    "google-cloud-access-context-manager": "google.identity.accesscontextmanager",
    "google-cloud-aiplatform": "google.cloud.aiplatform_v1",
    "google-cloud-artifact-registry": "google.cloud.artifactregistry_v1beta2",
    "google-cloud-audit-log": "google.cloud.audit",
    "google-cloud-bigquery": "google.cloud.bigquery",
    "google-cloud-bigquery-storage": "google.cloud.bigquery_storage_v1",
    "google-cloud-bigtable": "google.cloud.bigtable_admin_v2",
    "google-cloud-build": "google.cloud.devtools.cloudbuild_v1",
    "google-cloud-core": "google.cloud.exceptions",
    "google-cloud-dataflow-client": "google.cloud.dataflow_v1beta3",
    "google-cloud-error-reporting": "google.cloud.errorreporting_v1beta1",
    "google-cloud-firestore": "google.cloud.firestore_admin_v1",
    "google-cloud-iam": "google.cloud.iam_credentials_v1",
    "google-cloud-network-connectivity": "google.cloud.networkconnectivity_v1",
    "google-cloud-org-policy": "google.cloud.orgpolicy_v2",
    "google-cloud-pubsub": "google.pubsub_v1",
    "google-cloud-resource-manager": "google.cloud.resourcemanager_v3",
    "google-cloud-secret-manager": "google.cloud.secretmanager_v1beta2",
    "google-cloud-spanner": "google.cloud.spanner_dbapi",
    "google-cloud-storage": "google.cloud.storage",
    "google-genai": "google.genai",
    "google-pasta": "pasta",
    "google-resumable-media": "google.resumable_media",
    "googleapis-common-protos": "google.logging.type",
    "jaraco-classes": "jaraco.classes",
    "llama-index-agent-openai": "llama_index.agent.openai",
    "llama-index-core": "llama_index.core",
    "llama-index-embeddings-huggingface": "llama_index.embeddings.huggingface",
    "llama-index-llms-azure-openai": "llama_index.llms.azure_openai",
    "llama-index-postprocessor-cohere-rerank": "llama_index.postprocessor.cohere_rerank",
    "llama-index-storage-kvstore-redis": "llama_index.storage.kvstore.redis",
    "opentelemetry-api": "opentelemetry.propagators.composite",
    "opentelemetry-exporter-gcp-trace": "opentelemetry.exporter.cloud_trace",
    "opentelemetry-exporter-jaeger-thrift": "opentelemetry.exporter.jaeger.thrift",
    "opentelemetry-exporter-otlp-proto-common": "opentelemetry.exporter.otlp.proto.common",
    "opentelemetry-exporter-otlp-proto-grpc": "opentelemetry.exporter.otlp.proto.grpc",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry.exporter.otlp.proto.http",
    "opentelemetry-exporter-prometheus": "opentelemetry.exporter.prometheus",
    "opentelemetry-exporter-prometheus-remote-write": "opentelemetry.exporter.prometheus_remote_write",
    "opentelemetry-exporter-zipkin-json": "opentelemetry.exporter.zipkin.node_endpoint",
    "opentelemetry-exporter-zipkin-proto-http": "opentelemetry.exporter.zipkin.proto.http",
    "opentelemetry-instrumentation-flask": "opentelemetry.instrumentation.flask",
    "opentelemetry-propagator-aws-xray": "opentelemetry.propagators.aws",
    "opentelemetry-propagator-b3": "opentelemetry.propagators.b3",
    "opentelemetry-propagator-ot-trace": "opentelemetry.propagators.ot_trace",
    "opentelemetry-resource-detector-azure": "opentelemetry.resource.detector.azure",
    "opentelemetry-resourcedetector-gcp": "opentelemetry.resourcedetector.gcp_resource_detector",
    "opentelemetry-sdk": "opentelemetry.sdk",
    "opentelemetry-sdk-extension-aws": "opentelemetry.sdk.extension.aws",
    "opentelemetry-semantic-conventions": "opentelemetry.semconv",
    "pastedeploy": "paste.deploy",
    "plone-restapi": "plone.restapi",
    "products-cmfplone": "Products.CMFPlone",
    "ruamel-yaml": "ruamel.yaml",
    "snowflake-connector-python": "snowflake.connector",
    "snowflake-core": "snowflake.core",
    "snowflake-snowpark-python": "snowflake.snowpark",
    "snowflake-sqlalchemy": "snowflake.sqlalchemy",
    "sphinxcontrib-mermaid": "sphinxcontrib.mermaid",
    "vmware-vapi-runtime": "vmware.vapi.bindings",
    "xstatic-jquery": "xstatic.pkg.jquery",
    "zc-lockfile": "zc.lockfile",
    "zope-interface": "zope.interface",
}


@pytest.mark.parametrize(("distribution", "dotted"), OF_NAMESPACES.items())
def test_names_of_namespaces_are_found_declared_alone_among_others_and_not_at_all(
    distribution: str, dotted: str
) -> None:
    imported = f"{dotted}.Anything"
    assert DeclaredNames([distribution]).find(imported) == distribution
    assert DeclaredNames([*OF_NAMESPACES, "paste"]).find(imported) == distribution
    assert distributions_for(imported)[0] == distribution


@pytest.mark.parametrize(
    ("declared", "dotted", "found"),
    [
        ("google-cloud-new-service", "google.cloud.newservice_v1.types", "google-cloud-new-service"),
        ("azure-monitor", "azure.monitor_x", None),
        ("google-cloud-storage", "google.cloud.storage_transfer", None),
        ("python-docx", "docx.shared", "python-docx"),
        ("docx", "docx.shared", "docx"),
        ("flask", "flask_login", None),
    ],
)
def test_declared_distributions_fit_by_their_name(declared: str, dotted: str, found: str | None) -> None:
    assert DeclaredNames([declared]).find(dotted) == found


def test_a_name_with_other_dashes_is_not_sure() -> None:
    declared = DeclaredNames(["google-cloud-new-service"])
    assert declared.find("google.cloud.newservice", only_sure=True) is None
    assert declared.find("google.cloud.new_service", only_sure=True) == "google-cloud-new-service"


def test_canonical_name_is_normalised_or_none() -> None:
    assert canonical_name("Foo.Bar_-baz") == "foo-bar-baz"
    assert canonical_name("-foo") is None
    assert canonical_name("a/b") is None


def test_standard_library_names_of_other_pythons() -> None:
    assert {"distutils", "asyncore", "cPickle", "__main__", "test"} <= OTHER_STANDARD_LIBRARY


def test_table_of_import_names_is_consistent() -> None:
    table = json.loads((Path(__file__).parents[4] / "collectors/dependencies/data/import_names.json").read_text())
    for dotted, found in table["distributions"].items():
        names = [found] if isinstance(found, str) else found
        assert all(canonical_name(name) == name for name in names), dotted
        assert "." in dotted or names != [canonical_name(dotted)], f"{dotted} is the default and needs no entry"
    for section in table.values():
        assert list(section) == sorted(section)
    assert len(table["distributions"]) > 500
