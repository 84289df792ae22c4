"""Answers of a hostile git host: endless progress, misleading words, and what git does not support."""

import tracemalloc

import pytest

from domain.errors import PermanentError
from infrastructure.sources.git.clone import ErrorOutput
from infrastructure.sources.tree.layout import SourceLayout
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.hostile.sources.test_git_bombs import fetch


def test_endless_progress_of_a_host_fills_no_memory() -> None:
    chunk = b"remote: " + b"x" * 65_000 + b"\r"
    output = ErrorOutput()
    tracemalloc.start()
    try:
        for _ in range(1000):
            output.add(bytes(chunk) + b"y")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert not output.ended.is_set()
    output.add(b"")
    assert output.ended.is_set()


def packet(content: bytes) -> bytes:
    return b"%04x" % (len(content) + 4) + content


def test_words_on_the_side_band_are_not_told_as_a_fault_of_tls(
    git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    words = b"\x02\x0cfatal: SSL certificate problem\n"

    def speak(answer: bytes) -> bytes:
        start = packet(b"packfile\n")
        return start + packet(words) + packet(b"\x01PACK is not what follows") + b"0000" if start in answer else answer

    git_server.transform = speak
    with pytest.raises(PermanentError, match="sent an invalid repository"):
        fetch(git_server, git_server.add(repository_name, small_tree.dot_git), layout)


def test_unknown_object_format_is_not_retried(
    git_server: GitServer, small_tree: WorkTree, layout: SourceLayout, repository_name: str
) -> None:
    git_server.transform = lambda answer: answer.replace(b"object-format=sha1", b"object-format=sha9")
    with pytest.raises(PermanentError, match="sent an invalid repository"):
        fetch(git_server, git_server.add(repository_name, small_tree.dot_git), layout)
