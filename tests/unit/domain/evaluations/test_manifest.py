"""Manifests: both formats, and each way in which one can be wrong."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidInputError
from domain.evaluations.manifest import MAX_MANIFEST_BYTES, parse_manifest
from tests.unit.domain.evaluations.sample_evaluations import HUMAN, model

HEAD = b"source,author_type,author_model,task\n"
CSV = HEAD + b'human/a,human,,sort\r\n"models/b, c",AI, some model ,sort\r\n\r\nhttps://example.org/o/r,human,Ann,\r\n'
TOML = b"""\
name = "Two authors"
dataset = "small"

[[items]]
source = "human/a"
author_type = "human"
task = "sort"

[[items]]
source = "models/b"
author_type = "ai"
author_model = "some model"
"""


def test_csv() -> None:
    manifest = parse_manifest(CSV, "M.CSV")
    assert [(item.source, item.author, item.task, item.line) for item in manifest.items] == [
        ("human/a", HUMAN, "sort", 2),
        ("models/b, c", model("some model"), "sort", 3),
        ("https://example.org/o/r", HUMAN, "", 5),
    ]
    assert (manifest.name, manifest.description, manifest.dataset) == ("", "", "")


def test_columns_may_be_in_any_order_and_optional_ones_missing() -> None:
    manifest = parse_manifest(b"Author_Model,source,author_type\n,a,human\nm,b,ai\n", "a.csv")
    assert [(item.source, item.author, item.task) for item in manifest.items] == [
        ("a", HUMAN, ""),
        ("b", model("m"), ""),
    ]


def test_toml() -> None:
    manifest = parse_manifest(TOML, "a.toml")
    assert (manifest.name, manifest.description, manifest.dataset) == ("Two authors", "", "small")
    assert [(item.source, item.author, item.task, item.line) for item in manifest.items] == [
        ("human/a", HUMAN, "sort", 4),
        ("models/b", model("some model"), "", 9),
    ]


def test_byte_order_mark_of_a_spreadsheet_is_read_over() -> None:
    assert parse_manifest(b"\xef\xbb\xbf" + CSV, "a.csv") == parse_manifest(CSV, "a.csv")
    assert parse_manifest(b"\xef\xbb\xbf" + TOML, "a.toml") == parse_manifest(TOML, "a.toml")


TWO = b"a,human,,\nb,ai,m,\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: the column 'source' is missing"),
        (HEAD, "there is no project to evaluate"),
        (b"source;author_type\na;human\n", "line 1: there is no column 'source;author_type'"),
        (b"source,source,author_type\n", "line 1: the column 'source' occurs twice"),
        (HEAD + b"a,human,,\nb,ai\n", "line 3: it has 2 cells; the first line has 4"),
        (HEAD + b",human,,\n", "line 2: it names no source"),
        (HEAD + TWO + b"c,robot,m,\n", "line 4: author_type must be 'human' or 'ai', not 'robot'"),
        (HEAD + b"a,ai,,\n", "line 2: a project by 'ai' needs the name of its model"),
        # One author.
        (HEAD + b"a,ai,m,\nb,ai,m,\n", "it names no author but 'm'; an evaluation compares at least two authors"),
        (HEAD + b"a,human,Ann,\nb,human,Bob,\n", "it names no author but 'human'"),
        # Formulas.
        (HEAD + b'a,human,,\n"=HYPERLINK(""http://x"")",ai,m,\n', "line 3: source '=HYPERLINK.*begins as a formula"),
        (HEAD + b"a,ai,+cmd|' /C calc'!A0,\n", "line 2: author_model .\\+cmd.*begins as a formula"),
        (HEAD + b"a,ai,m,@SUM(1)\n", "line 2: task '@SUM.*begins as a formula"),
        (HEAD + b"a,ai,m, -1\n", "line 2: task '-1' begins as a formula"),
        # Not UTF-8.
        (HEAD + TWO + b"caf\xe9,ai,m,\n", "line 4: byte 0xe9 is not UTF-8; save it as UTF-8"),
        ("source,author_type\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        (HEAD + b"a,human,,\nb\0,ai,m,\n", "line 3: it contains a NUL character"),
        (HEAD + b"a\xe2\x80\xae,human,,\n", "line 2: source .* must be one line of printable characters"),
        (HEAD + b'"a\nb",human,,\n', "line 2: source .* must be one line"),
        (HEAD + b'"a,human,,\n', "line 2: it is no CSV: unexpected end of data"),
        (HEAD + b'"a"b,human,,\n', "line 2: it is no CSV"),
        # Duplicates, also written in another way.
        (HEAD + TWO + b"a,ai,n,\n", "line 4: the source is that of line 2; each project counts once"),
        (HEAD + TWO + b"./x/../b/,human,,\n", "line 4: the source is that of line 3"),
        (
            HEAD + b"https://example.org/o/r,human,,\nhttps://EXAMPLE.org/o/r.git,ai,m,\n",
            "line 3: the source is that of line 2",
        ),
        (HEAD + b"x" * 2_001 + b",human,,\n", "line 2: source has 2001 characters; it may have 2000"),
        (HEAD + b"a,human," + b"x" * 200_000 + b",\n", "line 2: it is no CSV: field larger than field limit"),
        (HEAD + b"".join(b"p%d,human,,\n" % number for number in range(10_000)), "the manifest has 10000 projects"),
        (HEAD + b"x" * MAX_MANIFEST_BYTES, "the manifest has 1000037 bytes; it may have 1000000"),
    ],
)  # fmt: skip
def test_bad_csv_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        parse_manifest(data, "a.csv")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"name = \n", "it is no TOML: Invalid value .at line 1, column 8"),
        (b"a = " + b"[" * 100_000, "it is no TOML"),
        (b"names = 'x'\n", "there is no key 'names'; the keys are name, description, dataset, items"),
        (b"name = 3\n", "name must be text"),
        (b"items = 3\n", "'items' must be tables"),
        (b"items = ['a']\n", "'items' must be tables"),
        (TOML + b"tasks = 'x'\n", "line 9: there is no key 'tasks'"),
        (TOML.replace(b'"some model"', b"7"), "line 9: author_model must be text"),
        (TOML.replace(b"models/b", b"human/./a"), "line 9: the source is that of line 4"),
        (TOML.replace(b"Two authors", b"=1+1"), "name '=1\\+1' begins as a formula"),
        (b"items = [{source='a', author_type='human'}, {source='a/', author_type='human'}]", "project 2: the source"),
        (b"", "there is no project to evaluate"),
    ],
)  # fmt: skip
def test_bad_toml_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        parse_manifest(data, "a.toml")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["manifest", "manifest.json", "csv", ".csv.gz"])
def test_other_formats_are_refused(name: str) -> None:
    with pytest.raises(InvalidInputError, match=r"a manifest is a \.csv or a \.toml file"):
        parse_manifest(CSV, name)


@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: HEAD + text.encode("utf-8", "replace")))
def test_any_bytes_are_read_or_refused_in_one_line(data: bytes) -> None:
    for name in ("a.csv", "a.toml"):
        refusal = "none"
        with contextlib.suppress(InvalidInputError):
            try:
                assert parse_manifest(data, name).items
            except InvalidInputError as error:
                refusal = str(error)
                raise
        assert refusal.isprintable()
