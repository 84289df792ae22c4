"""`vibe8 findings`: the findings of a run, filtered."""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TypeVar

from domain.errors import InvalidInputError
from domain.findings.roles import Role
from domain.findings.selection import LISTED_STATES, FindingFilter
from domain.findings.severity import SEVERITIES, FindingSeverity
from domain.findings.states import FindingState
from domain.text import one_line
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.runs.findings import show_findings
from worker.cli.output.writer import OutputWriter
from worker.client import FindingPage, finding_page_to_json

Choice = TypeVar("Choice", bound=StrEnum)
ALL_ROLES = "all"


def parse_filter(
    *, states: Sequence[str], severity: str | None, metrics: Sequence[str], path: str | None, roles: Sequence[str]
) -> FindingFilter:
    """Return the filter of the command's options; each may be given several times, or with commas.

    Raises InvalidInputError, which names what an option accepts.
    """
    return FindingFilter(
        states=frozenset(_choices("--state", _words(states), LISTED_STATES, FindingState)),
        severity=_severity(severity),
        metrics=frozenset(_words(metrics)),
        path=path,
        roles=parse_roles(roles),
    )


def parse_roles(values: Sequence[str]) -> frozenset[Role]:
    """Return the roles of the option --role: source if not given, none for `all`. Raises InvalidInputError."""
    named = _words(values)
    if named == [ALL_ROLES]:
        return frozenset()
    return frozenset(_choices("--role", named, (*Role, ALL_ROLES), Role)) or frozenset({Role.SOURCE})


def _words(values: Sequence[str]) -> list[str]:
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def _severity(value: str | None) -> FindingSeverity:
    """Return the least severity of `medium` or `medium+`, which mean the same."""
    words = [] if value is None else [value.removesuffix("+")]
    return next(iter(_choices("--severity", words, SEVERITIES, FindingSeverity)), FindingSeverity.INFO)


def _choices(option: str, words: Sequence[str], accepted: Sequence[str], kind: type[Choice]) -> list[Choice]:
    for word in words:
        if word not in accepted:
            hint = "; `vibe8 compare` lists what is fixed" if word == FindingState.FIXED else ""
            raise InvalidInputError(f"{option} must be {_listed(accepted)}, not {one_line(word, 40)!r}{hint}")
        if word not in list(kind):
            raise InvalidInputError(f"{option} {word} goes with no other value")
    return [kind(word) for word in words]


def _listed(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


async def findings(
    email: str, prefix: str, chosen: FindingFilter, *, limit: int, after: int | None, output: OutputWriter
) -> int:
    """List the findings of a run that pass the filter, in the run's order, at most `limit`."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        run_id = await client.find_run_id(user_id, prefix)
        found: list[FindingPage] = []
        while True:
            page = await client.list_findings(
                user_id,
                run_id,
                states=chosen.states,
                severity=chosen.severity,
                metrics=chosen.metrics,
                path=chosen.path,
                roles=chosen.roles,
                limit=limit - sum(len(each.findings) for each in found),
                after=found[-1].next if found else after,
            )
            found.append(page)
            if page.next is None or sum(len(each.findings) for each in found) >= limit:
                break
    document = finding_page_to_json(replace(found[-1], findings=[item for each in found for item in each.findings]))
    if output.as_json:
        output.print_json(document)
    else:
        show_findings(output.console, document)
    return DONE
