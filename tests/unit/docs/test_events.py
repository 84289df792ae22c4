"""docs/events.md lists what the code logs: every event with its levels and fields, and no other."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.fixtures.checks.log_catalogue import BOUND_FIELDS, catalogue
from tests.unit.docs.log_events import LogEvent, UnresolvedEventError, logged_events

CODE, PAGE = logged_events(), catalogue()


def test_page_has_every_event_and_no_other() -> None:
    assert len(CODE) > 30
    assert set(PAGE) == set(CODE)


@pytest.mark.parametrize("name", CODE)
def test_page_has_the_levels_and_fields_of_an_event(name: str) -> None:
    logged, listed = CODE[name], PAGE[name]
    assert listed.levels == logged.levels
    assert logged.fields - BOUND_FIELDS <= listed.fields
    if not logged.open_ended:
        assert listed.fields <= logged.fields
    assert re.fullmatch(r"\S.*\.", listed.meaning)


def test_names_of_events_are_dotted() -> None:
    for name in CODE:
        assert re.fullmatch(r"[a-z_]+\.[a-z_]+", name), name


def events_of(code: str, root: Path) -> Mapping[str, LogEvent]:
    (root / "worker").mkdir()
    (root / "worker/module.py").write_text(f"log = structlog.get_logger(__name__)\n\n{code}")
    return logged_events(root)


def test_levels_and_fields_are_read_from_the_calls(tmp_path: Path) -> None:
    code = """
def first(extra):
    log.info("a.one", size=1, **extra)
    (log.warning if extra else log.info)("a.two", exc_info=extra)
"""
    found = events_of(code, tmp_path)
    assert (found["a.one"].levels, found["a.one"].fields, found["a.one"].open_ended) == ({"info"}, {"size"}, True)
    assert (found["a.two"].levels, found["a.two"].fields, found["a.two"].open_ended) == (
        {"info", "warning"},
        set(),
        False,
    )


def test_names_are_followed_through_choices_variables_and_parameters(tmp_path: Path) -> None:
    code = """
def warn(self, event):
    log.warning(event)

def choose(found):
    event = "b.one" if found else "b.two"
    log.info(event)
    self.warn("b.three")
    missing = Missing(event="b.four")
    log.info(missing.event)
"""
    assert set(events_of(code, tmp_path)) == {"b.one", "b.two", "b.three", "b.four"}


def test_name_that_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnresolvedEventError):
        events_of("def f(x):\n    log.info(x + 'c')\n", tmp_path)
