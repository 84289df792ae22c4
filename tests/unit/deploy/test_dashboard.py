"""The Grafana dashboard: every metric is shown, and every expression is valid."""

import json
import re
from collections import Counter
from itertools import pairwise
from typing import Any

from tests.unit.deploy.project_files import DEPLOY, values_of
from tests.unit.deploy.promql import check, our_metrics

BOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/vibe8.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
VARIABLES = {variable["name"] for variable in BOARD["templating"]["list"]}
TARGETS = [target for panel in PANELS for target in panel.get("targets", [])]


def test_the_dashboard_shows_every_metric() -> None:
    shown = {series.name for target in TARGETS for series in check(target["expr"]).series}
    for metric in our_metrics():
        name = metric._name
        series = {name, f"{name}_total", f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        assert series & shown, f"no panel shows {name}"


def test_metrics_of_the_whole_fleet_are_not_summed() -> None:
    found = [target["expr"] for target in TARGETS if re.search(r"vibe8_(jobs\b|oldest_job)", target["expr"])]
    assert found
    assert [expression for expression in found if "sum" in expression] == []


def test_legends_use_only_labels_of_the_result() -> None:
    for target in TARGETS:
        lists = set(check(target["expr"]).lists) | {"instance"}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= lists


def test_every_variable_is_declared() -> None:
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD))) - {"__rate_interval", "__all"}
    assert used == VARIABLES


def test_panels_do_not_overlap() -> None:
    assert max(Counter(panel["id"] for panel in PANELS).values()) == 1
    taken: Counter[tuple[int, int]] = Counter()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken.update(
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        )
    assert max(taken.values()) == 1
    tops = [panel["gridPos"]["y"] for panel in PANELS]
    assert all(above <= below for above, below in pairwise(tops))


def test_the_dashboard_depends_on_no_particular_grafana() -> None:
    assert set(values_of("uid", {"panels": PANELS})) == {"${datasource}"}
    assert "id" not in BOARD
