"""Jobs that do nothing: this program beside other queues, on the same servers."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence

from benchmarks.queue.bench import NOOP, Bench, show
from benchmarks.queue.peers import PeerQueue, jobs_a_second
from worker.client import Client

OURS = "this program"
JOBS = 12_000
"""As many as take about 3 s, as the peers' own numbers do: workers that start a little later then count little."""

PROCRASTINATE = "procrastinate"
GOAL = 5.0
"""Times as many jobs as Procrastinate that this program should run."""


async def measure_noop(
    bench: Bench, client: Client, peers: Sequence[PeerQueue], replicas: Sequence[int], rounds: int, scale: float
) -> None:
    """Print the rates and their ratios, a table for each number of replicas."""
    for count in replicas:
        rates: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds):
            rate, cpu = await bench.jobs_a_second(client, NOOP, count, round(JOBS * scale))
            rates[OURS].append(rate)
            show(f"no-op jobs/s, {count} replicas: {OURS}", rate)
            for name, seconds in cpu.items():
                if seconds:
                    show(f"  CPU ms a job: {name}", seconds * 1000)
            for peer in peers:
                rate = await jobs_a_second(peer, bench.environment, count, round(peer.jobs * scale))
                rates[peer.name].append(rate)
                show(f"  the same: {peer.name}", rate)
        _print_table(count, rates, peers)
    for peer in peers:
        print(f"{peer.name}: {peer.versions}; {peer.set_up}")


def _print_table(replicas: int, rates: Mapping[str, Sequence[float]], peers: Sequence[PeerQueue]) -> None:
    """Print the medians. A ratio is the median of the rounds' ratios, since the machine's speed varies."""
    print(f"\n| {replicas} replicas | server | no-op jobs/s | ours / peer | claim, end committed | result stored |")
    print("|---|---|---|---|---|---|")
    print(f"| {OURS} | PostgreSQL and Redis | {statistics.median(rates[OURS]):,.0f} | | yes, yes | yes |")
    ratios = {peer.name: _ratio(rates[OURS], rates[peer.name]) for peer in peers}
    for peer in peers:
        durable = f"{_word(peer.claim_durable)}, {_word(peer.end_durable)}"
        cells = [peer.name, peer.server, f"{statistics.median(rates[peer.name]):,.0f}", f"{ratios[peer.name]:.2f}"]
        print("| " + " | ".join([*cells, durable, _word(peer.result_stored)]) + " |")
    same = [peer.name for peer in peers if peer.does_the_same]
    behind = [name for name in same if ratios[name] <= 1]
    print(f"\nahead of each that commits claim and end and stores a result ({', '.join(same) or 'none'}): "
          + (f"no, behind {', '.join(behind)}" if behind else "yes"))  # fmt: skip
    if PROCRASTINATE in ratios:
        print(f"times Procrastinate: {ratios[PROCRASTINATE]:.2f} (goal: {GOAL:.0f})")
    print(flush=True)


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def _word(value: bool) -> str:  # noqa: FBT001 - a cell of the table
    return "yes" if value else "no"
