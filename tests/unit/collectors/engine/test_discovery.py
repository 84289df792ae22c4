"""Discovery of the collectors, and what it says of a module that does not define one."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import collectors.metrics
from collectors.engine.collector_names import collector_names
from collectors.engine.discovery import MalformedCollectorError, declarations, discover

DECLARATION = """\
from domain.metrics.declaration import AggregateField, MetricDeclaration, RowFormat

class Tiny:
    metric = MetricDeclaration(
        name="{name}", tool="own", version="1",
        aggregate=(AggregateField(key="total", meaning="All."),), row=RowFormat(text="{text}"),
    )
    def collect_tree(self, tree): return 0
    def summarize(self, facts, totals): return None

"""

Add = Callable[[str, str], None]


@pytest.fixture
def add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Return a function that adds a module to `collectors.metrics` for the time of the test."""
    monkeypatch.setattr(collectors.metrics, "__path__", [*collectors.metrics.__path__, str(tmp_path)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def add(name: str, text: str) -> None:
        (tmp_path / f"{name}.py").write_text(text)
        collector_names.cache_clear()
        discover.cache_clear()

    yield add
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(f"collectors.metrics.{path.stem}", None)
    collector_names.cache_clear()
    discover.cache_clear()


def test_module_in_the_package_is_found(add: Add) -> None:
    add("tiny", DECLARATION.format(name="tiny", text="{total}") + "COLLECTOR = Tiny()\n")
    assert "tiny" in collector_names()
    assert [metric.name for metric in declarations()] == list(collector_names())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "defines no COLLECTOR"),
        ("COLLECTOR = object()\n", "lacks attributes of both FileCollector and TreeCollector"),
        (DECLARATION.format(name="other", text="{total}") + "COLLECTOR = Tiny()\n", "declares the metric 'other'"),
        (DECLARATION.format(name="tiny", text="{sum}") + "COLLECTOR = Tiny()\n", "the row's text names ['sum']"),
        (
            DECLARATION.format(name="tiny", text="{total}") + "Tiny.metric = 'tiny'\nCOLLECTOR = Tiny()\n",
            "COLLECTOR.metric is not a MetricDeclaration",
        ),
    ],
)
def test_module_without_a_valid_collector_is_named(add: Add, text: str, problem: str) -> None:
    add("tiny", text)
    with pytest.raises(MalformedCollectorError) as caught:
        discover()
    assert problem in str(caught.value)
    assert "tiny.py" in str(caught.value)


def test_names_are_listed_without_importing_the_tools() -> None:
    """The worker needs the names only; the imports would cost it time and memory."""
    code = (
        "import sys, worker.jobs.runner; from collectors.engine.collector_names import collector_names\n"
        "print(len(collector_names()), *{'bandit', 'radon', 'vulture'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
    assert printed.split() == [str(len(collector_names()))]
