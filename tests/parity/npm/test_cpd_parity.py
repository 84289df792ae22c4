"""Duplicated lines of each file, compared with `pmd cpd --minimum-tokens 50 --language python`.

PMD needs Java, so its reports of small trees are stored in `goldens/` (`make goldens`), each with a digest of the tree.
The slow tests run PMD itself.
"""

import json
from pathlib import Path

import pytest

from collectors.contract import Totals
from collectors.cpd.corpus import Corpus
from collectors.cpd.facts import PackedFile
from collectors.metrics.dupes import COLLECTOR
from tests.parity.support.comparison import PACKAGES, STDLIB, copy_python, inspect_files, write_files
from tests.parity.support.cpd_corpora import CORPORA, GOLDENS, REJECTED, SNIPPETS, Files, digest, generated
from tests.parity.support.cpd_oracle import CpdReport, PmdOracle, line_ranges

LARGE_PACKAGES = ["sqlalchemy", "pydantic", "pygments", "hypothesis", "pip", "mypy", "alembic", "cryptography"]


def golden_report(name: str, files: Files) -> CpdReport:
    document = json.loads((GOLDENS / f"cpd-{name}.json").read_text())
    assert document["digest"] == digest(files), f"the golden file of {name} is of another tree: run `make goldens`"
    return CpdReport(document["lines"], document["skipped"])


def our_report(root: Path) -> CpdReport:
    """Run the collector's steps up to the duplicated lines; the collector's counts must agree with them."""
    facts = inspect_files(COLLECTOR, root)
    files = {path: PackedFile(fact) for path, fact in facts.items() if "error" not in fact}
    lines: dict[str, set[int]] = {}
    comparison = Corpus(files).compare()
    assert comparison.simplified_groups == 0
    for duplication in comparison.duplications:
        for location in duplication.locations:
            lines.setdefault(location.path, set()).update(range(location.first_line, location.last_line + 1))
    report = COLLECTOR.summarize(facts, Totals(sloc=dict.fromkeys(facts, 1)))
    assert report.aggregate["duplicate_lines"] == sum(map(len, lines.values()))
    assert {path: row["lines"] for path, row in report.per_file.items() if row["lines"]} == {
        path: len(found) for path, found in lines.items()
    }
    skipped = [path for path, fact in facts.items() if "error" in fact]
    return CpdReport({path: line_ranges(found) for path, found in sorted(lines.items())}, sorted(skipped))


def assert_same(ours: CpdReport, pmd: CpdReport) -> None:
    """Compare file by file; a tree without duplication would compare nothing."""
    assert pmd.lines
    assert ours.skipped == pmd.skipped
    differing = [path for path in sorted({*ours.lines, *pmd.lines}) if ours.lines.get(path) != pmd.lines.get(path)]
    assert {path: (ours.lines.get(path), pmd.lines.get(path)) for path in differing} == {}


@pytest.mark.parametrize("name", CORPORA)
def test_lines_equal_the_golden_report(tmp_path: Path, name: str) -> None:
    files = CORPORA[name]()
    assert_same(our_report(write_files(tmp_path, dict(files))), golden_report(name, files))


def test_every_corpus_has_a_golden_file_with_duplication_in_several_files() -> None:
    assert {path.name for path in GOLDENS.iterdir()} == {f"cpd-{name}.json" for name in CORPORA}
    for name, build in CORPORA.items():
        assert len(golden_report(name, build()).lines) > 1, name


def test_golden_report_of_crafted_files_covers_every_case() -> None:
    """Each snippet with 50 tokens is a duplication, with 49 it is none, and PMD skips exactly the rejected files."""
    files = CORPORA["crafted"]()
    report = golden_report("crafted", files)
    with_50_tokens = {path for path in files if "_enough_" in path}
    with_49_tokens = {path for path in files if "_too_few_" in path}
    assert len(with_50_tokens) == len(with_49_tokens) == 2 * len(SNIPPETS)
    assert with_50_tokens == {path for path in report.lines if path.startswith("snippets/")}
    rejected = {f"unknown/{name}.py" for name in REJECTED}
    assert set(report.skipped) == {*rejected, "unknown/utf_16.py", "off/unknown.py"}
    assert {path.partition("/")[0] for path in report.lines} == {path.partition("/")[0] for path in files}


@pytest.fixture(scope="session")
def pmd(tmp_path_factory: pytest.TempPathFactory) -> PmdOracle:
    return PmdOracle(tmp_path_factory.mktemp("pmd"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPORA)
def test_golden_reports_are_pmd_s(pmd: PmdOracle, tmp_path: Path, name: str) -> None:
    files = CORPORA[name]()
    assert pmd.run_cpd(write_files(tmp_path, dict(files))) == golden_report(name, files)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_random_trees_equal_pmd(pmd: PmdOracle, tmp_path: Path, seed: int) -> None:
    root = write_files(tmp_path, dict(generated(cases=300, seed=seed)))
    assert_same(our_report(root), pmd.run_cpd(root))


@pytest.mark.slow
@pytest.mark.parametrize("package", LARGE_PACKAGES)
def test_large_package_equals_pmd(pmd: PmdOracle, tmp_path: Path, package: str) -> None:
    root = copy_python(PACKAGES / package, tmp_path / package)
    assert_same(our_report(root), pmd.run_cpd(root))


@pytest.mark.slow
def test_standard_library_equals_pmd(pmd: PmdOracle, tmp_path: Path) -> None:
    root = copy_python(STDLIB, tmp_path / "lib")
    assert_same(our_report(root), pmd.run_cpd(root))
