from pathlib import Path
from typing import Any

import msgpack
import pytest

from collectors.contract import TREE_PATH, FileCollector, Totals
from collectors.dependencies.module_index import ModuleIndex
from collectors.metrics.deps import COLLECTOR, PACKAGES_LIMIT
from collectors.source.source_tree import SourceFile
from domain.metrics.report import Report
from tests.unit.collectors.source_trees import load_tree


def report_on(sources: dict[str, str], tree_facts: dict[str, Any] | None = None) -> Report:
    facts: dict[str, Any] = {} if tree_facts is None else {TREE_PATH: tree_facts}
    for path, text in sorted(sources.items()):
        facts[path] = msgpack.unpackb(msgpack.packb(COLLECTOR.inspect(SourceFile(path, text.encode()))))
    return COLLECTOR.summarize(facts, Totals(sloc=dict.fromkeys(sorted(sources), 1)))


def total(sources: dict[str, str], **declared: str | None) -> int:
    count = report_on(sources, {"declared": declared, "gaps": []}).aggregate["total_modules"]
    assert isinstance(count, int)
    return count


def packages(sources: dict[str, str]) -> list[str]:
    return [row["package"] for row in report_on(sources).aggregate["package_health"]]


def test_deps_is_a_file_collector() -> None:
    assert isinstance(COLLECTOR, FileCollector)


def test_imports_of_a_small_project() -> None:
    report = report_on(
        {
            "shop/__init__.py": "from .cart import Cart\n",  # 1: shop/cart.py
            "shop/cart.py": "import os, json\nimport requests\nfrom . import prices, VERSION\n",  # 2, 3: prices, shop
            "shop/prices.py": "from decimal import Decimal\nimport yaml.nodes, yaml\n",
            "shop/unused.py": "import numpy.linalg as la\nfrom numpy import array\n",
            "tests/test_cart.py": "import pytest\nfrom shop.cart import Cart\nfrom google.cloud import storage\n",
        },
        {"declared": {"requests": "2.31.0", "pyyaml": None, "flask": "3.0"}, "gaps": []},
    )
    # Internal: shop/cart.py, shop/prices.py, shop/__init__.py; third-party: requests, yaml, numpy, pytest, google.
    assert report.aggregate["total_modules"] == 3 + 5
    blank = {"outdated": None, "latest_version": None}
    assert report.aggregate["package_health"] == [
        {"package": "google-cloud-storage", "installed": False, "current_version": None, **blank},
        {"package": "numpy", "installed": False, "current_version": None, **blank},
        {"package": "pytest", "installed": False, "current_version": None, **blank},
        {"package": "pyyaml", "installed": True, "current_version": None, **blank},
        {"package": "requests", "installed": True, "current_version": "2.31.0", **blank},
    ]
    assert report.per_file == {}
    assert report.gaps == []


@pytest.mark.parametrize(
    "code",
    [
        "import a.b.c, a.d\nfrom a import e\nfrom a.f.g import h",
        "try:\n    import a\nexcept ImportError:\n    a = None",
        "try:\n    pass\nexcept ImportError:\n    import a",
        "try:\n    pass\nexcept E:\n    pass\nelse:\n    import a",
        "try:\n    pass\nfinally:\n    import a",
        "if TYPE_CHECKING:\n    import a",
        "if x:\n    pass\nelif y:\n    import a",
        "def f():\n    import a",
        "async def f():\n    async with x:\n        async for y in z:\n            import a",
        "class C:\n    for x in y:\n        while z:\n            with w:\n                import a",
        "match x:\n    case 1:\n        from a import *",
        "while x:\n    pass\nelse:\n    import a",
    ],
)
def test_import_counts_in_every_kind_of_block(code: str) -> None:
    assert total({"m.py": code}) == 1


@pytest.mark.parametrize(
    "code",
    ["import os.path, sys", "from __future__ import annotations", "import distutils, cPickle, test.support, __main__"],
)
def test_standard_libraries_are_left_out(code: str) -> None:
    assert total({"m.py": code}) == 0


def test_nothing_to_measure() -> None:
    assert report_on({}).aggregate == {"total_modules": 0, "package_health": []}


INTERNAL = [
    # importer, import, imported file (None: not in the tree)
    ("a.py", "b", "b.py"),
    ("a.py", "b.attribute", "b.py"),
    ("a.py", "pkg", "pkg/__init__.py"),
    ("a.py", "pkg.mod.f", "pkg/mod.py"),
    ("a.py", "pkg.missing", "pkg/__init__.py"),
    ("a.py", "pkg.sub.deep.f", "pkg/sub/deep.py"),
    ("pkg/mod.py", "b", "b.py"),
    ("pkg/mod.py", "pkg.sub", "pkg/sub/__init__.py"),
    ("pkg/__init__.py", "pkg.mod", "pkg/mod.py"),
    ("pkg/mod.py", "other", None),  # pkg/other.py: packages are not on the path
    ("a.py", "requests", None),
    ("tests/test_x.py", "lib.core", "src/lib/core.py"),
    ("tests/test_x.py", "helpers", "tests/helpers.py"),
    ("a.py", "helpers", None),
    ("src/lib/core.py", "lib", "src/lib/__init__.py"),
    ("tools/celery.py", "celery.Celery", None),  # a module does not find itself
    ("a.py", "docker", None),  # a folder without modules of that name is not a package
    ("a.py", "docker.entrypoint", "docker/entrypoint.py"),
    ("a.py", "docker.from_env", None),
    ("a.py", "both", "both/__init__.py"),  # a package takes precedence over a module
    ("services/api/app/main.py", "shared.auth", "services/common/shared/auth.py"),  # another part of a monorepo
    ("services/api/app/main.py", "app.models", "services/api/app/models.py"),
]
FILES = [
    "a.py",
    "b.py",
    "both.py",
    "both/__init__.py",
    "pkg/__init__.py",
    "pkg/mod.py",
    "pkg/other.py",
    "pkg/sub/__init__.py",
    "pkg/sub/deep.py",
    "src/lib/__init__.py",
    "src/lib/core.py",
    "tests/test_x.py",
    "tests/helpers.py",
    "tools/celery.py",
    "docker/entrypoint.py",
    "services/api/app/main.py",
    "services/api/app/models.py",
    "services/common/shared/__init__.py",
    "services/common/shared/auth.py",
]


@pytest.mark.parametrize(("importer", "dotted", "expected"), INTERNAL)
def test_absolute_imports(importer: str, dotted: str, expected: str | None) -> None:
    assert importer in FILES
    assert ModuleIndex(FILES).resolve_absolute(importer, dotted) == expected


@pytest.mark.parametrize(
    ("importer", "level", "dotted", "expected"),
    [
        ("pkg/mod.py", 1, "other.f", "pkg/other.py"),
        ("pkg/mod.py", 1, "other", "pkg/other.py"),
        ("pkg/mod.py", 1, "attribute", "pkg/__init__.py"),
        ("pkg/mod.py", 1, "_speedups.f", "pkg/__init__.py"),
        ("pkg/sub/deep.py", 2, "mod", "pkg/mod.py"),
        ("pkg/sub/deep.py", 2, "sub.deep.x", "pkg/sub/deep.py"),
        ("pkg/sub/__init__.py", 1, "deep", "pkg/sub/deep.py"),
        ("pkg/mod.py", 1, "*", "pkg/__init__.py"),
        ("tests/test_x.py", 1, "helpers", "tests/helpers.py"),
        ("tests/test_x.py", 1, "nothing", None),
        ("pkg/mod.py", 2, "b", "b.py"),
        ("pkg/mod.py", 3, "b", None),
        ("a.py", 9, "b", None),
    ],
)
def test_relative_imports(importer: str, level: int, dotted: str, expected: str | None) -> None:
    assert ModuleIndex(FILES).resolve_relative(importer, level, dotted) == expected


def test_sibling_module_in_a_root_package_is_found() -> None:
    assert total({"__init__.py": "", "a.py": "import b", "b.py": ""}) == 1


def test_sibling_module_in_a_package_is_found_when_undeclared() -> None:
    sources = {"app/__init__.py": "", "app/main.py": "import models", "app/models.py": ""}
    report = report_on(sources)
    assert report.aggregate == {"total_modules": 1, "package_health": []}


def test_declared_package_takes_precedence_over_a_sibling_module() -> None:
    sources = {"proj/__init__.py": "", "proj/celery.py": "", "proj/tasks.py": "from celery import shared_task"}
    report = report_on(sources, {"declared": {"celery": None}, "gaps": []})
    assert [row["package"] for row in report.aggregate["package_health"]] == ["celery"]


def test_self_import_does_not_count() -> None:
    assert total({"pkg/__init__.py": "from . import version\nfrom pkg import x"}) == 0
    assert total({"pkg/__init__.py": "", "pkg/m.py": "import pkg.m\nfrom .m import y"}) == 0


def test_several_import_names_of_one_distribution_are_one_package() -> None:
    report = report_on({"m.py": "import yaml, _yaml"})
    assert report.aggregate["total_modules"] == 2
    assert [row["package"] for row in report.aggregate["package_health"]] == ["pyyaml"]


def test_declared_distribution_is_preferred() -> None:
    report = report_on({"m.py": "import psycopg2"}, {"declared": {"psycopg2-binary": "2.9"}, "gaps": []})
    assert report.aggregate["package_health"][0]["package"] == "psycopg2-binary"
    assert packages({"m.py": "import psycopg2"}) == ["psycopg2"]


def test_names_without_a_distribution_count_but_are_not_listed() -> None:
    report = report_on({"m.py": "import google, _speedups, größe"})
    assert report.aggregate == {"total_modules": 3, "package_health": []}


def test_gaps_of_the_manifests_are_reported() -> None:
    assert report_on({}, {"declared": {}, "gaps": ["uv.lock: broken"]}).gaps == ["uv.lock: broken"]


def test_package_list_is_limited() -> None:
    report = report_on({"m.py": "".join(f"import p{number}\n" for number in range(PACKAGES_LIMIT + 5))})
    assert report.aggregate["total_modules"] == PACKAGES_LIMIT + 5
    assert len(report.aggregate["package_health"]) == PACKAGES_LIMIT
    assert report.gaps == ["deps: 5 more packages are not listed"]


def test_tree_facts_come_from_the_manifests(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("one==1\n")
    (tmp_path / "uv.lock").write_text("[")
    facts = COLLECTOR.collect_tree(load_tree(tmp_path, manifests=tmp_path))
    assert facts["declared"] == {"one": "1"}
    assert len(facts["gaps"]) == 1
    facts = COLLECTOR.collect_tree(load_tree(tmp_path))
    empty = {"declared": {}, "own": [], "elsewhere": [], "roots": [], "gaps": [], "modules": [], "private_index": False}
    assert facts == empty


OF_TREE = {"declared": {"pyyaml": None, "b": "1", "own": None}, "own": ["own"], "elsewhere": ["b"], "gaps": []}


def test_declared_packages_are_found_file_by_file_and_the_others_at_the_end() -> None:
    finder = COLLECTOR.package_finder(OF_TREE, ["a.py", "mine.py"])
    imported = ["b.c", "mine", "os", "other", "own", "secret", "yaml.nodes"]
    assert finder.add("a.py", {"absolute": imported, "relative": [[1, "mine"]]}) == ["pyyaml"]
    script = [["secret", None, False], ["third", None, True]]
    assert finder.add("mine.py", {"absolute": ["yaml", "google", "third"], "relative": [], "script": script}) == []
    assert finder.finish() == ["other", "third"]


def test_packages_that_are_found_early_are_those_of_the_report() -> None:
    facts = {
        "a.py": {"absolute": ["PIL", "own", "google.protobuf", "a"], "relative": []},
        "pkg/__init__.py": {"absolute": ["sibling", "numpy.linalg"], "relative": [[1, "sibling"]]},
        "pkg/sibling.py": {"absolute": ["yaml", "numpy"], "relative": []},
    }
    of_tree = {"declared": {"pillow": "1", "pyyaml": None}, "gaps": []}
    finder = COLLECTOR.package_finder(of_tree, sorted(facts))
    early = [name for path, fact in facts.items() for name in finder.add(path, fact)]
    assert early == ["pillow", "pyyaml"]
    report = COLLECTOR.summarize({TREE_PATH: of_tree, **facts}, Totals(sloc=dict.fromkeys(sorted(facts), 1)))
    health = [row["package"] for row in report.aggregate["package_health"]]
    assert sorted([*early, *finder.finish()]) == health
    assert len(health) > 3
