import pytest

from domain.errors import InvalidInputError
from domain.metrics.report import SkippedFile
from domain.sources import (
    Authorship,
    FetchedSource,
    Upload,
    normalize_repository_url,
    validate_branch_name,
)

HOSTS = ("github.com", "127.0.0.1:8443")


@pytest.mark.parametrize(
    ("given", "rebuilt"),
    [
        ("https://github.com/psf/requests", "https://github.com/psf/requests"),
        ("https://GitHub.com:443/psf/requests/", "https://github.com/psf/requests"),
        ("https://127.0.0.1:8443/a/b.git", "https://127.0.0.1:8443/a/b.git"),
        ("https://github.com/group/sub/repo", "https://github.com/group/sub/repo"),
    ],
)
def test_url_is_rebuilt_from_its_parts(given: str, rebuilt: str) -> None:
    assert normalize_repository_url(given, HOSTS) == rebuilt


@pytest.mark.parametrize(
    "url",
    [
        "http://github.com/a/b",
        "ssh://git@github.com/a/b",
        "git@github.com:a/b",
        "file:///etc",
        "ext::sh -c id",
        "https://user:pw@github.com/a/b",
        "https://github.com@evil.example/a/b",
        "https://evil.example/a/b",
        "https://github.com.evil.example/a/b",
        "https://github.com:8443/a/b",
        "https://127.0.0.1/a/b",
        "https://github.com/a",
        "https://github.com/a/../../b",
        "https://github.com/a/-upload-pack=x",
        "https://github.com/a/b?x=1",
        "https://github.com/a/b#x",
        "https://github.com/a/b c",
        "https://github.com/a/b\n",
        "https://githüb.com/a/b",
        "https://[::1/a/b",
        "https://github.com:99999/a/b",
        "",
    ],
)
def test_invalid_url_is_refused_with_a_one_line_error(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        normalize_repository_url(url, HOSTS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("branch", ["main", "feature/x-1", "v1.0", "a_b", "été", "no-utf-8-\udcff"])
def test_valid_branch_name_is_returned_unchanged(branch: str) -> None:
    assert validate_branch_name(branch) == branch


@pytest.mark.parametrize(
    "branch",
    ["", "-x", "--upload-pack=x", "a..b", "@{-1}", "@", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "/a", "a/",
     "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "x" * 300, "a\x00b", "a\x7f", "\ud800", "a\udfff"],
)  # fmt: skip
def test_invalid_branch_name_is_refused(branch: str) -> None:
    with pytest.raises(InvalidInputError):
        validate_branch_name(branch)


def test_author_type_must_be_human_or_ai() -> None:
    with pytest.raises(InvalidInputError, match="author_type must be"):
        Authorship(author_type="robot")


def test_metadata_of_an_upload_do_not_contain_its_data() -> None:
    assert Upload(filename="a.py").metadata() == {
        "upload_filename": "a.py", "project_name": None, "author_type": None, "author_model": None
    }  # fmt: skip


def test_fetched_source_survives_conversion_to_json() -> None:
    fetched = FetchedSource(
        has_history=True, commit_sha="a" * 40, skipped=(SkippedFile(path="x", reason="y"),), skipped_total=3
    )
    assert FetchedSource.from_json(fetched.to_json()) == fetched
