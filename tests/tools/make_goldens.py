"""Write down what PMD says of each corpus: `make goldens`. Needs Java 17 and npm on the PATH."""

import json
import sys
import tempfile
from pathlib import Path

from tests.parity.support.comparison import write_files
from tests.parity.support.cpd_corpora import CORPORA, GOLDENS, digest
from tests.parity.support.cpd_oracle import Oracle, OracleMissingError


def main() -> int:
    """Exit code 0, or 2 with one line on standard error where something is missing."""
    GOLDENS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="vibe8-") as scratch:
        try:
            oracle = Oracle(Path(scratch))
            for name, build in CORPORA.items():
                files = build()
                verdict = oracle.judge(write_files(Path(scratch, "corpora", name), dict(files)))
                document = {"corpus": name, "digest": digest(files), **verdict.to_json()}
                text = json.dumps(document, separators=(",", ":"), sort_keys=True)
                (GOLDENS / f"cpd-{name}.json").write_text(text + "\n")
        except OracleMissingError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
