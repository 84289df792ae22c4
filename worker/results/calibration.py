"""The numbers of well-known packages, with which those of a project are compared; `make calibrate` writes the file."""

import json
from functools import cache
from pathlib import Path

from domain.standing import Calibration

CALIBRATION_FILE = Path(__file__).with_name("data") / "calibration.json"


@cache
def load_calibration() -> Calibration:
    """Return the calibration that this release ships."""
    return Calibration.from_json(json.loads(CALIBRATION_FILE.read_text()))
