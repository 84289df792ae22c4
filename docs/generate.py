"""`python -m docs.generate`: write the reference pages from the code. With `--check`, fail if a page is out of date."""
# ruff: noqa: INP001 - a script

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docs.generator import client, configuration, metrics, prometheus, result, result_schema

FOLDER = Path(__file__).parent
PAGES: Mapping[str, Callable[[], str]] = {
    "client.md": client.page,
    "configuration.md": configuration.page,
    "metrics.md": metrics.page,
    "prometheus.md": prometheus.page,
    "result.md": result.page,
    "result.schema.json": result_schema.document,
    "../worker/http/api/description/result.schema.json": result_schema.document,
}


def main() -> int:
    """Write or check the pages. Return the exit code: 1 if `--check` finds a page that is out of date."""
    pages = {FOLDER / name: make() for name, make in PAGES.items()}
    if "--check" not in sys.argv[1:]:
        for path, text in pages.items():
            path.write_text(text)
        return 0
    stale = [path.name for path, text in pages.items() if not path.is_file() or path.read_text() != text]
    for name in stale:
        sys.stderr.write(f"docs/{name} is out of date: run `make docs`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
