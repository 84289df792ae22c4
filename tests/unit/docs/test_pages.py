"""Whatever a page names must exist: files, headings, tests, commands, settings, log events, make targets."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk import environment_variables

from tests.unit.deploy.project_files import ROOT, command_names, setting_names

CLIENT_PAGE = ROOT / "clients" / "python" / "README.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "SECURITY.md",
    ROOT / "CONTRIBUTING.md",
    CLIENT_PAGE,
    *sorted((ROOT / "docs").glob("*.md")),
]
SHOWN = [*PAGES, *(path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()), ROOT / "Dockerfile"]
PACKAGES = ("worker", "collectors", "domain", "infrastructure")
SOURCE = "".join(
    path.read_text() for package in ("worker", "infrastructure") for path in (ROOT / package).rglob("*.py")
)
CONSTANTS = set(
    re.findall(
        r"^([A-Z][A-Z0-9_]+)(?:: [^=\n]+)? = ",
        "".join(path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py")),
        re.MULTILINE,
    )
)
OTHER_VARIABLES = {
    "VIBE8_HOME", "VIBE8_GIT_TOKEN", "VIBE8_FUZZ", "XDG_CACHE_HOME",
    "POSTGRES_PASSWORD", "REDIS_PASSWORD", "POSTGRES_IMAGE", "REDIS_IMAGE", "PYTHON_IMAGE", "VIBE8_VERSION",
}  # fmt: skip
CI_VARIABLES = set(re.findall(r"VIBE8_[A-Z]+", (ROOT / "examples/ci/vibe8.sh").read_text()))
OTEL_VARIABLES = {name for name in vars(environment_variables) if name.startswith("OTEL_")} | {"OTEL_TRACES_EXPORTER"}
PLACEHOLDERS = {
    "SOURCE",
    "ID",
    "EMAIL",
    "WORKER",
    "REPLICA",
    "POD",
    "NODE",
    "PID",
    "JOB_ID",
    "SIGTERM",
    "HEAD",
    "NOT_EVALUATED",
}
pages = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def code_spans(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """List the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> list[str]:
    return re.findall(r"(?<!!)\]\(([^)\s]+)\)", prose(page))


def named_tests(page: Path) -> list[str]:
    return re.findall(r"`(tests/[\w/.:]+)`", page.read_text())


def named_files(page: Path) -> list[str]:
    folders = "alembic|collectors|deploy|docs|domain|examples|infrastructure|tests|worker"
    return [name for name in code_spans(page) if re.fullmatch(rf"({folders})/[\w./-]*", name)]


def named_commands(page: Path) -> list[str]:
    text = page.read_text()
    return re.findall(r"^vibe8 ([a-z][a-z-]*)", text, re.MULTILINE) + re.findall(
        r"`(?:\S*/)?vibe8 ([a-z][a-z-]*)", text
    )


def named_make_targets(page: Path) -> list[str]:
    lines = [line for line in page.read_text().splitlines() if "not measured yet" not in line]
    return [target for line in lines for target in re.findall(r"(?:^|`)make ([a-z-]+)", line)]


def named_variables(page: Path) -> list[str]:
    return [word for span in code_spans(page) for word in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", span)]


@pytest.mark.parametrize("find", [links, named_tests, named_files, named_commands, named_make_targets, named_variables])
def test_each_check_of_the_pages_finds_something_to_check(find: Callable[[Path], list[str]]) -> None:
    assert len([name for page in PAGES for name in find(page)]) > 10


def test_the_tutorial_shows_the_steps_that_the_demonstration_prints() -> None:
    shown = re.findall(r"^\d/\d  .+$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE)
    demonstration = (ROOT / "worker" / "cli" / "demo.py").read_text()
    assert shown
    assert [line for line in shown if line not in demonstration] == []


@pages
def test_links_have_a_target(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pages
def test_named_tests_exist(page: Path) -> None:
    for name in named_tests(page):
        path, _, function = name.partition("::")
        assert (ROOT / path).exists(), f"{page.name}: {name}"
        if function:
            assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE), name


def test_each_claim_of_the_threat_model_names_its_test() -> None:
    table = (ROOT / "SECURITY.md").read_text().partition("| claim |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) > 25
    for row in rows:
        claim, how, shown = (cell.strip() for cell in row.strip("|").split(" | "))
        assert claim
        assert how
        assert re.search(r"`tests/[\w/]+\.py(::test_\w+)?`", shown), claim


@pages
def test_named_files_exist(page: Path) -> None:
    for name in named_files(page):
        assert (ROOT / name).exists(), f"{page.name}: {name}"


@pages
def test_named_commands_exist(page: Path) -> None:
    assert set(named_commands(page)) <= command_names()


@pages
def test_named_make_targets_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in named_make_targets(page):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


@pages
def test_named_variables_exist(page: Path) -> None:
    known = (
        setting_names() | OTHER_VARIABLES | CI_VARIABLES | OTEL_VARIABLES | PLACEHOLDERS | CONSTANTS | {"TYPE_CHECKING"}
    )
    assert set(named_variables(page)) <= known


def test_events_in_the_runbook_are_logged() -> None:
    subjects = "claim|cleanup|command|job|lease|maintenance|queue|redis|startup|tracing|webhook|worker"
    named = {
        span for span in code_spans(ROOT / "docs/operations.md") if re.fullmatch(rf"({subjects})\.[a-z_]+", span)
    } - {"worker.client"}
    assert named
    for event in named:
        assert f'"{event}"' in SOURCE, event


@pytest.mark.parametrize("path", SHOWN, ids=[str(path.relative_to(ROOT)) for path in SHOWN])
def test_pages_name_no_path_of_a_machine_and_no_registry(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"/root/|/home/(?!vibe8)|/work/", text)
    assert not re.search(r"pypi\.|pythonhosted|npmjs|docker\.io|ghcr\.io|quay\.io|registry\.", text, re.IGNORECASE)


@pages
def test_code_blocks_are_closed(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert all(not closing for closing in fences[1::2])


def test_readme_is_short_and_links_every_page() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) < 120
    linked = {link.partition("#")[0] for link in links(readme)}
    pages_and_schema = [*(ROOT / "docs").glob("*.md"), *(ROOT / "docs").glob("*.json")]
    assert {f"docs/{page.name}" for page in pages_and_schema} <= linked


def test_glossary_is_sorted_and_says_something_of_each_word() -> None:
    rows = re.findall(r"^\| ([a-z][^|]*) \| (.+) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)
    words = [word for word, _ in rows if word != "word"]
    assert words == sorted(words)
    assert len(words) > 30
    for required in ("facts", "lease", "fencing token", "zygote", "heartbeat", "failpoint", "idempotency key", "drain"):
        assert required in words


def test_folders_of_the_guide_exist_and_none_is_missing() -> None:
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("| folder | holds |")[2].partition("\n\n")[0]
    named = {folder.rstrip("/") for folder in re.findall(r"`([\w/]+)`", table)}
    packages = [ROOT / package for package in PACKAGES if package != "domain"]
    folders = {str(path.parent.relative_to(ROOT)) for package in packages for path in package.glob("*/__init__.py")}
    assert folders <= named


@pytest.mark.parametrize(("kind", "least"), [("metric", 8), ("alert", 2), ("log event", 30)])
def test_new_names_in_the_changelog_exist(kind: str, least: int) -> None:
    table = (ROOT / "CHANGELOG.md").read_text().partition("### Renamed")[2].partition("\n### ")[0]
    rows = re.findall(rf"^\| {kind} \| `([\w.]+)`.*? \| (.+) \|$", table, re.MULTILINE)
    assert len(rows) >= least
    alerts = (ROOT / "deploy/prometheus/alerts.yml").read_text()
    for old, new in rows:
        for name in re.findall(r"`([\w.]+)`", new)[:1]:
            searched = alerts if kind == "alert" else SOURCE
            assert name.removesuffix("_total") in searched, f"{old} -> {name}"
