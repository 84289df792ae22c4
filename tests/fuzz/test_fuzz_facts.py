"""Remembered facts that somebody has forged: not believed, or a document that is sound; never a crash."""

import copy
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collectors.engine.file_facts_cache import pack, unpack
from collectors.engine.report_assembly import CollectedFacts
from collectors.engine.steps import UnitResult, run_on_deep_stack
from tests.fuzz.collecting import SCHEMAS, assert_sound, inspect, summed_up
from tests.fuzz.generators import mutate, note, odd_sources, tried
from tests.unit.collectors.source_trees import load_tree

SEEDS = odd_sources()
LEAVES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 1 << 24, 1 << 63, 1.5, float("nan"), float("inf"), "", "x", "\x00", "\ud800", "a\nb", b"",
    b"\xff" * 40, [], [[]], {}, {"": 1}, "high", 10**6,
)  # fmt: skip


def forged(facts: Any, chance: random.Random) -> Any:
    """The facts with one thing in them changed: a leaf, a row doubled or lost, or one put in another's place."""
    found: list[tuple[Any, Any]] = []
    waiting = [facts]
    while waiting:
        item = waiting.pop()
        keys = list(item) if isinstance(item, dict) else list(range(len(item)))
        found.extend((item, key) for key in keys)
        waiting.extend(item[key] for key in keys if isinstance(item[key], list | dict))
    holder, key = chance.choice(found)
    like = [leaf for leaf in LEAVES if type(leaf) is type(holder[key])]
    others = [one[at] for one, at in found if type(one[at]) is type(holder[key])]
    holder[key] = copy.deepcopy(chance.choice(chance.choice((LEAVES, like or LEAVES, others, others))))
    return facts


@tried(60)
@given(name=st.sampled_from(sorted(SEEDS)), seed=st.integers(0, 2**32), times=st.integers(1, 4), raw=st.booleans())
def test_forged_cached_facts(name: str, seed: int, times: int, raw: bool) -> None:
    run_on_deep_stack(lambda: forge(name, random.Random(seed), times, raw=raw))


def forge(name: str, chance: random.Random, times: int, *, raw: bool) -> None:
    with tempfile.TemporaryDirectory() as place:
        for file in (name, "honest.py"):
            (Path(place) / f"{file}.py").write_bytes(SEEDS[name])
        tree = load_tree(Path(place))
        surveyed = CollectedFacts(paths=tuple(entry.path for entry in tree.entries))
        for entry in tree.entries:
            result = inspect(entry, "facts")
            if "honest" not in entry.path:
                believed = unpack(_packed(copy.deepcopy(result.values), chance, times, raw=raw), SCHEMAS)
                note("facts", "believed" if believed else "found anew")
                result = UnitResult(values=dict(believed)) if believed else result
            surveyed.add(entry.path, result)
        assert_sound(summed_up(tree, surveyed))


def _packed(facts: dict[str, Any], chance: random.Random, times: int, *, raw: bool) -> bytes:
    if raw:
        return mutate(pack(facts), chance.randrange(2**32))
    for _ in range(times):
        forged(facts, chance)
    try:
        return pack(facts)
    except (ValueError, OverflowError):  # more than msgpack can say
        return b""
