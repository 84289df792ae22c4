"""Words of an earlier private vocabulary must not come back; the glossary has the terms to use instead."""

import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.unit.deploy.project_files import ROOT

# Each word has one letter in brackets, so that neither this file nor a search for the words finds them here.
WORDS = re.compile(
    r"doorb[e]ll|(^|[^a-z])(b[e]lls?|r[i]ngs?|r[u]ng|e[a]rs?|cr[e]w)([^a-z]|$)"
    r"|her[a]ld|l[e]ash|gu[a]rdian|c[e]nsus|si[e]g|tr[o]phy|unh[e]ard",
    re.IGNORECASE,
)
EXCLUDED = re.compile(r"CHANGELOG\.md|alembic/versions/.*|collectors/.*/data/.*|requirements.*")
"""The history, and names that others have given: released migrations, packages."""

COLUMNS = re.compile(r"\b((ck_jobs_)?r[i]ng|r[u]ng_at)\b")
"""Two columns of the table `jobs` and a constraint; they keep their names so that two releases can share a database."""

FILES_WITH_SQL = {
    "infrastructure/database/tables/queue.py",
    "tests/migrations/test_rolling_upgrade.py",
    "tests/migrations/test_schema.py",
}
"""Files that may name the columns."""


def committed_texts() -> Iterator[tuple[str, str]]:
    """Yield name and content of each text file under version control."""
    listing = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)  # noqa: S607
    for name in listing.split("\0"):
        path = ROOT / name
        if name and path.is_file() and not EXCLUDED.fullmatch(name):
            data = path.read_bytes()
            if b"\0" not in data:
                yield name, data.decode("utf-8", "replace")


def lines_with_words(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        if WORDS.search(COLUMNS.sub("", line) if name in FILES_WITH_SQL else line):
            yield f"{name}:{number}: {line.strip()[:150]}"


def test_no_file_uses_the_old_words() -> None:
    texts = dict(committed_texts())
    assert len(texts) > 300
    found = [line for name, text in texts.items() for line in lines_with_words(name, text)]
    assert not found, "\n".join(found)


def test_files_that_may_name_the_columns_do() -> None:
    texts = dict(committed_texts())
    assert [name for name in FILES_WITH_SQL if not COLUMNS.search(texts.get(name, ""))] == []


@pytest.mark.parametrize(
    "text", ["a Doorbe-ll", "be-ll", "two BE-LLS", "a_ri-ng_b", "was ru-ng", "ea-rs", "cre-w:", "Her-alds", "unhe-ard"]
)
def test_each_word_is_found(text: str) -> None:
    assert list(lines_with_words("a.md", text.replace("-", "")))


@pytest.mark.parametrize("text", ["string", "spring", "bringing", "year", "early", "bellow", "screw", "rungs"])
def test_other_words_are_not_found(text: str) -> None:
    assert not list(lines_with_words("a.md", text))


def test_columns_are_allowed_where_sql_names_them() -> None:
    column, name = "ri-ng".replace("-", ""), "infrastructure/database/tables/queue.py"
    assert not list(lines_with_words(name, f"{column} = 1"))
    assert list(lines_with_words("worker/cli/demo.py", f"{column} = 1"))
    assert list(lines_with_words(name, f"{column}s = 1"))
