"""The whole result document of a small tree, with the order of its keys, which `--json` prints."""

import json
from pathlib import Path

from collectors.engine.analysis import Options, analyse
from domain.sources import FetchedSource
from tests.fixtures.checks.result_documents import check_analysis
from tests.unit.collectors.source_trees import load_tree

EXPECTED = Path(__file__).with_name("result_document.json")

FILES = {
    "requirements.txt": "requests==2.0\n",
    "broken.py": "def f(:\n",
    "empty.py": "",
    "pkg/__init__.py": '"""A package."""\n',
    "pkg/risky.py": """\
import os
import subprocess

import requests

SECRET_PASSWORD = "hunter2"


def run(command, value):
    assert command
    subprocess.Popen(command, shell=True)
    eval(value)  # nosec
    if value == None:
        return os.getcwd()
    if value == True or value == False:  # noqa
        return 1
    elif value == 2 and command or value == 3:
        return 2
    for a in value:
        while a:
            a -= 1
            if a == 4 and value or command:
                continue
    return [b for b in value if b]


def unused():
    return 1
    print("never")
""",
    "pkg/twice.py": "def one(a):\n{body}\n\n\ndef two(a):\n{body}\n".format(
        body="\n".join(f"    a = a + {number} * {number}" for number in range(12))
    ),
}


def document(root: Path) -> dict[str, object]:
    """Return the document without what depends on the machine, the time and the version of Python."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)
    tree = load_tree(root, manifests=root)
    analysis = analyse(tree, FetchedSource(has_history=False), Options(processes=1, collector_timeout=120))
    result = analysis.document()
    check_analysis(result)
    versions = dict(result["tool_versions"])
    parse_error = next(node["parse_error"] for node in result["file_tree"]["children"] if node["name"] == "broken.py")
    text = json.dumps({**result, "timings_ms": None, "tool_versions": sorted(versions)})
    reloaded: dict[str, object] = json.loads(text.replace(json.dumps(parse_error)[1:-1], "PARSE ERROR"))
    return reloaded


def test_document_of_a_small_tree_does_not_change(tmp_path: Path) -> None:
    assert json.dumps(document(tmp_path), indent=1) + "\n" == EXPECTED.read_text()
