"""When a failed attempt is tried again."""

BASE_SECONDS = 5.0
CAP_SECONDS = 300.0


def backoff_seconds(failed_attempts: int, jitter: float) -> float:
    """Exponential backoff with full jitter's upper half: 5 s, 20 s, 80 s ... at most 5 min, times 0.5..1.

    `failed_attempts` counts from 1; `jitter` is a random number of 0..1, given so that this stays pure. Spreading
    retries over half of the interval keeps the jobs of one outage from returning in the same second.
    """
    full: float = min(CAP_SECONDS, BASE_SECONDS * 4.0 ** (failed_attempts - 1))
    return full * (0.5 + 0.5 * jitter)
