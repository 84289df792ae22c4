"""The calibration file: what it says of a package equals what is measured now."""

import shutil
import sys
from importlib.metadata import distribution
from math import isclose
from pathlib import Path

from domain.statistics.standing import HIGHER_IS_BETTER
from tests.tools.calibrate import PACKAGES, analyse, locked_versions, numbers_of
from tests.unit.deploy.project_files import ROOT
from worker.results.calibration import load_calibration

PACKAGE = "click"
"""It is in the lock, and small."""

TOLERANCE = 1e-12 if sys.version_info < (3, 12) else 0.01
"""Relative. The file was made on Python 3.11; since 3.12 an f-string is several tokens, which radon counts."""


def test_values_of_a_locked_package_can_be_measured_again(tmp_path: Path) -> None:
    calibration = load_calibration()
    installed = distribution(PACKAGE)
    locked = locked_versions((ROOT / "requirements-dev.lock").read_text())
    assert calibration.packages[PACKAGE] == installed.version == locked[PACKAGE], "run: make calibrate"
    for file in installed.files or ():
        if file.suffix == ".py":
            target = tmp_path / "tree" / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(str(file.locate())), target)
    document = analyse(tmp_path / "tree")
    for tool, version in calibration.tool_versions.items():
        assert document["tool_versions"][tool] == version, "run: make calibrate"
    for name, value in numbers_of(document).items():
        assert value is not None, name
        assert any(isclose(value, known, rel_tol=TOLERANCE) for known in calibration.values[name]), name


def test_file_has_all_packages_and_numbers() -> None:
    calibration = load_calibration()
    assert tuple(calibration.packages) == PACKAGES
    assert calibration.values.keys() == HIGHER_IS_BETTER.keys()
    for name, values in calibration.values.items():
        assert list(values) == sorted(values), name
        assert len(values) >= len(PACKAGES) - 2, name
