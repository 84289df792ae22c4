"""Files that manifests include, encodings, and the formats of further tools."""

from pathlib import Path

import pytest

from collectors.dependencies.manifest_formats import (
    parse_environment,
)
from collectors.dependencies.manifests import read_manifests
from collectors.dependencies.project_format import parse_pyproject
from collectors.dependencies.requirements_format import (
    DeclaredDependency,
    Include,
    OwnProject,
    Unread,
    parse_requirements,
)
from collectors.dependencies.setup_script import parse_setup_script
from tests.unit.collectors.dependencies.manifest_trees import declared, names_of, write


def test_files_that_requirements_include_are_read(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        **{
            "requirements.txt": "-r requirements/base.txt\n--requirement=deps/prod.pip\n-c constraints.txt\n",
            "requirements/base.txt": "flask==3.0.0\nredis\n",
            "deps/prod.pip": "gunicorn==21.2.0\n-r ../more/deep.reqs\n",
            "more/deep.reqs": "httpx\n-r ../requirements.txt\n",
            "constraints.txt": "redis==5.0.1\nunused==1.0\nflask==9\n",
        },
    )
    assert found == {"flask": "3.0.0", "redis": "5.0.1", "gunicorn": "21.2.0", "httpx": None}


def test_files_that_cannot_be_included_are_gaps(tmp_path: Path) -> None:
    text = "-r missing.txt\n-r ../out.txt\n-r https://h.example/x\n-c /etc/c.txt\n-r ${X}.txt\none==1\n"
    found = read_manifests(write(tmp_path, {"requirements.txt": text}))
    assert found.declared == {"one": "1"}
    assert len(found.gaps) == 5
    assert all(gap.startswith("requirements.txt: dependencies not read: ") for gap in found.gaps)
    assert found.gaps[-1].endswith("there is no file missing.txt")


def test_number_of_included_files_is_limited(tmp_path: Path) -> None:
    sources: dict[str, str | bytes] = {f"f{n}.pip": f"-r f{n + 1}.pip\np{n}\n" for n in range(300)}
    found = read_manifests(write(tmp_path, {**sources, "requirements.txt": "-r f0.pip\n"}))
    assert len(found.declared) == 200
    assert found.gaps == ["only 200 files of dependencies that others include were read"]


@pytest.mark.parametrize(
    ("data", "version"),
    [
        (b"# -*- coding: latin-1 -*-\n# d\xe9pendances\nrequests==2.31.0\n", "2.31.0"),
        (b"#!/x\n# vim: set fileencoding=cp1252 :\n# \x80\nrequests==2.31.0\n", "2.31.0"),
        ("requests==1\r\n".encode("utf-32"), "1"),
        ("\ufeffrequests==1\n".encode("utf-16-be"), "1"),
    ],
)
def test_requirements_are_decoded_as_pip_does(tmp_path: Path, data: bytes, version: str) -> None:
    assert declared(tmp_path, **{"requirements.txt": data}) == {"requests": version}


def test_undecodable_requirements_are_gaps(tmp_path: Path) -> None:
    sources: dict[str, str | bytes] = {
        "requirements.txt": b"# \xe9\nx\n",
        "a/requirements.txt": b"# coding: nosuch\nx\n",
    }
    gaps = read_manifests(write(tmp_path, sources)).gaps
    assert gaps == [
        "requirements.txt: dependencies not read: not utf-8 text",
        "a/requirements.txt: dependencies not read: unknown encoding nosuch",
    ]


@pytest.mark.parametrize(
    ("line", "name", "version"),
    [
        ("./dist/my_pkg-1.2.0-py3-none-any.whl", "my-pkg", "1.2.0"),
        ("https://host.example/a/my-pkg-1.2.tar.gz#sha256=abc", "my-pkg", "1.2"),
        ("wheels/my_pkg-1.2-cp311-cp311-manylinux_2_17_x86_64.whl ; python_version > '3'", "my-pkg", "1.2"),
        ("-e file:///${PROJECT_ROOT}/sub#egg=attrs", "attrs", None),
        ("git+https://host.example/o/r.git@main#egg=named", "named", None),
        ("my-pkg @ file:///x/my_pkg-1.2-py3-none-any.whl", "my-pkg", None),
        ("https://host.example/my_pkg-1.2.tar.bz2", "my-pkg", "1.2"),
        ("./my-pkg-1.2.tgz", "my-pkg", "1.2"),
        ("git+ssh://git@corp.example/team/acme_lib.git@v1.0", "acme_lib", None),
        ("-e git+https://host.example/o/acme-lib/", "acme-lib", None),
        ("git+https://host.example/o/acme.git#subdirectory=x", "acme", None),
        ("-e ../acme_lib[extra]", "acme_lib", None),
        ("/srv/acme_lib", "acme_lib", None),
        ("https://host.example/o/acme/archive/refs/tags/v1.0.zip", "acme", None),
    ],
)
def test_location_names_a_distribution_that_no_index_is_asked_for(line: str, name: str, version: str | None) -> None:
    (found,) = parse_requirements(line)
    assert found == DeclaredDependency(name, version, indexed=False)


@pytest.mark.parametrize(
    "line", ["-e .", "-e .[dev]", "./sub/", "sub/folder", "-e file:.", "-e file:///${PROJECT_ROOT}", "../"]
)
def test_location_inside_the_tree_names_nothing(line: str) -> None:
    assert list(parse_requirements(line)) == []


TABLES_OF_TOOLS = """
[project]
name = "own"
dynamic = ["dependencies"]
[tool.setuptools]
package-dir = {"" = "lib"}
[tool.setuptools.dynamic]
dependencies = { file = ["deps/base.in"] }
optional-dependencies.x = { file = "deps/x.in" }
[tool.hatch.envs.default]
dependencies = ["pytest==8.1.0"]
extra-dependencies = ["mock"]
[tool.hatch.metadata.hooks.requirements_txt]
files = ["deps/hook.in"]
optional-dependencies.y = ["deps/y.in"]
[tool.rye]
dev-dependencies = ["ryed==1.0"]
[tool.pixi.dependencies]
python = "*"
numpy = "==1.26.4"
[tool.pixi.feature.x.pypi-dependencies]
rich = { version = "==13.7.0" }
[tool.flit.metadata]
requires = ["httpx==0.27.0"]
[tool.flit.metadata.requires-extra]
test = ["flit-test"]
[tool.pdm.dev-dependencies]
dev = ["-e file:///${PROJECT_ROOT}/sub#egg=attrs"]
[tool.poetry.group.dev.dependencies]
Flask = { version = "3.0.0", extras = ["async"] }
near = { path = "../near" }
[tool.uv.sources]
pytest = { workspace = true }
"""


def test_pyproject_of_further_tools() -> None:
    entries = list(parse_pyproject(TABLES_OF_TOOLS))
    assert dict(names_of(entries)) == {
        "pytest": "8.1.0", "mock": None, "numpy": "1.26.4", "rich": "13.7.0", "httpx": "0.27.0", "flit-test": None,
        "attrs": None, "Flask": "3.0.0", "near": None, "ryed": "1.0",
    }  # fmt: skip
    elsewhere = {entry.name for entry in entries if isinstance(entry, DeclaredDependency) and not entry.indexed}
    assert elsewhere == {"pytest", "attrs", "near"}
    assert {Include(f"deps/{name}.in") for name in ("base", "x", "hook", "y")} <= set(entries)
    assert OwnProject("own", ("lib",)) in entries


FILES: dict[str, str | bytes] = {
    "environment.yml": "dependencies:\n  - a1=1.2.3\n",
    "dev-environment.yaml": "dependencies:\n  - a2==2\n",
    "pixi.toml": '[dependencies]\na3 = "==3"\n',
    "hatch.toml": '[envs.x]\ndependencies = ["a4==4"]\n',
    "requirements-dev.lock": "-e file:.\na5==5\n",
    "requirements/ci.in": "a6==6\n",
    "my_requirements.txt": "a7==7\n-c limits.txt\n",
    "limits.txt": "a8==8\n",
    "Pipfile": '[packages]\na8 = "*"\n',
}


def test_files_of_all_tools_are_read_by_their_names(tmp_path: Path) -> None:
    versions = {f"a{n}": str(n) for n in range(2, 9)}
    assert declared(tmp_path, **FILES) == {"a1": "1.2.3", **versions}


def test_environment_declares_its_packages() -> None:
    text = """name: x
channels:
  - conda-forge
dependencies:
  - python=3.11
  - numpy=1.26.4
  - conda-forge::scipy=1.11=py311_0
  - pandas>=2
  - flask==3.0.0  # why
  - pip
  - pip:
      - requests==2.31.0
      - -r more.txt
  - last
prefix: /x
"""
    entries = list(parse_environment(text))
    assert names_of(entries) == [
        ("numpy", "1.26.4"), ("scipy", "1.11"), ("pandas", None), ("flask", "3.0.0"), ("pip", None),
        ("requests", "2.31.0"), ("last", None),
    ]  # fmt: skip
    assert Include("more.txt") in entries


@pytest.mark.parametrize(
    "text",
    [
        "dependencies: [python=3.11, numpy=1.26.4, 'scipy>=1,<2']\n",
        'dependencies: [\n  "numpy=1.26.4",  # why\n  conda-forge/linux-64::scipy\n]\nprefix: /x\n',
        "dependencies:   # all of them\n- numpy=1.26.4\n- 'scipy'\n",
    ],
)
def test_environment_is_read_in_other_forms(text: str) -> None:
    assert dict(names_of(parse_environment(text))) == {"numpy": "1.26.4", "scipy": None}


def test_setup_script_declares_its_literals() -> None:
    text = """
from setuptools import setup
BASE = ["one==1.0", 'two>=2;python_version>"3"']
setup(name="own", package_dir={"": "src"}, install_requires=BASE + ["three"], tests_require="four\\nfive==5",
      extras_require={"x": ["six"], "all": BASE}, setup_requires=open("r").read())
"""
    entries = list(parse_setup_script(text))
    assert names_of(entries) == [
        ("one", "1.0"), ("two", None), ("three", None), ("four", None), ("five", "5"), ("six", None), ("one", "1.0"),
        ("two", None),
    ]  # fmt: skip
    assert {OwnProject("own"), OwnProject(None, ("src",)), Unread("setup_requires is computed")} <= set(entries)


def test_setup_script_that_reads_requirements_is_no_gap() -> None:
    text = "setup(install_requires=open('requirements.txt').read().split())"
    assert list(parse_setup_script(text)) == [Include("requirements.txt")]


@pytest.mark.parametrize(
    "text",
    [
        "A: list[str] = ['one']\nA += ['two==2']\nsetup(install_requires=A)",
        "a = ['one']\nif x:\n    a.append('two==2')\nelse:\n    a.extend(('two==2',))\nsetup(install_requires=a)",
        "setup(install_requires='one two==2'.split())",
        "A = '''\n one\n two==2\n'''\nsetup(install_requires=A.strip().split('\\n'))",
        "B = ('one',)\nsetup(install_requires=[*B, 'two==2'])",
        "setup(**dict(name='own', version=v(), install_requires=['one', 'two==2']))",
        "kw = {'install_requires': ['one', 'two==2'], 'version': v()}\nsetup(**kw)",
        "e = {'x': ['one']}\ne['y'] = ['two==2']\ne['all'] = sum(e.values(), [])\nsetup(extras_require=e)",
        "if x:\n    a = ['one']\nelse:\n    a = ['two==2']\nsetup(install_requires=a)",
        "def main():\n    a = ['one']\n    a = a + ['two==2']\n    setup(install_requires=list(a))",
    ],
)
def test_setup_script_is_read_in_other_forms(text: str) -> None:
    entries = list(parse_setup_script(text))
    assert sorted(set(names_of(entries))) == [("one", None), ("two", "2")]
    assert not [entry for entry in entries if isinstance(entry, Unread)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "def get_requirements():\n    return open('deps.txt')\nsetup(install_requires=get_requirements())",
            "install_requires",
        ),
        ("setup(**arguments())", "what setup() is given"),
        ("a = ['one']\na += more()\nsetup(install_requires=a)", "install_requires"),
    ],
)
def test_setup_script_that_cannot_be_read_is_named(text: str, reason: str) -> None:
    assert list(parse_setup_script(text)) == [Unread(f"{reason} is computed")]


def test_setup_script_that_grows_without_end_is_not_evaluated() -> None:
    lines = ["a0 = ['x']", *(f"a{n + 1} = a{n} + a{n}" for n in range(49)), "setup(install_requires=a49)"]
    assert list(parse_setup_script("\n".join(lines))) == [Unread("install_requires is computed")]


def test_projects_of_the_tree_and_their_folders(tmp_path: Path) -> None:
    sources: dict[str, str | bytes] = {
        "a/pyproject.toml": '[project]\nname = "Own.One"\ndependencies = ["own-two", "near @ file:///x"]\n',
        "b/setup.cfg": "[metadata]\nname = own_two\n[options]\npackage_dir =\n  = lib\n",
        "uv.lock": '[[package]]\nname = "own-one"\nversion = "1"\nsource = { editable = "a" }\n',
    }
    (tmp_path / "setup.py").write_text("setup(name='three')")
    found = read_manifests(write(tmp_path / "manifests", sources), {"c/setup.py": tmp_path / "setup.py"})
    assert found.own == ["own-one", "own-two", "three"]
    assert found.elsewhere == ["near", "own-one"]
    assert found.roots == ["a", "b", "b/lib", "c"]
    assert found.gaps == []


def test_lock_file_of_one_and_a_half_megabytes_is_read(tmp_path: Path) -> None:
    wheel = '    { url = "https://files.example/a", hash = "sha256:0", size = 1 },\n'
    package = '[[package]]\nname = "p{0}"\nversion = "1.{0}"\nwheels = [\n' + wheel * 65 + "]\n"
    text = "".join(package.replace("{0}", str(number)) for number in range(330))
    assert len(text) > 1_400_000
    assert len(declared(tmp_path, **{"uv.lock": text})) == 330
