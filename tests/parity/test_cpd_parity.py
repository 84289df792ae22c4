"""Line by line against `pmd cpd --minimum-tokens 50 --language python`.

PMD needs Java, so what it says of small trees is written down in `goldens/` (`make goldens`), with a digest of the
bytes that it said it of. The slow tests ask PMD itself.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from collectors.contract import Totals
from collectors.cpd.corpus import Corpus
from collectors.cpd.facts import PackedFile
from collectors.metrics.dupes import COLLECTOR
from tests.parity.support.comparison import PACKAGES, STDLIB, copy_python, inspect_files, write_files
from tests.parity.support.cpd_corpora import CORPORA, GOLDENS, Files, digest, generated
from tests.parity.support.cpd_oracle import Oracle, Verdict, ranges

LARGE_PACKAGES = ["sqlalchemy", "pydantic", "pygments", "hypothesis", "pip", "mypy", "alembic", "cryptography"]


def golden(name: str, files: Files) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((GOLDENS / f"cpd-{name}.json").read_text())
    assert document["digest"] == digest(files), f"the golden of {name} is of other bytes: run `make goldens`"
    return document


def our_verdict(root: Path) -> Verdict:
    """The collector's own steps, as far as the lines; its counts must be theirs."""
    facts = inspect_files(COLLECTOR, root)
    files = {path: PackedFile(fact) for path, fact in facts.items() if "error" not in fact}
    lines: dict[str, set[int]] = {}
    comparison = Corpus(files).compare()
    assert comparison.simplified_groups == 0
    for duplication in comparison.duplications:
        for place in duplication.locations:
            lines.setdefault(place.path, set()).update(range(place.first_line, place.last_line + 1))
    report = COLLECTOR.summarize(facts, Totals(sloc=dict.fromkeys(facts, 1)))
    assert report.aggregate["duplicate_lines"] == sum(map(len, lines.values()))
    assert {path: row["lines"] for path, row in report.per_file.items() if row["lines"]} == {
        path: len(found) for path, found in lines.items()
    }
    skipped = [path for path, fact in facts.items() if "error" in fact]
    return Verdict({path: ranges(found) for path, found in sorted(lines.items())}, sorted(skipped))


def assert_same(ours: Verdict, theirs: Verdict) -> None:
    assert ours.skipped == theirs.skipped
    assert {path: (ours.lines.get(path), theirs.lines.get(path)) for path in _differing(ours, theirs)} == {}


def _differing(ours: Verdict, theirs: Verdict) -> Iterable[str]:
    for path in sorted({*ours.lines, *theirs.lines}):
        if ours.lines.get(path) != theirs.lines.get(path):
            yield path


@pytest.mark.parametrize("name", CORPORA)
def test_golden(tmp_path: Path, name: str) -> None:
    files = CORPORA[name]()
    written = golden(name, files)
    assert_same(our_verdict(write_files(tmp_path, dict(files))), Verdict(written["lines"], written["skipped"]))


def test_the_goldens_have_something_to_say() -> None:
    for name, build in CORPORA.items():
        written = golden(name, build())
        assert len(written["lines"]) > 1
    crafted = golden("crafted", CORPORA["crafted"]())
    assert any(path.startswith("unknown/") for path in crafted["skipped"])
    assert all("snippets/" in path or "enough" not in path for path in crafted["lines"])
    assert not any("too_few" in path for path in crafted["lines"])


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Oracle:
    return Oracle(tmp_path_factory.mktemp("pmd"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPORA)
def test_goldens_are_what_pmd_says(oracle: Oracle, tmp_path: Path, name: str) -> None:
    files = CORPORA[name]()
    written = golden(name, files)
    assert oracle.judge(write_files(tmp_path, dict(files))).to_json() == {
        "lines": written["lines"],
        "skipped": written["skipped"],
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 106))
def test_random_trees(oracle: Oracle, tmp_path: Path, seed: int) -> None:
    root = write_files(tmp_path, dict(generated(cases=300, seed=seed)))
    assert_same(our_verdict(root), oracle.judge(root))


@pytest.mark.slow
@pytest.mark.parametrize("package", LARGE_PACKAGES)
def test_large_package(oracle: Oracle, tmp_path: Path, package: str) -> None:
    root = copy_python(PACKAGES / package, tmp_path / package)
    assert_same(our_verdict(root), oracle.judge(root))


@pytest.mark.slow
def test_standard_library(oracle: Oracle, tmp_path: Path) -> None:
    root = copy_python(STDLIB, tmp_path / "lib")
    assert_same(our_verdict(root), oracle.judge(root))
