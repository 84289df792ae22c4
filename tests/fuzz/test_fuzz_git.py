"""Changed `.git` directories and malformed git objects, in uploads and from a git host."""

import base64
import hashlib
import random
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.metrics.churn import COLLECTOR as CHURN
from domain.errors import PermanentError, ServiceUnavailableError
from domain.sources import FetchedSource
from infrastructure.sources.git.clone import fetch_repository
from infrastructure.sources.git.history import GitHistory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import MIB, SourceLimits
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.archives import make_zip
from tests.fixtures.git_repository import WorkTree
from tests.fixtures.network.git_server import GitServer
from tests.fuzz.generators import count_outcome, fuzz_settings, mutate, naughty_strings
from tests.fuzz.jail import assert_clear_message, assert_no_process_left, assert_plain_files, jailed
from tests.hostile.support.naughty_strings import assert_harmless
from tests.unit.collectors.source_trees import load_tree

LIMITS = SourceLimits(max_clone_bytes=8 * MIB, max_inflated_bytes=8 * MIB, max_tree_files=200, max_zip_ratio=1000)
Files = Mapping[str, bytes]


def fetch_and_check(surface: str, fetch: Callable[[SourceLayout], FetchedSource]) -> str:
    """Fetch and read the history, check whatever was written, and return the outcome."""
    with tempfile.TemporaryDirectory() as directory:
        layout = SourceLayout(Path(directory) / "scratch")
        layout.root.mkdir()
        with jailed(layout.root):
            try:
                outcome = check_source(fetch(layout), layout)
            except (PermanentError, ServiceUnavailableError) as error:
                assert_clear_message(str(error))
                outcome = "refused" if isinstance(error, PermanentError) else "host at fault"
        assert [path.name for path in Path(directory).iterdir()] == ["scratch"]
        assert_no_process_left(layout.root)
        count_outcome(surface, outcome)
        return outcome


def check_source(source: FetchedSource, layout: SourceLayout) -> str:
    assert {path.name for path in layout.root.iterdir()} <= {"tree", "manifests", "repo.git"}
    assert 0 < assert_plain_files(layout.tree, LIMITS.max_clone_bytes) <= LIMITS.max_tree_files
    assert_harmless(source.to_json() | {"skipped": [[item.path, item.reason] for item in source.skipped]})
    assert source.has_history == layout.repository.exists()
    if not source.has_history:
        return "completed without its history"
    assert_clean_repository(layout.repository)
    tree = load_tree(layout.tree, history=GitHistory(layout.repository))
    try:
        facts = CHURN.collect_tree(tree)
    except PermanentError as error:
        assert_clear_message(str(error))
        return "completed without churn"
    assert facts["commits"] > 0
    assert set(facts["lines"]) == {entry.path for entry in tree.entries}
    return "completed"


def assert_clean_repository(repository: Path) -> None:
    """Assert that only objects, one ref and the `shallow` file come from the submitter."""
    assert {path.name for path in repository.iterdir()} <= {
        "HEAD", "config", "objects", "refs", "shallow", "vibe8-path-mapping.json", "branches", "packed-refs",
    }  # fmt: skip
    assert (repository / "HEAD").read_text() == "ref: refs/heads/analysed\n"
    assert [path.name for path in (repository / "refs").rglob("*") if path.is_file()] == ["analysed"]
    assert {line.split()[0] for line in (repository / "config").read_text().splitlines()} <= {
        "[core]", "repositoryformatversion", "filemode", "bare", "[extensions]", "objectformat",
    }  # fmt: skip
    assert {path.name for path in (repository / "objects").iterdir() if len(path.name) > 2} <= {"pack", "info"}
    assert not list((repository / "objects/info").iterdir())


# Changed git directories


def dot_git(form: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as directory:
        tree = WorkTree(Path(directory) / "tree", object_format="sha256" if form == "sha256" else "sha1")
        tree.commit(a_py="x = 1\n" * 50)
        tree.git("branch", "side")
        tree.commit(a_py="x = 1\n" * 51, b_py="y = 2\n")
        tree.git("checkout", "-q", "side")
        tree.commit(c_py="z = 3\n")
        tree.git("checkout", "-q", "main")
        tree.merge("side")
        if form in ("packed", "delta"):
            tree.git("gc", "-q", *(["--aggressive"] if form == "delta" else []))
        if form == "shallow":
            (tree.dot_git / "shallow").write_text(tree.head() + "\n")
        skipped = ("hooks/", "logs/", "index", "description", "info/")
        found = {str(path.relative_to(tree.dot_git)): path for path in tree.dot_git.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in found.items() if not name.startswith(skipped)}


FORMS = {form: dot_git(form) for form in ("loose", "packed", "delta", "sha256", "shallow")}
PIECES = [data for files in FORMS.values() for data in files.values()]
FOREIGN = {
    "config": b"[core]\n\tfsmonitor = /bin/false\n\tworktree = /etc\n[include]\n\tpath = /etc/passwd\n",
    "objects/info/alternates": b"/etc\n../../../\n",
    "info/grafts": b"0" * 40 + b"\n",
    "shallow": b"0" * 40 + b"\n",
    "packed-refs": b"# pack-refs\n" + b"1" * 40 + b" refs/heads/main\n",
    "objects/pack/pack-" + "a" * 40 + ".pack": b"PACK\0\0\0\2\0\0\0\0",
    "objects/pack/../../../escape.pack": b"x",
    "refs/replace/" + "1" * 40: b"2" * 40,
    "commondir": b"/etc\n",
    "gitdir": b"/etc\n",
    "HEAD": b"ref: refs/heads/../../HEAD\n",
}


def change_files(files: Files, seed: int) -> dict[str, bytes]:
    """Change, drop, rename or add a few files; in half of the cases their checksums are valid afterwards."""
    rng, result = random.Random(seed), dict(files)
    for _ in range(rng.choice((1, 1, 2, 4))):
        name = rng.choice(sorted(result))
        choice = rng.random()
        if choice < 0.6:
            result[name] = change_content(name, result[name], rng)
        elif choice < 0.7:
            del result[name]
        elif choice < 0.8:
            result[rng.choice(sorted(result))] = result[name]
        else:
            foreign = rng.choice(sorted(FOREIGN))
            result[foreign] = mutate(FOREIGN[foreign], seed) if rng.random() < 0.3 else FOREIGN[foreign]
        if not result:
            break
    return result


def change_content(name: str, data: bytes, rng: random.Random) -> bytes:
    seed, keep_valid = rng.randrange(2**32), rng.random() < 0.5
    if name.startswith("objects/") and name.endswith(".pack") and keep_valid:
        body = mutate(data[:-20], seed, PIECES)
        return body + hashlib.sha1(body, usedforsecurity=False).digest()
    if name.startswith("objects/") and "pack" not in name and keep_valid:
        with suppress(zlib.error):  # already changed, no longer compressed
            return zlib.compress(mutate(zlib.decompress(data), seed, PIECES))
    return mutate(data, seed, PIECES)


def upload_of(files: Files) -> Callable[[SourceLayout], FetchedSource]:
    archive = make_zip({"a.py": "x = 1\n", **{f".git/{name}": data for name, data in files.items()}})
    return lambda layout: fetch_upload("u.zip", base64.b64encode(archive).decode(), layout, LIMITS)


@pytest.mark.parametrize("form", FORMS)
def test_unchanged_git_directories_are_accepted(form: str) -> None:
    assert fetch_and_check("uploaded .git", upload_of(FORMS[form])) == "completed"


@fuzz_settings(60)
@given(form=st.sampled_from(sorted(FORMS)), seed=st.integers(0, 2**32))
def test_changed_git_directories_in_uploads(form: str, seed: int) -> None:
    fetch_and_check("uploaded .git", upload_of(change_files(FORMS[form], seed)))


# Malformed objects

Entry = tuple[bytes, bytes, str]
"""Mode, name and object id of a tree entry; before the object exists, its kind instead of the id."""


class Objects:
    """Writer of loose objects with any content; each is stored under its true hash."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"HEAD": b"ref: refs/heads/main\n"}
        self.blob = self.add(b"blob", b"x = 1\n")

    def add(self, kind: bytes, body: bytes) -> str:
        content = kind + b" %d\0" % len(body) + body
        name = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        self.files[f"objects/{name[:2]}/{name[2:]}"] = zlib.compress(content)
        return name

    def tree(self, entries: Sequence[Entry]) -> str:
        return self.add(
            b"tree", b"".join(mode + b" " + name + b"\0" + bytes.fromhex(sha) for mode, name, sha in entries)
        )

    def write(self, directory: Path) -> None:
        for name, data in {**self.files, "config": b"[core]\n\tbare = true\n"}.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(data)
        (directory / "refs").mkdir(exist_ok=True)


NAMES = st.one_of(
    st.sampled_from(
        [b"a.py", b"A.py", b"a.py", b"d", b"..", b".", b".git", b".GIT", b"git~1", b".gitmodules", b".gitattributes",
         b"", b"a/b.py", b"../e.py", b"/abs.py", b"a\nb.py", b"-x.py", b"@x.py", b"C:x.py", b"x" * 300 + b".py",
         b"\xff.py", b"\xe2\x80\xae.py", b".g\xe2\x80\x8cit", b"requirements.txt", b"pyproject.toml", b"site-packages"]
    ),
    st.binary(min_size=1, max_size=12).map(lambda name: name.replace(b"\0", b"")),
    st.sampled_from(naughty_strings()).map(
        lambda text: text.encode("utf-8", "surrogatepass").replace(b"\0", b"")[:200] + b".py"
    ),
)  # fmt: skip
MODES = st.sampled_from(
    [b"100644"] * 6 + [b"40000"] * 3 + [b"100755", b"120000", b"160000", b"100664", b"040000", b"0", b"644", b"777777",
     b"", b"x", b"1006440", b"100644 "]
)  # fmt: skip
ENTRIES = st.lists(st.tuples(MODES, NAMES, st.sampled_from(["blob", "blob", "inner", "commit", "nothing"])), max_size=8)
HEADERS = (
    b"author A <a@b> 1 +0000\n", b"committer A <a@b> 1 +0000\n", b"author A <a@b> 99999999999999999999 +9999\n",
    b"committer \xff\0\n", b"author\n", b"encoding x\x1b\n", b"gpgsig -----BEGIN\n x\n", b"mergetag object\n", b"\n",
    b"x", b"parent 0\n", b"tree x\n",
)  # fmt: skip
COMMITS = st.lists(st.sampled_from(HEADERS), max_size=6)
WELL_FORMED = (HEADERS[0], HEADERS[1])


def build_objects(
    inner: list[tuple[bytes, bytes, str]], outer: list[tuple[bytes, bytes, str]], headers: Sequence[bytes]
) -> Objects:
    objects = Objects()
    known = {"blob": objects.blob, "nothing": "7" * 40, "commit": objects.blob, "inner": objects.blob}
    known["inner"] = objects.tree([(mode, name, known[what]) for mode, name, what in inner])
    first = objects.add(b"commit", f"tree {known['inner']}\n".encode() + b"".join(WELL_FORMED) + b"\nx")
    known["commit"] = first
    tree = objects.tree(
        [*((mode, name, known[what]) for mode, name, what in outer), (b"100644", b"z.py", objects.blob)]
    )
    body = f"tree {tree}\nparent {first}\n".encode() + b"".join(headers) + b"\nmessage\n"
    objects.files["refs/heads/main"] = objects.add(b"commit", body).encode() + b"\n"
    return objects


HISTORIES = st.builds(build_objects, ENTRIES, ENTRIES, st.one_of(st.just(WELL_FORMED), st.just(WELL_FORMED), COMMITS))


@fuzz_settings(40)
@given(objects=HISTORIES)
def test_malformed_git_objects_in_uploads(objects: Objects) -> None:
    fetch_and_check("uploaded git objects", upload_of(objects.files))


def fetch_from_host(git_server: GitServer, surface: str, write: Callable[[Path], None]) -> str:
    with tempfile.TemporaryDirectory() as directory:
        repository = Path(directory) / "served.git"
        write(repository)
        url = git_server.add("owner/repository", repository)
        try:
            return fetch_and_check(
                surface,
                lambda layout: fetch_repository(
                    url,
                    None,
                    None,
                    layout,
                    LIMITS,
                    ca_bundle=git_server.ca_file,
                    allowed_hosts=[git_server.allowed_host],
                    stall_seconds=5,
                ),
            )
        finally:
            (git_server.root / "owner/repository").unlink()


@fuzz_settings(25)
@given(objects=HISTORIES)
def test_malformed_git_objects_from_a_host(git_server: GitServer, objects: Objects) -> None:
    fetch_from_host(git_server, "served git objects", objects.write)


def copy_of(files: Files) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        for name, data in {**files, "config": b"[core]\n\tbare = true\n"}.items():
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_bytes(data)
        (directory / "refs").mkdir(exist_ok=True)  # without it git does not accept a packed repository

    return write


@pytest.mark.parametrize("form", ["delta", "loose", "packed", "shallow"])
def test_unchanged_answers_of_a_git_host_are_accepted(git_server: GitServer, form: str) -> None:
    assert fetch_from_host(git_server, "unchanged answers of a git host", copy_of(FORMS[form])) == "completed"
    assert [method for method, _, _ in git_server.requests] == ["GET", "POST", "GET", "POST", "POST"]


@fuzz_settings(25)
@given(form=st.sampled_from(["delta", "loose", "packed", "shallow"]), seed=st.integers(0, 2**32))
def test_mutated_answers_of_a_git_host(git_server: GitServer, form: str, seed: int) -> None:
    rng = random.Random(seed)
    unchanged_answers = rng.randrange(5)  # a fetch gets five answers: two of `ls-remote`, and the pack is the last
    answers = 0

    def change(answer: bytes) -> bytes:
        nonlocal answers
        answers += 1
        return mutate(answer, seed, PIECES) if answers > unchanged_answers else answer

    git_server.transform = change
    try:
        fetch_from_host(git_server, "answers of a git host", copy_of(FORMS[form]))
    finally:
        git_server.transform = None
