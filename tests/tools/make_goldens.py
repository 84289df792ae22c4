"""PMD's reports of all corpora, written to the golden files: `make goldens`. Needs Java 17 and npm on the PATH."""

import json
import sys
import tempfile
from pathlib import Path

from tests.parity.support.comparison import write_files
from tests.parity.support.cpd_corpora import CORPORA, GOLDENS, digest
from tests.parity.support.cpd_oracle import PmdOracle, PmdUnavailableError


def main() -> int:
    """Write all golden files; return exit code 2, with one line on standard error, where PMD cannot be run."""
    GOLDENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vibe8-") as scratch:
        try:
            oracle = PmdOracle(Path(scratch))
            for name, build in CORPORA.items():
                files = build()
                report = oracle.run_cpd(write_files(Path(scratch, "corpora", name), dict(files)))
                document = {"corpus": name, "digest": digest(files), **report.to_json()}
                text = json.dumps(document, separators=(",", ":"), sort_keys=True)
                (GOLDENS / f"cpd-{name}.json").write_text(text + "\n")
        except PmdUnavailableError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
