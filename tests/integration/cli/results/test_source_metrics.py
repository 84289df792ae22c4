"""The table of metrics is about source files."""

from pathlib import Path

from tests.integration.cli.command_support import without_services


async def test_asserts_in_tests_do_not_make_the_security_of_a_project_0(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a.py").write_text("x = 1\n")
    (tmp_path / "tree/test_a.py").write_text("def test_a():\n" + "    assert 1\n" * 50)
    done = await without_services(tmp_path).run("analyze", "tree", "--offline", "--no-cache")
    assert done.code == 0, done.error
    rows = {line.split()[0]: line for line in done.out.splitlines() if line}
    assert "Metrics of the source files" in done.out
    assert rows["security"].split()[1] == "100.0"
    assert rows["size"].endswith("1 file, 1 source line, 1 a file")
    assert rows["deps"].endswith("(all files)")
