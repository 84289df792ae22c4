"""The exit code that a gate's verdict asks for, and why, on standard error."""

from collections.abc import Mapping

from domain.gate.evaluation import Status, Verdict
from domain.text import JSON
from worker.cli.exit_codes import DONE, FAILED, REJECTED
from worker.cli.output.errors import print_error


def report_verdict(document: Mapping[str, JSON]) -> int:
    """Print why the gate rejects the result, or could not judge it. Returns the exit code.

    A result without a review is a failure: an error must not look like an approval. Without an earlier run to compare
    with, as for the first run of a project, nothing is rejected.
    """
    review = document.get("review")
    if review is None:
        print_error("the gate did not judge this run: it has no review (the worker's log says why)")
        return FAILED
    if review["verdict"] == Verdict.REJECTED:
        first, *others = [answer["reason"] for answer in review["criteria"] if answer["status"] == Status.FAIL]
        more = f" (and {len(others)} more conditions)" if len(others) > 1 else f"; {others[0]}" if others else ""
        print_error(f"rejected by the gate: {first}{more}")
        return REJECTED
    if review["verdict"] == Verdict.NOT_EVALUATED:
        print_error("the gate judged nothing: there is no earlier run to compare with")
    return DONE
