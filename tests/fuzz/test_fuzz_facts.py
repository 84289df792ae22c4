"""Forged facts in the cache are rejected or give a valid result; they never crash an analysis."""

import copy
import random
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from collectors.engine.file_facts_cache import pack, unpack
from collectors.engine.pool.steps import UnitResult, run_on_deep_stack
from collectors.engine.report_assembly import CollectedFacts
from tests.fuzz.collecting import SCHEMAS, assert_valid, inspect, summarize
from tests.fuzz.generators import count_outcome, fuzz_settings, mutate, odd_sources
from tests.unit.collectors.source_trees import load_tree

SEEDS = odd_sources()
LEAVES: tuple[Any, ...] = (
    None, True, 0, 1, -1, 1 << 24, 1 << 63, 1.5, float("nan"), float("inf"), "", "x", "\x00", "\ud800", "a\nb", b"",
    b"\xff" * 40, [], [[]], {}, {"": 1}, "high", 10**6,
)  # fmt: skip


def forged(facts: Any, rng: random.Random) -> Any:
    """Replace one item of the facts with another value."""
    positions: list[tuple[Any, Any]] = []
    pending = [facts]
    while pending:
        item = pending.pop()
        keys = list(item) if isinstance(item, dict) else list(range(len(item)))
        positions.extend((item, key) for key in keys)
        pending.extend(item[key] for key in keys if isinstance(item[key], list | dict))
    container, key = rng.choice(positions)
    same_type = [leaf for leaf in LEAVES if type(leaf) is type(container[key])]
    others = [item[at] for item, at in positions if type(item[at]) is type(container[key])]
    container[key] = copy.deepcopy(rng.choice(rng.choice((LEAVES, same_type or LEAVES, others, others))))
    return facts


@fuzz_settings(60)
@given(name=st.sampled_from(sorted(SEEDS)), seed=st.integers(0, 2**32), times=st.integers(1, 4), raw=st.booleans())
def test_forged_cached_facts(name: str, seed: int, times: int, raw: bool) -> None:
    run_on_deep_stack(lambda: analyse_with_forged_facts(name, random.Random(seed), times, raw=raw))


def analyse_with_forged_facts(name: str, rng: random.Random, times: int, *, raw: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        for file in (name, "genuine.py"):
            (Path(directory) / f"{file}.py").write_bytes(SEEDS[name])
        tree = load_tree(Path(directory))
        collected = CollectedFacts(paths=tuple(entry.path for entry in tree.entries))
        for entry in tree.entries:
            result = inspect(entry, "facts")
            if "genuine" not in entry.path:
                accepted = unpack(_pack_forged(copy.deepcopy(result.values), rng, times, raw=raw), SCHEMAS)
                count_outcome("facts", "accepted" if accepted else "rejected")
                result = UnitResult(values=dict(accepted)) if accepted else result
            collected.add(entry.path, result)
        assert_valid(summarize(tree, collected))


def _pack_forged(facts: dict[str, Any], rng: random.Random, times: int, *, raw: bool) -> bytes:
    if raw:
        return mutate(pack(facts), rng.randrange(2**32))
    for _ in range(times):
        forged(facts, rng)
    try:
        return pack(facts)
    except (ValueError, OverflowError):  # msgpack cannot represent the value
        return b""
