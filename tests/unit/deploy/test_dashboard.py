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


def test_it_shows_what_a_replica_tells_and_all_of_it() -> None:
    shown = {series.name for target in TARGETS for series in check(target["expr"]).series}
    for metric in our_metrics():
        name = metric._name
        told = {name, f"{name}_total", f"{name}_bucket", f"{name}_sum", f"{name}_count"}
        assert told & shown, f"no panel shows {name}"


def test_what_the_whole_fleet_tells_alike_is_not_added_up() -> None:
    for target in TARGETS:
        if re.search(r"vibe8_(jobs\b|oldest_job)", target["expr"]):
            assert "sum" not in target["expr"]


def test_legends_name_labels_that_are_left() -> None:
    for target in TARGETS:
        lists = set(check(target["expr"]).lists) | {"instance"}
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= lists


def test_every_variable_is_declared() -> None:
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(BOARD))) - {"__rate_interval", "__all"}
    assert used == VARIABLES


def test_panels_lie_side_by_side() -> None:
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


def test_it_is_bound_to_no_one_grafana() -> None:
    assert set(values_of("uid", {"panels": PANELS})) == {"${datasource}"}
    assert "id" not in BOARD
