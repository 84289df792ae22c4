"""Circles between modules, also those that import-linter cannot see because a module is named in a string."""

from pathlib import Path

import pytest

from tests.unit.deploy.project_files import ROOT
from tests.unit.structure.module_graph import find_cycles, find_modules, find_references

PACKAGES = ("worker", "collectors", "infrastructure", "domain")
MODULES = find_modules(ROOT, PACKAGES)
REFERENCES = find_references(MODULES)
NEW_PROCESS = frozenset(
    {("worker.cli.commands.up", "worker.__main__"), ("worker.cli.commands.http_beside", "worker.__main__")}
)
"""Commands that run another command, in place of their process or beside it; nothing is imported."""
LAYERS = {"worker": 2, "collectors": 1, "infrastructure": 1, "domain": 0}


def test_siblings_do_not_refer_to_each_other_in_a_circle() -> None:
    references = [each for each in REFERENCES if (each.source, each.target) not in NEW_PROCESS]
    cycles = find_cycles(MODULES, references)
    assert len(references) == len(REFERENCES) - len(NEW_PROCESS)
    assert not cycles, "\n\n".join("\n".join(map(str, cycle)) for cycle in cycles)


def test_module_names_in_strings_point_down() -> None:
    wrong = []
    for reference in REFERENCES:
        source, target = reference.source.partition(".")[0], reference.target.partition(".")[0]
        if reference.by_name and source != target and LAYERS[source] <= LAYERS[target]:
            wrong.append(str(reference))
    assert wrong == []


def test_known_names_in_strings_are_found() -> None:
    found = {(reference.source, reference.target) for reference in REFERENCES if reference.by_name}
    assert {
        ("collectors.engine.discovery", "collectors.metrics.size"),
        ("infrastructure.child_process.zygote_process", "infrastructure.child_process.zygote"),
        ("infrastructure.outbound.lazy_package_index", "infrastructure.outbound.package_index"),
        ("worker.analysis.pipeline", "worker.analysis.child_tasks"),
        ("worker.analysis.preload", "worker.analysis.child_tasks"),
    } <= found


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("from package import b", "from package.a import f"),
        ("import package.b", "import package.a"),
        ("load('package.b')", "import package.a"),
        ("ENTRY = 'package.b:run'", "import package.a"),
        ("run(f'package.inner.{name}')", "import package.a"),
        ("run([python, '-P', '-m', 'package'])", "import package.a"),
        ("def f():\n    import package.b", "import package.a"),
    ],
)
def test_each_kind_of_circle_is_found(tmp_path: Path, first: str, second: str) -> None:
    (tmp_path / "package" / "inner").mkdir(parents=True)
    for name in ("__init__", "inner/__init__", "c"):
        (tmp_path / "package" / f"{name}.py").write_text('"""It names package.a and "package.b"."""\n')
    (tmp_path / "package" / "a.py").write_text(first)
    for name in ("b", "inner/d", "__main__"):
        (tmp_path / "package" / f"{name}.py").write_text(second)
    modules = find_modules(tmp_path, ("package",))
    (cycle,) = find_cycles(modules, find_references(modules))
    assert len(cycle) == 2
    (tmp_path / "package" / "a.py").write_text('f"{x}.y"')
    assert find_cycles(modules, find_references(modules)) == []
