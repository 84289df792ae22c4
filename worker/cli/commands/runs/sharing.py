"""`vibe8 share`, `vibe8 shares` and `vibe8 unshare`: reports that others read by a code."""

import sys
from datetime import UTC, datetime, timedelta
from getpass import getpass

from domain.errors import InvalidInputError
from domain.reports import MAX_PASSWORD_BYTES, SharedReport
from infrastructure.service_urls import http_address
from infrastructure.settings import load_settings
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.runs.shares import show_shares
from worker.cli.output.writer import OutputWriter


async def share(
    email: str,
    prefix: str,
    *,
    with_password: bool,
    lifetime: timedelta | None,
    max_views: int | None,
    output: OutputWriter,
) -> int:
    """Share the report of the run, and print its code."""
    password = _read_password() if with_password else None
    expires_at = None if lifetime is None else datetime.now(UTC) + lifetime
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        run_id = await client.find_run_id(user_id, prefix)
        report = await client.reports.create(
            user_id, run_id, password=password, expires_at=expires_at, max_views=max_views
        )
    if output.as_json:
        output.print_json(report.to_json(datetime.now(UTC)))
    else:
        output.print_line(report.code)
        if sys.stdout.isatty():
            settings = load_settings()
            link = f"{http_address(settings.http_host, settings.http_port)}/r/{report.code}"
            print(
                f"{link} shows it while `vibe8 serve` or `vibe8 up` runs; `vibe8 unshare {report.code}` ends that",
                file=sys.stderr,
            )
    return DONE


def _read_password() -> str:
    """Read the password, without the end of its line; on a terminal it is not shown. Raises InvalidInputError."""
    if sys.stdin.isatty():
        return getpass("Password of the report: ")
    data = sys.stdin.buffer.read(MAX_PASSWORD_BYTES + 3)  # one more than the longest with its end of line
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > MAX_PASSWORD_BYTES:
        raise InvalidInputError(f"the password is longer than {MAX_PASSWORD_BYTES} bytes; give a shorter one")
    try:
        password = line.decode()
    except UnicodeDecodeError:
        raise InvalidInputError("the password on standard input is not UTF-8") from None
    if "\n" in password or "\r" in password:
        raise InvalidInputError("standard input has several lines; give the password alone")
    return password


async def shares(email: str, limit: int, output: OutputWriter) -> int:
    """List the user's shared reports, newest first."""
    found: list[SharedReport] = []
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        while len(found) < limit:
            after = found[-1].cursor if found else None
            page = await client.reports.list(user_id, limit=limit - len(found), after=after)
            if not page:
                break
            found += page
    now = datetime.now(UTC)
    if output.as_json:
        output.print_json([report.to_json(now) for report in found])
    else:
        show_shares(output.console, found, now)
    return DONE


async def unshare(email: str, code: str, output: OutputWriter) -> int:
    """Withdraw the report with this code."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        report = await client.reports.withdraw(user_id, code)
    if output.as_json:
        output.print_json(report.to_json(datetime.now(UTC)))
    else:
        output.print_line(f"withdrawn {report.code}")
    return DONE
