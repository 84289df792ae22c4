"""What a page names is there: files, headings, tests, commands, settings, log lines, targets."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk import environment_variables

from tests.unit.deploy.project_files import ROOT, command_names, setting_names

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN = [*PAGES, *(path for path in sorted((ROOT / "deploy").rglob("*")) if path.is_file()), ROOT / "Dockerfile"]
SOURCE = "".join(path.read_text() for room in ("worker", "infrastructure") for path in (ROOT / room).rglob("*.py"))
OTHER_VARIABLES = {
    "VIBE8_HOME", "VIBE8_GIT_TOKEN", "VIBE8_FUZZ",
    "POSTGRES_PASSWORD", "REDIS_PASSWORD", "POSTGRES_IMAGE", "REDIS_IMAGE", "PYTHON_IMAGE", "VIBE8_VERSION",
}  # fmt: skip
OPENTELEMETRYS = {name for name in vars(environment_variables) if name.startswith("OTEL_")} | {"OTEL_TRACES_EXPORTER"}
PLACEHOLDERS = {"SOURCE", "ID", "EMAIL", "WORKER", "REPLICA", "POD", "NODE", "PID", "JOB_ID", "SIGTERM", "HEAD"}
pages = pytest.mark.parametrize("page", PAGES, ids=[page.name for page in PAGES])


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def code_spans(page: Path) -> list[str]:
    return re.findall(r"`([^`\n]+)`", prose(page))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    yield from re.findall(r"(?<!!)\]\(([^)\s]+)\)", prose(page))


@pages
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pages
def test_every_test_is_there(page: Path) -> None:
    for name in re.findall(r"`(tests/[\w/.:]+)`", page.read_text()):
        path, _, function = name.partition("::")
        assert (ROOT / path).exists(), f"{page.name}: {name}"
        if function:
            assert re.search(rf"^(async )?def {function}\(", (ROOT / path).read_text(), re.MULTILINE), name


def test_every_claim_of_the_threat_model_names_its_test() -> None:
    table = (ROOT / "SECURITY.md").read_text().partition("| claim |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) > 25
    for row in rows:
        claim, how, shown = (cell.strip() for cell in row.strip("|").split(" | "))
        assert claim
        assert how
        assert re.search(r"`tests/[\w/]+\.py(::test_\w+)?`", shown), claim


@pages
def test_every_file_is_there(page: Path) -> None:
    for name in code_spans(page):
        if re.fullmatch(r"(collectors|deploy|docs|domain|examples|infrastructure|tests|worker)/[\w./-]*", name):
            assert (ROOT / name).exists(), f"{page.name}: {name}"


@pages
def test_every_command_is_there(page: Path) -> None:
    text = page.read_text()
    named = re.findall(r"^vibe8 ([a-z]+)", text, re.MULTILINE) + re.findall(r"`(?:\S*/)?vibe8 ([a-z]+)", text)
    assert set(named) <= command_names()


@pages
def test_every_target_is_there(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for line in page.read_text().splitlines():
        if "not measured yet" in line:
            continue
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", line):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{page.name}: make {target}"


@pages
def test_every_variable_is_there(page: Path) -> None:
    words = {word for span in code_spans(page) for word in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", span)}
    assert words <= setting_names() | OTHER_VARIABLES | OPENTELEMETRYS | PLACEHOLDERS | {"TYPE_CHECKING"}


def test_every_event_in_the_runbook_is_logged() -> None:
    subjects = "claim|cleanup|command|job|lease|maintenance|queue|redis|startup|tracing|webhook|worker"
    named = {
        span for span in code_spans(ROOT / "docs/operations.md") if re.fullmatch(rf"({subjects})\.[a-z_]+", span)
    } - {"worker.client"}
    assert named
    for event in named:
        assert f'"{event}"' in SOURCE, event


def test_what_readyz_says_is_what_the_runbook_explains() -> None:
    page = (ROOT / "docs/operations.md").read_text()
    section = page[page.index("### Vibe8ReplicaNotReady") : page.index("### Vibe8ReplicaRestarting")]
    reasons = re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)
    assert len(reasons) == 6
    for reason in reasons:
        for part in re.split(r"\bN\b", reason):
            assert part.strip() in SOURCE, reason


@pytest.mark.parametrize("path", SHOWN, ids=[str(path.relative_to(ROOT)) for path in SHOWN])
def test_no_page_knows_this_machine_or_a_registry(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"/root/|/home/(?!vibe8)|/work/", text)
    assert not re.search(r"pypi\.|pythonhosted|npmjs|docker\.io|ghcr\.io|quay\.io|registry\.", text, re.IGNORECASE)


@pages
def test_code_blocks_are_closed_and_named(page: Path) -> None:
    fences = re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)
    assert len(fences) % 2 == 0
    assert all(not closing for closing in fences[1::2])
