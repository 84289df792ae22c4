"""The distributions that provide an imported name, and the table of them."""

import json
from pathlib import Path

import pytest

from collectors.dependencies.import_names import OTHER_STANDARD_LIBRARY, canonical_name, distributions_for


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
