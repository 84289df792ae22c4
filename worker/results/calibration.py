"""The numbers of well-known packages, with which those of a project are compared; `make calibrate` writes the file."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from domain.findings.measured_run import iter_files
from domain.statistics.standing import Calibration, source_files, source_numbers, standing
from domain.text import JSON

CALIBRATION_FILE = Path(__file__).with_name("data") / "calibration.json"


@cache
def load_calibration() -> Calibration:
    """Return the calibration that this release ships."""
    return Calibration.from_json(json.loads(CALIBRATION_FILE.read_text()))


def standing_to_json(
    metrics: Mapping[str, JSON],
    file_tree: Mapping[str, JSON] | None,
    tool_versions: Mapping[str, str],
    quality_score: float | None,
) -> dict[str, JSON]:
    """Return the object `standing` of a result: where the run stands among the packages of this release."""
    calibration = load_calibration()
    files = source_files(iter_files(file_tree))
    found = standing(source_numbers(metrics, files, quality_score), tool_versions, calibration)
    return {
        "percentiles": dict(found.percentiles),
        "grade": found.grade,
        "reason": found.reason,
        "packages": len(calibration.packages),
    }
