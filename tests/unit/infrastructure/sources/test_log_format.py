import io
from collections.abc import Iterator

import pytest

from domain.history.commits import LATEST_DATE, LoggedCommit
from infrastructure.sources.git import log_format
from infrastructure.sources.git.log_format import cut_records, parse_date, parse_log

BLOBS = {name: name.encode() * 40 for name in "abc"}
NONE = b"0" * 40


def commit(*records: bytes, body: bytes = b"", date: bytes = b"5", name: bytes = b"A", email: bytes = b"a@b") -> bytes:
    first, *rest = records
    return b"\0".join([b"\x01" + date, name, email, body, b"\n" + first, *rest]) + b"\0"


def status(letter: bytes, old: bytes, new: bytes, path: bytes) -> list[bytes]:
    return [b":100644 100644 " + old + b" " + new + b" " + letter, path]


def parse(output: bytes) -> list[LoggedCommit]:
    return list(parse_log(cut_records(io.BytesIO(output), b"\0"), lambda path: None if path == b"out.py" else path))


def test_commits_have_author_date_and_changes() -> None:
    changed = commit(
        *status(b"A", NONE, BLOBS["a"], b"new.py"), *status(b"M", BLOBS["a"], BLOBS["b"], b"x/y.py"),
        b"3\t0\tnew.py", b"1\t2\tx/y.py", name="Zoë".encode(), email=b"Zoe@Example.ORG",
    )  # fmt: skip
    other = commit(*status(b"M", BLOBS["a"], BLOBS["b"], b"x/y.py"), b"1\t1\tx/y.py")
    first, second = parse(changed + other)
    assert first == LoggedCommit(5, "Zoë", "Zoe@Example.ORG", [], [("new.py", 3, 0, True), ("x/y.py", 1, 2, False)], ())
    assert second.changes == [("x/y.py", 1, 1, False)]


def test_commit_without_a_change_in_the_tree_is_left_out() -> None:
    assert parse(commit(*status(b"A", NONE, BLOBS["a"], b"out.py"), b"3\t0\tout.py")) == []
    assert parse(commit(*status(b"A", NONE, BLOBS["a"], b"image.py"), b"-\t-\timage.py")) == []
    assert parse(b"") == []


def test_file_that_moved_unchanged_is_a_rename() -> None:
    """Of two equal blobs, the one of the same name is preferred; a file of other content is none."""
    (moved,) = parse(
        commit(
            *status(b"D", BLOBS["a"], NONE, b"a.py"), *status(b"D", BLOBS["a"], NONE, b"old/b.py"),
            *status(b"D", BLOBS["b"], NONE, b"c.py"),
            *status(b"A", NONE, BLOBS["a"], b"src/b.py"), *status(b"A", NONE, BLOBS["a"], b"src/x.py"),
            *status(b"A", NONE, BLOBS["a"], b"src/y.py"), *status(b"A", NONE, BLOBS["c"], b"src/c.py"),
            b"0\t9\ta.py", b"0\t9\told/b.py", b"0\t1\tc.py",
            b"9\t0\tsrc/b.py", b"9\t0\tsrc/x.py", b"9\t0\tsrc/y.py", b"1\t0\tsrc/c.py",
        )
    )  # fmt: skip
    assert moved.renames == [("old/b.py", "src/b.py"), ("a.py", "src/x.py")]


def test_empty_files_are_not_taken_for_one_another() -> None:
    (removed,) = parse(
        commit(
            *status(b"D", BLOBS["a"], NONE, b"a.py"), *status(b"A", NONE, BLOBS["a"], b"b.py"),
            b"0\t0\ta.py", b"0\t0\tb.py",
        )
    )  # fmt: skip
    assert list(removed.renames) == []


def test_co_authors_are_lines_of_the_body_in_any_place_and_case() -> None:
    body = (
        b"text\nCo-authored-by: Bob <b@x.org>\n\nmore\nco-AUTHORED-by:Cid  <C@X.org> trailing\n"
        b" Co-authored-by: Indented <i@x.org>\nCo-authored-by: no address\nCo-authored-by: <d@x.org>\n"
        b"see Co-authored-by: Middle <m@x.org>\n"
    )
    (found,) = parse(commit(*status(b"M", BLOBS["a"], BLOBS["b"], b"a.py"), b"1\t1\ta.py", body=body))
    assert found.co_authors == [("Bob", "b@x.org"), ("Cid", "C@X.org"), ("", "d@x.org")]


def test_records_in_a_message_are_text() -> None:
    body = b"\x01 5\n:100644 100644 a b A\n3\t4\tevil.py"
    (found,) = parse(commit(*status(b"M", BLOBS["a"], BLOBS["b"], b"a.py"), b"1\t1\ta.py", body=body))
    assert found.changes == [("a.py", 1, 1, False)]


@pytest.mark.parametrize(
    ("text", "date"),
    [("0", 0), ("4294967296", 4294967296), ("", 0), ("-5", 0), ("18446744073709551615", LATEST_DATE), ("1x", 0)],
)
def test_odd_dates_are_read(text: str, date: int) -> None:
    assert parse_date(text) == parse_date(text.encode()) == date


def test_long_message_loses_its_middle_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_format, "_CHUNK_BYTES", 64)
    monkeypatch.setattr(log_format, "_RECORD_BYTES", 256)
    changed = commit(*status(b"M", BLOBS["a"], BLOBS["b"], b"a.py"), b"1\t1\ta.py", body=b"x" * 100_000)

    def sizes() -> Iterator[int]:
        return (len(record) for record in cut_records(io.BytesIO(changed), b"\0"))

    assert max(sizes()) <= 256 + 64
    assert [found.changes for found in parse(changed * 2)] == [[("a.py", 1, 1, False)]] * 2


def test_interrupted_output_is_read_up_to_its_end() -> None:
    changed = commit(*status(b"M", BLOBS["a"], BLOBS["b"], b"a.py"), b"1\t1\ta.py", b"7\t7\tb.py")
    assert [found.changes for found in parse(changed[:-4])] == [[("a.py", 1, 1, False)]]
    with pytest.raises(ValueError, match="before the first commit"):
        parse(b"1\t1\ta.py\0")
