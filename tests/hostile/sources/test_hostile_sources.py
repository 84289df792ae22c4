"""Sources that make the tools crash, hang or give false numbers.

The tools alone are first shown to do so; in an analysis, such a file then affects only its own numbers.
"""

import ast
import base64
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from domain.metrics.report import Analysis
from infrastructure.settings import Settings
from tests.fixtures.archives import make_zip
from tests.fixtures.checks.result_documents import check_analysis
from worker.analysis.pipeline import Pipeline
from worker.analysis.pipeline_factory import open_pipeline

GOOD = '"""A module."""\n\nimport os\n\n\ndef run(command, unused):\n    if command:\n        os.system(command)\n'


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    directory = tmp_path_factory.mktemp("scratch")
    return Settings(scratch_dir=directory, package_index_url="")  # type: ignore[arg-type]


@pytest.fixture
async def pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    async with open_pipeline(settings) as running:
        yield running


async def analyse(pipeline: Pipeline, files: Mapping[str, str | bytes]) -> Analysis:
    async def ignore(_: object) -> None:
        pass

    data = base64.b64encode(make_zip(files)).decode()
    analysed = await pipeline.run({"kind": "upload", "filename": "u.zip", "file_data": data}, ignore)
    check_analysis(analysed.analysis.document())
    return analysed.analysis


def file_nodes(analysis: Analysis) -> dict[str, Any]:
    found, pending = {}, [analysis.file_tree]
    while pending:
        node = pending.pop()
        pending.extend(node.get("children", ()))
        if node["type"] == "file":
            found[node["path"]] = node
    return found


def values(numbers: Any) -> list[Any]:
    return list(numbers.values()) if isinstance(numbers, dict) else [numbers]


def run_tool(directory: Path, tool: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run the tool's own command line in the directory."""
    command = [sys.executable, "-m", tool, *arguments]
    return subprocess.run(command, cwd=directory, capture_output=True, check=False)


DEEP = {
    "elif.py": "if x:\n    a\n" + "elif x:\n    a\n" * 2_500,
    "plus.py": "x = 1" + " + 1" * 2_500 + "\n",
    "not.py": "x = " + "not " * 2_500 + "1\n",
    "calls.py": "f" + "()" * 2_500 + "\n",
    "chain.py": "x" + ".y" * 2_500 + "\n",
    "brackets.py": "x = " + "[" * 5_000 + "]" * 5_000 + "\n",
    "minus.py": "x = " + "-" * 100_000 + "1\n",
    "blocks.py": "".join(" " * depth + "if x:\n" for depth in range(300)) + " " * 300 + "a\n",
    "lambdas.py": "x = " + "lambda: " * 5_000 + "1\n",
}
LARGE = {
    "decimal.py": "x = " + "9" * 200_000 + "\n",
    "hexadecimal.py": "x = 0x" + "f" * 200_000 + "\n",
    "power.py": "x = 9 ** 9 ** 9 ** 9\ny = 'x' * 10 ** 12\n",
    "line.py": "x = '" + "a" * 1_900_000 + "'\n",
    "comment.py": "#" + "a" * 1_900_000 + "\n",
    "rows.py": "x = [\n" + "    (1, 'two', 3.0),\n" * 6_000 + "]\n",
    "functions.py": "".join(f"def f{number}():\n    pass\n" for number in range(6_000)),
    "one_line.py": "x = 1;" * 50_000 + "\n",
    "too_large.py": "#" + "a" * 10_000_000 + "\n",
}
ENCODED = {
    "latin_1.py": b"# coding: latin-1\nx = '\xe9'\n",
    "utf_16.py": "x = 1\n".encode("utf-16"),
    "utf_16_cookie.py": b"# coding: utf-16\nx = 1\n",
    "bom_and_cookie.py": b"\xef\xbb\xbf# coding: latin-1\nx = 1\n",
    "undecodable.py": b"x = '\xe9'\n",
    "unknown.py": b"# coding: klingon\nx = 1\n",
    "rot13.py": b"# coding: rot13\nk = 1\n",
    "zlib.py": b"# coding: zlib\nx = 1\n",
    "escapes.py": b"# coding: unicode_escape\nx = 1 #\\nimport os\n",
    "punycode.py": b"# coding: punycode\nx = 1\n",
    "utf_7.py": b"# coding: utf-7\nx = '+AGE-'\n",
    "undefined.py": b"# coding: undefined\nx = 1\n",
    "nul.py": b"x = 1\0\n",
    "surrogate.py": b"x = '\xed\xa0\x80'\n",
    "carriage.py": b"x = 1\ry = 2\r\n\x0cz = 3\n",
    "separators.py": "x = '\u2028\x1c\x85'\n# \u2029 y\n".encode(),
}


def test_tools_alone_crash_on_these_files(tmp_path: Path) -> None:
    (tmp_path / "elif.py").write_text(DEEP["elif.py"])
    assert b"RecursionError" in run_tool(tmp_path, "vulture", "elif.py").stderr
    assert b"recursion depth" in run_tool(tmp_path, "radon", "cc", "--json", "elif.py").stdout
    (tmp_path / "deep.py").write_text("x = " + "[" * 20_000 + "]" * 20_000)
    (tmp_path / "good.py").write_text(GOOD)
    ruff = run_tool(tmp_path, "ruff", "check", "--isolated", "--no-cache", "deep.py", "good.py")
    assert ruff.returncode not in (0, 1)
    assert b"good.py" not in ruff.stdout
    (tmp_path / "latin.py").write_bytes(ENCODED["undecodable.py"])
    assert b"UnicodeDecodeError" in run_tool(tmp_path, "docstr_coverage.cli", "latin.py", "good.py").stderr


@pytest.mark.parametrize("files", [DEEP, LARGE, ENCODED], ids=["deep", "large", "encoded"])
async def test_hostile_file_affects_only_its_own_numbers(
    pipeline: Pipeline, settings: Settings, files: Mapping[str, str | bytes]
) -> None:
    expected = file_nodes(await analyse(pipeline, {"good.py": GOOD}))["good.py"]
    analysis = await analyse(pipeline, {"good.py": GOOD, **files})
    assert "failed" not in analysis.completeness["collectors"].values()
    found = file_nodes(analysis)
    assert found["good.py"] == expected
    skipped = {item["path"] for item in analysis.completeness["skipped"]}
    assert skipped == {name for name in files if name == "too_large.py"}
    assert set(found) == {"good.py", *files} - skipped
    for name in set(files) - skipped:
        lines = [line for line in analysis.errors if line.startswith(f"{name}: ")]
        unknown = {key for key, value in found[name]["metrics"].items() if None in values(value)}
        assert lines or unknown == {"churn"}, name  # churn is null because there is no history
    assert not list(settings.scratch_dir.glob("*/job-*"))


def test_python_parses_the_expected_encodings() -> None:
    def parses(data: bytes) -> bool:
        try:
            ast.parse(data)
        except (SyntaxError, ValueError):
            return False
        return True

    assert {name for name, data in ENCODED.items() if not parses(data)} == {
        "utf_16.py", "utf_16_cookie.py", "bom_and_cookie.py", "undecodable.py", "unknown.py", "rot13.py", "zlib.py",
        "punycode.py", "undefined.py", "nul.py", "surrogate.py",
    }  # fmt: skip


CONFIGURATION = {
    "pyproject.toml": '[tool.ruff]\nextend = "/etc/passwd"\n[tool.ruff.lint]\nselect = []\n[tool.vulture]\nmin_'
    'confidence = 100\nexclude = ["*"]\n[tool.bandit]\nskips = ["B605", "B404", "B607"]\nexclude_dirs = ["."]\n'
    "[tool.docstr-coverage]\n"
    'exclude = ".*"\n',
    "ruff.toml": 'extend = "/etc/passwd"\nexclude = ["*"]\n',
    ".ruff.toml": "lint.select = []\n",
    ".bandit": "[bandit]\nskips = B605,B607\nexclude = .\n",
    "setup.cfg": "[bandit]\nskips = B605\n[radon]\nexclude = *\n[flake8]\nignore = *\n",
    "radon.cfg": "[radon]\nexclude = *.py\n",
    ".docstr.yaml": "paths: []\nexclude: .*\nfail_under: 0\n",
    "tox.ini": "[flake8]\nignore = *\n",
    ".gitattributes": "*.py -diff\n",
    ".gitignore": "*.py\n",
    ".editorconfig": "root = true\n",
    "conftest.py": "raise SystemExit('imported')\n",
    "sitecustomize.py": "raise SystemExit('imported')\n",
    "radon/__init__.py": "raise SystemExit('imported')\n",
    "ast.py": "raise SystemExit('imported')\n",
}


def test_tools_alone_obey_configuration_in_the_tree(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("import os\n")
    assert run_tool(tmp_path, "ruff", "check", "--no-cache", ".").returncode == 1
    (tmp_path / "ruff.toml").write_text("lint.select = []\n")
    assert run_tool(tmp_path, "ruff", "check", "--no-cache", ".").returncode == 0
    (tmp_path / "secret").write_text("the first line of another file\n")
    (tmp_path / "ruff.toml").write_text(f'extend = "{tmp_path}/secret"\n')
    assert b"the first line" in run_tool(tmp_path, "ruff", "check", "--no-cache", ".").stderr


async def test_configuration_in_the_tree_is_ignored_and_nothing_is_imported(pipeline: Pipeline) -> None:
    plain = await analyse(pipeline, {"good.py": GOOD})
    analysis = await analyse(pipeline, {**CONFIGURATION, "good.py": GOOD})
    assert file_nodes(plain)["good.py"] == file_nodes(analysis)["good.py"]
    assert set(analysis.completeness["collectors"].values()) == {"ok"}
    assert "imported" not in str(analysis.errors)
    assert "root:" not in str(analysis)
