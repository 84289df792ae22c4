"""The parts of `pypi-simple` that are loaded without the package are the package's own."""

import subprocess
import sys

import pypi_simple
import pytest

from infrastructure.outbound.pypi_simple_parts import default_endpoint, file_name_parser

NAMES = ("foo-1.0.tar.gz", "foo-1.0-py3-none-any.whl", "foo_bar-2.0rc1.zip", "foo-1.0.exe.txt", "foo.tar.gz", "-")

ALONE = """
import sys
from infrastructure.outbound.package_index import SimplePackageIndex
from infrastructure.outbound.pypi_simple_parts import file_name_parser
parse, error = file_name_parser()
print(parse("foo-1.0.tar.gz", "foo"), SimplePackageIndex()._base_url, error.__name__)
print(*{"pypi_simple", "pypi_simple.filenames", "requests", "bs4"} & set(sys.modules))
import pypi_simple
print(pypi_simple.PyPISimple.__name__, pypi_simple.parse_filename("foo-1.0.tar.gz", "foo"))
"""

REARRANGED = """
import sys
sys.modules["pypi_simple.filenames"] = None  # importing it fails
from infrastructure.outbound.pypi_simple_parts import file_name_parser
parse, error = file_name_parser()
print(parse("foo-1.0.tar.gz", "foo"), "bs4" in sys.modules, error is sys.modules["pypi_simple"].UnparsableFilenameError)
"""


def run(code: str) -> list[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


def test_parts_are_loaded_without_the_package_which_can_be_imported_later() -> None:
    url = pypi_simple.PYPI_SIMPLE_ENDPOINT.rstrip("/")
    assert run(ALONE) == [
        f"('foo', '1.0', 'sdist') {url} UnparsableFilenameError",
        "",
        "PyPISimple ('foo', '1.0', 'sdist')",
    ]


def test_package_is_imported_where_a_part_is_missing() -> None:
    assert run(REARRANGED) == ["('foo', '1.0', 'sdist') True True"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_read_as_by_the_package(name: str) -> None:
    parse, error = file_name_parser()
    assert error.__name__ == pypi_simple.UnparsableFilenameError.__name__
    try:
        expected = pypi_simple.parse_filename(name, "foo")
    except pypi_simple.UnparsableFilenameError:
        with pytest.raises(error):
            parse(name, "foo")
    else:
        assert parse(name, "foo") == expected


def test_default_endpoint_is_that_of_the_package() -> None:
    assert default_endpoint() == pypi_simple.PYPI_SIMPLE_ENDPOINT
