"""Microsoft's validator of SARIF and the schema that it ships. Needs npm, which downloads it."""

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import jsonschema

PACKAGE = "@microsoft/sarif-multitool-linux@5.7.0"
"""npm package with the program for Linux, in which its .NET runtime is contained, and with `sarif-2.1.0.json`."""

RULES = "Sarif;Ghas"
"""The kinds of rules to hold a file against: those of the specification, and those of GitHub's code scanning."""


class MultitoolUnavailableError(Exception):
    """The validator cannot be run on this machine; the text says what is needed."""


class Multitool:
    """The validator, unpacked into a directory."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("npm") is None:
            raise MultitoolUnavailableError("validating SARIF needs npm on the PATH")
        packing = ["npm", "pack", "--ignore-scripts", "--silent", PACKAGE]
        run = subprocess.run(packing, cwd=directory, capture_output=True, text=True, check=False)
        if run.returncode:
            raise MultitoolUnavailableError(f"npm cannot download {PACKAGE}: {' '.join(run.stderr.split())[-300:]}")
        with tarfile.open(directory / run.stdout.split()[-1]) as packed:
            packed.extractall(directory, filter="data")
        self.directory = directory
        self._program = directory / "package" / "Sarif.Multitool"
        self._program.chmod(0o755)
        schema = json.loads((directory / "package" / "sarif-2.1.0.json").read_text())
        self._schema = jsonschema.Draft7Validator(schema, format_checker=jsonschema.FormatChecker())

    def check_schema(self, data: bytes) -> None:
        """Raise ValidationError for a file that is not valid by the schema."""
        self._schema.validate(json.loads(data))

    def complaints(self, data: bytes) -> dict[str, str]:
        """Return what the validator says of the file: rule to level, the worst level of each rule."""
        path, report = self.directory / "checked.sarif", self.directory / "report.sarif"
        path.write_bytes(data)
        files = [str(path), "--output", str(report), "--log", "ForceOverwrite"]
        command = [str(self._program), "validate", "--rule-kind", RULES, *files]
        environment = {**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}  # ICU need not be installed
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if run.returncode:
            raise MultitoolUnavailableError(f"the validator failed ({run.returncode}): {run.stdout[-2000:]}")
        results: list[dict[str, Any]] = json.loads(report.read_text("utf-8-sig"))["runs"][0]["results"]
        levels: dict[str, str] = {}
        for result in results:
            level = result.get("level", "warning")
            if level == "error" or result["ruleId"] not in levels:
                levels[result["ruleId"]] = level
        return levels
