"""Names that are kept of entries that are not copied, so that ruff classifies imports as in the source itself."""

import base64
import io
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from ruff import find_ruff_bin  # type: ignore[import-untyped]

from collectors.contract import TREE_PATH, Totals
from collectors.metrics.lint import COLLECTOR
from infrastructure.sources.git.commit_tree import write_commit_tree
from infrastructure.sources.local.directory import fetch_directory
from infrastructure.sources.local.packing import pack_directory
from infrastructure.sources.tree.layout import SourceLayout
from infrastructure.sources.tree.limits import SourceLimits
from infrastructure.sources.tree.writer import TreeWriter
from infrastructure.sources.uploads.upload import fetch_upload
from tests.fixtures.git_repository import WorkTree, git
from tests.unit.collectors.source_trees import load_tree

LIMITS = SourceLimits(max_file_bytes=4096)
NEIGHBOURS = {
    "stub.pyi": "x: int\n",
    "data/x.json": "{}\n",
    "src/assets/logo.svg": "",
    "deep/er/x.txt": "",
    "big.py": "x = 1\n" * 2000,
    "pkg/__init__.py": "x = 1\n" * 2000,
    "fast.cpython-313-x86_64-linux-gnu.so": "",
    "not-a-name/x.txt": "",
    "real/mod.py": "x = 1\n",
}
LINKS = {"linked.py": "big.py", "linked": "real", "dangling.py": "nowhere.py", "linked_stub.pyi": "stub.pyi"}
NAMES = [
    "stub", "data", "assets", "deep.er", "big", "fast", "linked", "linked.mod", "dangling", "linked_stub", "nothing",
    "real.mod", "pkg", "deep.other",
]  # fmt: skip


def make_tree(work: WorkTree) -> Path:
    for path, text in NEIGHBOURS.items():
        work.write(path, text)
    for number, name in enumerate(NAMES):
        one = f"import os\n\nimport {name}\nimport requests\n\nprint(os, {name}, requests)\n"
        two = f"import os\n\nimport requests\n\nimport {name}\n\nprint(os, {name}, requests)\n"
        work.write(f"together_{number}.py", one)
        work.write(f"apart_{number}.py", two)
    work.write("pkg/Module_Name.py", "x = 1\n")
    for link, target in LINKS.items():
        (work.path / link).symlink_to(target)
    return work.path


def ruff_alone(root: Path, names: list[str]) -> set[tuple[str, str]]:
    """Return (path, rule) of what ruff says of these files, run in the source itself."""
    command = [find_ruff_bin(), "check", "--isolated", "--no-cache", "--no-respect-gitignore", "--output-format=json"]
    run = subprocess.run([*command, *names], cwd=root, capture_output=True, check=False)
    return {(os.path.relpath(item["filename"], root.resolve()), item["code"]) for item in json.loads(run.stdout)}


def our_lint(layout: SourceLayout) -> tuple[list[str], set[tuple[str, str]]]:
    tree = load_tree(layout.tree)
    facts = {TREE_PATH: COLLECTOR.collect_tree(tree)}
    names = [entry.path for entry in tree.entries]
    report = COLLECTOR.summarize(facts, Totals(sloc=dict.fromkeys(names, 1)))
    return names, {(item.path, item.rule) for item in report.findings}


def from_directory(root: Path, layout: SourceLayout) -> None:
    fetch_directory(root, layout, LIMITS)


def from_commit(root: Path, layout: SourceLayout) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "all")
    (root / ".git").rename(layout.repository)
    with TreeWriter(layout, LIMITS) as writer:
        write_commit_tree(layout, "HEAD", writer)
        writer.finish("repository", None)


def from_archive(root: Path, layout: SourceLayout) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(root))
            if path.is_symlink():
                link = zipfile.ZipInfo(name)
                link.external_attr = 0o120777 << 16
                archive.writestr(link, str(path.readlink()))
            elif ".git/" not in f"{name}/":
                archive.write(path, name)
    fetch_upload("a.zip", base64.b64encode(buffer.getvalue()).decode(), layout, LIMITS)


def from_packed_directory(root: Path, layout: SourceLayout) -> None:
    data = pack_directory(root, with_history=False, limits=LIMITS)
    fetch_upload("a.zip", base64.b64encode(data).decode(), layout, LIMITS)


@pytest.mark.parametrize("fetch", [from_directory, from_commit, from_archive])
def test_lint_equals_ruff_in_the_source_itself(
    tmp_path: Path, layout: SourceLayout, fetch: Callable[[Path, SourceLayout], None]
) -> None:
    root = make_tree(WorkTree(tmp_path / "source"))
    fetch(root, layout)
    names, ours = our_lint(layout)
    assert ours == ruff_alone(root, names)
    first_party = {path for path, rule in ours if rule == "I001"}
    assert f"together_{NAMES.index('nothing')}.py" not in first_party
    expected = ("stub", "data", "assets", "deep.er", "big", "linked", "linked.mod", "real.mod", "pkg")
    assert {f"together_{NAMES.index(name)}.py" for name in expected} <= first_party


def test_placeholders_are_neither_analysed_nor_readable(tmp_path: Path, layout: SourceLayout) -> None:
    fetch_directory(make_tree(WorkTree(tmp_path / "source")), layout, LIMITS)
    tree = load_tree(layout.tree)
    assert "big.py" not in {entry.path for entry in tree.entries}
    assert {"big.py", "stub.pyi", "fast.cpython-313-x86_64-linux-gnu.so", "linked.py"} <= set(tree.other_modules)
    assert (layout.tree / "big.py").stat().st_size == 0
    assert (layout.tree / "big.py").stat().st_mode & 0o777 == 0


def test_number_of_placeholders_is_limited(tmp_path: Path, layout: SourceLayout) -> None:
    root = tmp_path / "source"
    (root / "a").mkdir(parents=True)
    (root / "a.py").write_text("x = 1\n")
    for number in range(30):
        (root / f"d{number}").mkdir()
    fetch_directory(root, layout, SourceLimits(max_tree_files=10))
    assert len(list(layout.tree.iterdir())) == 11
