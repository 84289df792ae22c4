"""The scaffold of a collector. What it writes is an eleventh metric, which every output has without another change."""

import filecmp
import json
import shutil
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
from ruff import find_ruff_bin  # type: ignore[import-untyped]

from tests.tools.new_collector import InvalidNameError, create, main
from tests.unit.deploy.project_files import ROOT

NAME = "novelty"
COPIED = ("worker", "collectors", "domain", "infrastructure", "deploy", "docs", "examples", "tests")
WRITTEN = {
    f"collectors/metrics/{NAME}.py",
    f"tests/parity/fixtures/{NAME}/sample.py",
    f"tests/parity/test_{NAME}_parity.py",
}
SOURCE = {"a.py": "x = 1\ny = 2\n", "pkg/b.py": "z = 3\n", "broken.py": "def f(:\n"}


class Checkout:
    """A copy of the repository with an eleventh collector, and a Python that imports this copy."""

    def __init__(self, directory: Path) -> None:
        self.root = directory / "checkout"
        for name in COPIED:
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        self.written = create(self.root, NAME)
        environment = directory / "environment"
        venv.create(environment, symlinks=True)
        self._python = environment / "bin" / "python"
        [site_packages] = environment.glob("lib/python*/site-packages")
        # The copy comes first, and the dependencies from where this test has them.
        (site_packages / "checkout.pth").write_text(f"{self.root}\n{sysconfig.get_path('purelib')}\n")
        self.source = directory / "source"
        for name, text in SOURCE.items():
            (self.source / name).parent.mkdir(parents=True, exist_ok=True)
            (self.source / name).write_text(text)
        self._home = directory

    def python(self, *arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": "/usr/bin:/bin", "SCRATCH_DIR": str(self._home / "scratch"), "PACKAGE_INDEX_URL": ""}
        command: list[str | Path] = [self._python, *arguments]
        return subprocess.run(
            command, cwd=self.root, env=environment, input=text, capture_output=True, text=True, check=False
        )

    def python_with(self, text: str, program: str) -> str:
        """Return what the program prints when it reads the text."""
        run = self.python("-c", program, text=text)
        assert run.returncode == 0, run.stderr
        return run.stdout

    def vibe8(self, *arguments: str) -> str:
        run = self.python("-c", "from worker.cli.main import main; main()", *arguments)
        assert run.returncode == 0, run.stderr
        return run.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return Checkout(tmp_path_factory.mktemp("eleventh"))


def changed(left: Path, right: Path) -> set[str]:
    """Return the files that only one of the directories has, or that differ."""
    names = {path.relative_to(root).as_posix() for root in (left, right) for path in root.rglob("*") if path.is_file()}
    wanted = {name for name in names if "__pycache__" not in name}
    return {
        name
        for name in wanted
        if not (left / name).is_file()
        or not (right / name).is_file()
        or not filecmp.cmp(left / name, right / name, shallow=False)
    }


def file_node(tree: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        tree = next(child for child in tree["children"] if child["name"] == name)
    return tree


def test_scaffold_writes_three_files_and_changes_none(checkout: Checkout) -> None:
    assert {path.relative_to(checkout.root).as_posix() for path in checkout.written} == WRITTEN
    assert {name for folder in COPIED for name in changed(ROOT / folder, checkout.root / folder)} == {
        name.partition("/")[2] for name in WRITTEN
    }


def test_eleventh_metric_is_in_the_result_document(checkout: Checkout) -> None:
    document = json.loads(checkout.vibe8("analyze", str(checkout.source), "--json"))
    assert document["metrics"][NAME] == {"total": 3}
    assert len(document["metrics"]) == 11
    assert document["completeness"]["collectors"][NAME] == "partial", "broken.py"
    assert document["tool_versions"][NAME] == "1"
    assert f"collect.{NAME}" in document["timings_ms"]
    nodes = file_node(document["file_tree"], "a.py"), file_node(document["file_tree"], "pkg", "b.py")
    assert [node["metrics"][NAME] for node in nodes] == [
        {"count": 2, "severity": "high"},
        {"count": 1, "severity": "high"},
    ]
    assert file_node(document["file_tree"], "broken.py")["metrics"][NAME] == {"count": None, "severity": None}


def test_eleventh_metric_is_in_the_tables_of_the_command(checkout: Checkout) -> None:
    lines = checkout.vibe8("analyze", str(checkout.source)).splitlines()
    assert [line.split() for line in lines if line.startswith(NAME)] == [
        [NAME, "partial", "3", "top-level", "statements"],
    ]
    [headings] = [line.split() for line in lines if line.startswith("health")]
    [row] = [line.split() for line in lines if line.endswith("pkg/b.py")]
    assert headings[-2:] == [NAME, "file"]
    assert row[-2:] == ["1", "pkg/b.py"]


WITH_FINDINGS = """
from dataclasses import replace

from domain.findings.severity import FindingSeverity
from domain.findings.identity import FindingIdentity, IdentityKind
from domain.metrics.report import Finding

METRIC = replace(
    METRIC, finding_identity=FindingIdentity(kind=IdentityKind.QUALIFIED_NAME)
)


class WithFindings(Novelty):
    metric = METRIC

    def summarize(self, facts, totals):
        return replace(
            super().summarize(facts, totals),
            findings=[
                Finding(
                    metric="novelty", rule="NEW1", severity=FindingSeverity.HIGH, path=path, line=1,
                    message="a statement", identity=path, location_hash="1:1",
                )
                for path in facts
            ],
        )


COLLECTOR = WithFindings()
"""


EXPORTING = f"""
import json, sys
from worker.export.formats import ExportFormat, export_result

result = json.load(sys.stdin)
chosen = {{each: {NAME!r} if each.is_badge else None for each in ExportFormat}}
json.dump({{each: export_result(result, each, metric=chosen[each]).decode() for each in ExportFormat}}, sys.stdout)
"""


def test_eleventh_metric_is_in_every_export(checkout: Checkout) -> None:
    module = checkout.root / "collectors" / "metrics" / f"{NAME}.py"
    written = module.read_text()
    module.write_text(written + WITH_FINDINGS)
    try:
        exports = json.loads(checkout.python_with(checkout.vibe8("analyze", str(checkout.source), "--json"), EXPORTING))
    finally:
        module.write_text(written)
    for name in ("sarif", "sarif-full"):
        [run] = [run for run in json.loads(exports[name])["runs"] if run["tool"]["driver"]["name"] == NAME]
        assert [result["ruleId"] for result in run["results"]] == ["NEW1", "NEW1"]
        assert run["tool"]["driver"]["rules"][0]["fullDescription"]["text"].endswith(f"the metric {NAME}.")
    assert [item["check_name"] for item in json.loads(exports["gitlab"])].count(f"{NAME}/NEW1") == 2
    assert exports["csv"].count(f"\n{NAME},NEW1,high,") == 2
    assert f"| {NAME} |  | 3 top-level statements (partial) |" in exports["markdown"]
    assert exports["markdown"].count(f"`{NAME} NEW1`") == 2
    for name in ("badge", "badge-json"):
        assert "3 top-level statements" in exports[name]


def test_eleventh_metric_is_on_the_generated_page(checkout: Checkout) -> None:
    assert checkout.python("-m", "docs.generate").returncode == 0
    page = (checkout.root / "docs" / "metrics.md").read_text()
    assert f"\n## `{NAME}`\n" in page
    schema = json.loads((checkout.root / "docs" / "result.schema.json").read_text())
    assert "total" in schema["$defs"]["metrics"]["properties"][NAME]["properties"]
    assert "| `total` | integer | Top-level statements of all files. |" in page
    assert f"| `{NAME}` | Top-level statements per 100 sloc. | <= 20, <= 50, above |" in page


def test_eleventh_metric_has_a_time_series(checkout: Checkout) -> None:
    run = checkout.python("-c", "from collectors.engine.collector_names import collector_names as n; print(*n())")
    assert NAME in run.stdout.split()


def test_parity_test_fails_until_it_is_filled_in(checkout: Checkout) -> None:
    path = f"tests/parity/test_{NAME}_parity.py"
    run = checkout.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", ".", path)
    assert run.returncode == 1
    assert f"{path} is not filled in" in run.stdout


def test_scaffold_passes_the_linter(checkout: Checkout) -> None:
    ruff = [find_ruff_bin(), "--config", str(ROOT / "pyproject.toml")]
    files = [str(path) for path in checkout.written if "fixtures" not in path.parts]
    for command in ([*ruff[:1], "check", *ruff[1:]], [*ruff[:1], "format", "--check", *ruff[1:]]):
        run = subprocess.run([*command, *files], cwd=checkout.root, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", ["", "Novelty", "1st", "no-dash", "no space", "class", "../up"])
def test_invalid_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidNameError, match="is not a module name"):
        create(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


def test_existing_collector_is_not_overwritten(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["new_collector", "size"])
    before = (ROOT / "collectors" / "metrics" / "size.py").read_bytes()
    assert main() == 2
    assert "collectors/metrics/size.py exists already" in capsys.readouterr().err
    assert (ROOT / "collectors" / "metrics" / "size.py").read_bytes() == before
