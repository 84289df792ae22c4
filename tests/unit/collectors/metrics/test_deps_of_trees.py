"""What the imports of whole trees mean: trees of which earlier versions were wrong about a package or a module."""

from pathlib import Path
from typing import Any

import pytest
from pypi_simple import PYPI_SIMPLE_ENDPOINT

from collectors.contract import TREE_PATH, Totals
from collectors.metrics.deps import COLLECTOR
from collectors.source.source_tree import SourceFile
from domain.metrics.packages import NOT_INDEXED
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from tests.unit.collectors.source_trees import load_tree

Packages = dict[str, str | None]
"""Version by package. A package that the tree does not declare has a question mark before its name."""

NAMESPACE = {
    "plugins/redis/src/acme/plugins/redis/__init__.py": "import redis\nfrom redis.asyncio import Redis\n",
    "plugins/redis/pyproject.toml": '[project]\nname = "acme-plugins-redis"\ndependencies = ["redis==5.0.1"]\n',
    "plugins/flask/src/acme/plugins/flask/__init__.py": "from acme.plugins.redis import hook\nimport flask\n",
    "plugins/flask/pyproject.toml": '[project]\nname = "acme-plugins-flask"\ndependencies = ["flask>=3"]\n',
}
CASES: dict[str, tuple[dict[str, str], int, Packages]] = {
    "portions of a namespace in two projects": (NAMESPACE, 3, {"flask": None, "redis": "5.0.1"}),
    "the same without any declaration": (
        {path: text for path, text in NAMESPACE.items() if path.endswith(".py")},
        3,
        {"?flask": None, "?redis": None},
    ),
    "the same without src": (
        {path.replace("/src/", "/"): text for path, text in NAMESPACE.items()},
        3,
        {"flask": None, "redis": "5.0.1"},
    ),
    "a declared dependency and a package of that name elsewhere": (
        {
            "app/main.py": "import requests\n",
            "third_party/requests/__init__.py": "",
            "requirements.txt": "requests==2\n",
        },
        1,
        {"requests": "2"},
    ),
    "a package of that name elsewhere": (
        {"app/main.py": "import shared.auth\n", "libs/shared/__init__.py": "", "libs/shared/auth.py": ""},
        1,
        {},
    ),
    "a declared dependency and a package of that name in the root": (
        {"app.py": "import requests\n", "requests/__init__.py": "", "requirements.txt": "requests==2\n"},
        1,
        {},
    ),
    "a folder of the tree": ({"app.py": "from ns import other\n", "ns/mod.py": ""}, 0, {}),
    "a folder of the tree, declared": (
        {"app.py": "import docker\n", "docker/run.py": "", "requirements.txt": "docker==7\n"},
        1,
        {"docker": "7"},
    ),
    "others in the tree's namespace": (
        {
            "a/src/opentelemetry/mine/__init__.py": "from opentelemetry.sdk.trace import T\nimport opentelemetry.odd\n",
            "a/pyproject.toml": '[project]\nname = "mine"\n',
        },
        1,
        {"?opentelemetry-sdk": None},
    ),
    "the tree's own project": (
        {
            "tests/test_a.py": "import acme_core\n",
            "pyproject.toml": '[project]\nname = "acme-core"\n',
            "uv.lock": '[[package]]\nname = "acme-core"\nversion = "1"\nsource = { editable = "." }\n',
        },
        0,
        {},
    ),
    "modules that are not analysed": (
        {
            "app.py": "import fast, stub, pkg.slow\nfrom pkg import other\n",
            "fast.cpython-311-x86_64-linux-gnu.so": "",
            "stub.pyi": "",
            "pkg/__init__.py": "",
            "pkg/slow.pyx": "",
        },
        4,
        {},
    ),
    "names that are declared as they are imported": (
        {"a.py": "import bs4, docx, jwt\n", "requirements.txt": "jwt==1.3.1\ndocx==0.2.4\nbs4==0.0.2\n"},
        3,
        {"bs4": "0.0.2", "docx": "0.2.4", "jwt": "1.3.1"},
    ),
    "names with affixes": (
        {"a.py": "import barcode_x, y\n", "requirements.txt": "python-barcode_x==1\ny-py==2\n"},
        2,
        {"python-barcode-x": "1", "y-py": "2"},
    ),
    "an attribute with the name of another distribution": (
        {"a.py": "from flask import session\n", "requirements.txt": "flask==3\nflask-session==1\n"},
        1,
        {"flask": "3"},
    ),
    "distributions below namespaces": (
        {
            "a.py": "import google.auth\nfrom azure.data.tables import T\nfrom google import genai\n"
            "from google.cloud import aiplatform_v1, kms_v1beta1\nfrom llama_index.core import Document\n"
            "from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import O\n"
            "from opentelemetry.sdk.trace import T\nfrom snowflake.sqlalchemy import URL\n",
            "requirements.txt": "google-genai==1\ngoogle-auth==2\ngoogle-cloud-aiplatform==3\ngoogle-cloud-kms==4\n"
            "opentelemetry-sdk==5\nopentelemetry-exporter-otlp-proto-grpc==6\nllama-index-core==7\n"
            "azure-data-tables==8\nsnowflake-sqlalchemy==9\nllama-index==10\n",
        },
        5,
        {
            "azure-data-tables": "8", "google-auth": "2", "google-cloud-aiplatform": "3", "google-cloud-kms": "4",
            "google-genai": "1", "llama-index-core": "7", "opentelemetry-exporter-otlp-proto-grpc": "6",
            "opentelemetry-sdk": "5", "snowflake-sqlalchemy": "9",
        },
    ),
    "the same undeclared": (
        {
            "a.py": "import google.auth\nfrom azure.data.tables import T\nfrom google.cloud import aiplatform_v1\n"
            "from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import O\n"
            "from opentelemetry.instrumentation.flask import F\nfrom llama_index.core import D\n"
        },
        4,
        {
            "?azure-data-tables": None, "?google-auth": None, "?google-cloud-aiplatform": None,
            "?llama-index-core": None, "?opentelemetry-exporter-otlp-proto-grpc": None,
            "?opentelemetry-instrumentation-flask": None,
        },
    ),
    "files that requirements include": (
        {
            "a.py": "import flask, gunicorn, redis, attr\n",
            "requirements.txt": "-r requirements/base.txt\n--requirement=deps/prod.pip\n-c constraints.txt\n",
            "requirements/base.txt": "flask==3.0.0\nredis\n",
            "deps/prod.pip": "gunicorn==21.2.0\n",
            "constraints.txt": "redis==5.0.1\n",
            "pyproject.toml": '[tool.setuptools.dynamic]\ndependencies = {file = ["deps/more.in"]}\n',
            "deps/more.in": "attrs==23\n",
        },
        4,
        {"attrs": "23", "flask": "3.0.0", "gunicorn": "21.2.0", "redis": "5.0.1"},
    ),
    "setup.py": (
        {"a.py": "import one\n", "setup.py": "from setuptools import setup\nsetup(install_requires=['one==1'])\n"},
        2,
        {"one": "1", "?setuptools": None},
    ),
    "a script's own metadata": (
        {"a.py": "# /// script\n# dependencies = [\n#   'one==1',\n# ]\n# ///\nimport one\n"},
        1,
        {"one": "1"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CASES))
def test_imports_of_a_tree(name: str, tmp_path: Path) -> None:
    files, modules, packages = CASES[name]
    metrics = analysed(tmp_path, files)
    assert metrics["total_modules"] == modules
    found = {row["package"] if row["installed"] else f"?{row['package']}": row for row in metrics["package_health"]}
    assert {package: row["current_version"] for package, row in found.items()} == packages


def analysed(tmp_path: Path, files: dict[str, str]) -> dict[str, Any]:
    root, layout = tmp_path / "source", SourceLayout(tmp_path / "scratch")
    layout.root.mkdir()
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    fetch_directory(root, layout, SourceLimits())
    tree = load_tree(layout.tree, manifests=layout.manifests)
    facts = {
        entry.path: COLLECTOR.inspect(SourceFile(entry.path, entry.location.read_bytes())) for entry in tree.entries
    }
    facts[TREE_PATH] = COLLECTOR.collect_tree(tree)
    report = COLLECTOR.summarize(facts, Totals(sloc={entry.path: 1 for entry in tree.entries}))
    assert report.gaps == []
    return dict(report.aggregate)


def test_no_index_is_asked_for_names_that_come_from_elsewhere(tmp_path: Path) -> None:
    files = {
        "a.py": "import near, public, private_git, workspace_mate\n",
        "requirements.txt": "near @ file:///x\npublic==1\n-e git+ssh://git@corp/x#egg=private-git\n",
        "pyproject.toml": '[project]\nname = "root"\ndependencies = ["workspace-mate"]\n'
        "[tool.uv.sources]\nworkspace-mate = { workspace = true }\n",
    }
    health = analysed(tmp_path, files)["package_health"]
    assert {row["package"]: NOT_INDEXED in row for row in health} == {
        "near": True, "private-git": True, "public": False, "workspace-mate": True,
    }  # fmt: skip
    assert all(row["installed"] for row in health)


PRIVATE = "https://index.corp.example/simple"
PRIVATE_INDEXES = {
    "requirements.txt": [f"--index-url {PRIVATE}", f"-i {PRIVATE}", f"--extra-index-url={PRIVATE}", "--no-index",
        "-f ./w"],
    "requirements/dev.txt": [f"--index-url {PRIVATE}"],
    "pyproject.toml": [
        f'[[tool.poetry.source]]\nname = "c"\nurl = "{PRIVATE}"', f'[[tool.uv.index]]\nurl = "{PRIVATE}"',
        f'[[tool.pdm.source]]\nurl = "{PRIVATE}"', f'[tool.uv]\nextra-index-url = ["{PRIVATE}"]',
    ],
    "Pipfile": [f'[[source]]\nurl = "{PRIVATE}"'],
    "Pipfile.lock": [f'{{"_meta": {{"sources": [{{"url": "{PRIVATE}"}}]}}}}'],
    "uv.lock": [f'[[package]]\nname = "x"\nversion = "1"\nsource = {{ registry = "{PRIVATE}" }}'],
}  # fmt: skip


def health_and_gaps(tmp_path: Path, manifest: str, text: str) -> tuple[dict[str, bool], list[str], list[str]]:
    files = {"a.py": "import corp_secret, requests\n", "setup.cfg": "[options]\ninstall_requires = corp-secret\n"}
    for path, content in {**files, manifest: f"{text}\n"}.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(content)
    tree = load_tree(tmp_path, manifests=tmp_path)
    facts = {
        "a.py": COLLECTOR.inspect(SourceFile("a.py", files["a.py"].encode())),
        TREE_PATH: COLLECTOR.collect_tree(tree),
    }
    report = COLLECTOR.summarize(facts, Totals(sloc={"a.py": 1}))
    finder = COLLECTOR.package_finder(facts[TREE_PATH], ["a.py"])
    early = [*finder.add("a.py", facts["a.py"]), *finder.finish()]
    return {row["package"]: NOT_INDEXED not in row for row in report.aggregate["package_health"]}, [*report.gaps], early


@pytest.mark.parametrize(
    ("manifest", "text"), [(manifest, text) for manifest, texts in PRIVATE_INDEXES.items() for text in texts]
)
def test_no_index_is_asked_for_a_tree_that_names_a_private_one(tmp_path: Path, manifest: str, text: str) -> None:
    asked, gaps, early = health_and_gaps(tmp_path, manifest, text)
    assert set(asked.values()) == {False}
    assert early == []
    assert gaps == [f"{manifest}: no package index is asked: the packages may come from a private one"]


@pytest.mark.parametrize(
    "text", [f"--index-url {PYPI_SIMPLE_ENDPOINT}", f"-i {PYPI_SIMPLE_ENDPOINT}", "# -i x", "corp"]
)
def test_the_default_index_is_asked_although_a_manifest_names_it(tmp_path: Path, text: str) -> None:
    asked, gaps, early = health_and_gaps(tmp_path, "requirements.txt", text)
    assert asked == {"corp-secret": True, "requests": True}
    assert (gaps, sorted(early)) == ([], ["corp-secret", "requests"])


def test_names_to_look_up_early_are_not_internal(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "own"\ndependencies = ["own", "x @ file:///x", "y"]\n')
    finder = COLLECTOR.package_finder(COLLECTOR.collect_tree(load_tree(tmp_path, manifests=tmp_path)), ["a.py"])
    assert finder.add("a.py", {"absolute": ["own", "x", "y"], "relative": []}) == ["y"]
    assert finder.finish() == []
