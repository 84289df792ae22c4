"""Shared reports: share the report of a run, list and withdraw what was shared, and view it by its code."""

import asyncio
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from domain.audit import Actor
from domain.errors import InvalidInputError, NotFoundError, ReportPasswordError
from domain.plans import Plans
from domain.reports import (
    CODE_ALPHABET,
    CODE_LENGTH,
    MAX_LISTED_REPORTS,
    NO_REPORT,
    ReportCursor,
    ReportRequest,
    SharedReport,
    admission,
    admits,
    encode_password,
    gone,
)
from infrastructure.database.access.reports import ReportRepository, StoredReport
from infrastructure.database.access.usage import UsageRepository
from infrastructure.database.repositories.runs import RunRepository
from worker.client.accounts.ownership import owned_report, owned_run
from worker.client.connections import Connections
from worker.client.runs.shared_documents import shared_badge, shared_html
from worker.export.export_format import ExportFormat


class ReportsClient:
    """Shared reports. `view` and `badge` take a code alone: who has it may read the report."""

    def __init__(self, connections: Connections, plans: Plans, actor: Actor) -> None:
        self._connections, self._database, self._actor = connections, connections.database, actor
        self._plans = plans

    async def create(
        self,
        user_id: UUID,
        run_id: UUID,
        *,
        password: str | None = None,
        expires_at: datetime | None = None,
        max_views: int | None = None,
    ) -> SharedReport:
        """Share the report of a run, and return it with its code. A run may be shared several times.

        Anyone with the code can read the report, without the names of people, until `expires_at`, at most `max_views`
        times, and if there is a `password` only with it. It goes when its run is deleted. Raises InvalidInputError (a
        password of more than MAX_PASSWORD_BYTES, a time that has passed), LimitExceededError (the plan's reports of a
        month), NotFoundError, ForbiddenError.
        """
        now = datetime.now(UTC)
        request = ReportRequest.checked(password=password, expires_at=expires_at, max_views=max_views, now=now)
        async with self._database.autocommit() as work:  # before the password is hashed, which takes long
            owned_run(await RunRepository(work).summary(run_id), user_id)
        hashed = None if request.password is None else await self._connections.report_passwords.hash(request.password)
        code = "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
        async with self._database.unit_of_work() as work:
            usage = UsageRepository(work)
            limits = self._plans.of(await usage.lock_user(user_id))
            report = await ReportRepository(work).create(
                run_id,
                code=code,
                password_hash=hashed,
                expires_at=request.expires_at,
                max_views=request.max_views,
                actor=self._actor,
            )
            await usage.count_report(user_id, limits)
        return report

    async def list(
        self, user_id: UUID, *, limit: int = 50, after: ReportCursor | None = None
    ) -> Sequence[SharedReport]:
        """Return one page of the user's reports, newest first, at most `limit` and MAX_LISTED_REPORTS.

        For the next page, pass the `cursor` of the last report as `after`; an empty page is the end.
        """
        limit = max(1, min(limit, MAX_LISTED_REPORTS))
        async with self._database.autocommit() as work:
            return await ReportRepository(work).list_reports(user_id, limit=limit, after=after)

    async def get(self, user_id: UUID, code: str) -> SharedReport:
        """Return the report with this code. Raises NotFoundError, ForbiddenError."""
        async with self._database.autocommit() as work:
            return owned_report((await ReportRepository(work).find(code)).report, user_id)

    async def withdraw(self, user_id: UUID, code: str) -> SharedReport:
        """Make the code show nothing from now on, and return the report. It stays in the list.

        Nothing changes for a report that is withdrawn already. Raises NotFoundError, ForbiddenError.
        """
        async with self._database.unit_of_work() as work:
            reports = ReportRepository(work)
            found = owned_report((await reports.find(code)).report, user_id)
            await reports.withdraw(found.report_id, self._actor)
            return (await reports.find(code)).report

    async def view(
        self, code: str, password: str | None = None, *, counts: bool = True, admitted: str | None = None
    ) -> bytes:
        """Return the report with this code as an HTML document, in UTF-8. It is the same for every view.

        What `admit` returned is as good as the password. Without `counts` the view is not counted, and a report with a
        maximum is not used up: for HEAD requests, prefetches and previews of links.

        Raises NotFoundError for every code that shows nothing (unknown, withdrawn, or of a deleted run),
        ReportGoneError for one that has expired or was seen as often as it may, ReportPasswordError where a password
        is needed or wrong, TooManyAttemptsError as `admit` does, and ServiceUnavailableError, for a report with a
        password also where only Redis is unreachable.
        """
        stored = await self._open(code)
        if admitted is None or not _is_admitted(stored, admitted):
            await self._check_password(stored, password)
        report_id, run_id = stored.report.report_id, stored.report.run_id
        document = await self._connections.report_documents.get(run_id, lambda: self._document(run_id))
        if counts:
            async with self._database.unit_of_work() as work:
                counted = await ReportRepository(work).count_view(report_id)
            if not counted:
                await self._open(code)
                raise gone("used up")  # it was open again: the clock was set back meanwhile
        return document

    async def admit(self, code: str, password: str) -> str | None:
        """Return a text with which `view` shows the report without its password for READER_HOURS; None if it has none.

        Nothing is counted as a view. Call it on the client of the request (`for_request`), which has the reader's
        address. Raises NotFoundError, ReportGoneError, ReportPasswordError, ServiceUnavailableError, and
        TooManyAttemptsError after WRONG_PASSWORDS wrong ones from an address in a minute, or WRONG_PASSWORDS_OF_ALL
        from all.
        """
        stored = await self._open(code)
        await self._check_password(stored, password)
        return None if stored.password_hash is None else admission(stored.report.code, stored.password_hash, stored.now)

    async def badge(self, code: str, form: ExportFormat = ExportFormat.BADGE) -> bytes:
        """Return the badge of the report with this code: an SVG image, or JSON for an image of shields.io, in UTF-8.

        For a code that shows nothing, or that needs a password, it is a grey one that says `unknown`. Badges are not
        counted as views. Raises InvalidInputError for a form that is no badge.
        """
        if not form.is_badge:
            raise InvalidInputError(f"{form} is no form of a badge")
        async with self._database.autocommit() as work:
            try:
                report = (await ReportRepository(work).find(code)).report
                shown = report.state(datetime.now(UTC)) == "open" and not report.has_password
                run = await RunRepository(work).summary(report.run_id) if shown else None
            except NotFoundError:
                run = None
        return shared_badge(run, form)

    async def _open(self, code: str) -> StoredReport:
        """Return the report. Raises NotFoundError, ReportGoneError."""
        async with self._database.autocommit() as work:
            stored = await ReportRepository(work).find(code)
        if not stored.report.is_public:
            raise NotFoundError(NO_REPORT)
        stored.report.require_open(stored.now)
        return stored

    async def _document(self, run_id: UUID) -> bytes:
        async with self._database.autocommit() as work:
            try:
                run = await RunRepository(work).get(run_id)
            except NotFoundError:
                raise NotFoundError(NO_REPORT) from None  # it has just been deleted
        return await asyncio.to_thread(shared_html, run)

    async def _check_password(self, stored: StoredReport, password: str | None) -> None:
        """Raise ReportPasswordError, TooManyAttemptsError, ServiceUnavailableError."""
        if stored.password_hash is None:
            return
        if password is None:
            raise ReportPasswordError("the report needs a password", given=False)
        wrong = ReportPasswordError("the password is wrong", given=True)
        try:
            encoded = encode_password(password)
        except InvalidInputError:  # no report has such a password, so it is not hashed
            raise wrong from None
        passwords = self._connections.report_passwords
        if not await passwords.matches(stored.report.code, encoded, stored.password_hash, self._actor.address):
            raise wrong


def _is_admitted(stored: StoredReport, text: str) -> bool:
    return stored.password_hash is not None and admits(text, stored.report.code, stored.password_hash, stored.now)
