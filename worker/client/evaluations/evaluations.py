"""Evaluations of users: submit, read, compare, cancel, delete. Each call checks that the evaluation is the user's."""

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from domain.audit import Actor
from domain.errors import IllegalTransitionError
from domain.evaluations.evaluation import Evaluation, EvaluationCursor, EvaluationSummary
from domain.evaluations.results import results_to_json
from domain.text import JSON
from infrastructure.database.evaluations.evaluations import EvaluationRepository
from infrastructure.database.repositories.jobs import JobRepository
from worker.client.accounts.ownership import owned_evaluation
from worker.client.connections import Connections
from worker.client.evaluations.items import CheckedEvaluation, EvaluationItem
from worker.client.jobs.submissions import Submitter
from worker.results.evaluations.evaluation_format import EvaluationFormat
from worker.results.evaluations.forms import export_evaluation

MAX_LISTED_EVALUATIONS = 100


class EvaluationsClient:
    """Evaluations: projects of declared authors, submitted together and compared when all have ended."""

    def __init__(self, connections: Connections, submitter: Submitter, actor: Actor) -> None:
        self._connections, self._submitter, self._actor = connections, submitter, actor
        self._database = connections.database

    async def submit(
        self,
        user_id: UUID,
        *,
        name: str,
        items: Sequence[EvaluationItem],
        description: str = "",
        dataset_name: str = "",
    ) -> Evaluation:
        """Submit all projects as one evaluation, in one transaction, or none.

        Its projects count for the user's limits as other submissions do. At least two authors and at most MAX_AUTHORS
        (`domain.evaluations.authors`), at most MAX_SUBMISSIONS projects, and no source twice. Raises InvalidInputError,
        whose message names the item, LimitExceededError, NotFoundError (no such user), ServiceUnavailableError.
        """
        checked = CheckedEvaluation.of(name, items, description=description, dataset_name=dataset_name)
        await self._submitter.submit(user_id, checked.submissions, checked)
        return await self.get(user_id, checked.evaluation_id)

    async def get(self, user_id: UUID, evaluation_id: UUID) -> Evaluation:
        """Return the evaluation with all its projects: how each ended, or how far it is.

        Raises NotFoundError, ForbiddenError.
        """
        async with self._database.unit_of_work() as work:
            evaluation = await EvaluationRepository(work).get(evaluation_id)
        owned_evaluation(evaluation.summary, user_id)
        return evaluation

    async def find_id(self, user_id: UUID, prefix: str) -> UUID:
        """Return the id of the user's only evaluation whose id begins with `prefix`, with or without dashes.

        A whole id is returned as it is. Raises NotFoundError where none matches, and InvalidInputError where several
        do.
        """
        async with self._database.unit_of_work() as work:
            return await EvaluationRepository(work).find_id(prefix, user_id)

    async def results(self, user_id: UUID, evaluation_id: UUID) -> Mapping[str, JSON]:
        """Return the comparison of the authors; docs/evaluations.md describes the document.

        Raises NotFoundError, ForbiddenError, and IllegalTransitionError until all projects have ended.
        """
        evaluation = await self._ended(user_id, evaluation_id)
        return await asyncio.to_thread(results_to_json, evaluation)

    async def export(self, user_id: UUID, evaluation_id: UUID, export_format: EvaluationFormat) -> bytes:
        """Return the comparison as a document: an HTML page, a CSV table, or JSON. Raises as `results`."""
        document = await self.results(user_id, evaluation_id)
        return await asyncio.to_thread(export_evaluation, document, export_format)

    async def cancel(self, user_id: UUID, evaluation_id: UUID) -> Evaluation:
        """Cancel the projects that have not ended. The evaluation ends with the last of them, within five seconds.

        Raises NotFoundError, ForbiddenError, and IllegalTransitionError for an evaluation that has ended.
        """
        async with self._database.unit_of_work() as work:
            evaluation = await EvaluationRepository(work).get(evaluation_id)
            owned_evaluation(evaluation.summary, user_id)
            if evaluation.summary.status.finished:
                raise IllegalTransitionError(
                    f"the evaluation is {evaluation.summary.status}: there is nothing to cancel"
                )
            job_ids = [member.declared.job_id for member in evaluation.members if not member.outcome.state.finished]
            cancelled = await JobRepository(work).cancel_all(job_ids, self._actor)
        await self._connections.announce_cancelled(cancelled)
        return await self.get(user_id, evaluation_id)

    async def delete(self, user_id: UUID, evaluation_id: UUID) -> None:
        """Delete an evaluation that has ended. Its jobs and runs stay.

        Raises NotFoundError, ForbiddenError, and IllegalTransitionError for one that has not ended: cancel it first.
        """
        async with self._database.unit_of_work() as work:
            evaluations = EvaluationRepository(work)
            owned_evaluation(await evaluations.summary(evaluation_id), user_id)
            if not await evaluations.delete(evaluation_id, self._actor):
                status = (await evaluations.summary(evaluation_id)).status
                raise IllegalTransitionError(f"the evaluation is {status}: cancel it before you delete it")

    async def _ended(self, user_id: UUID, evaluation_id: UUID) -> Evaluation:
        evaluation = await self.get(user_id, evaluation_id)
        if not evaluation.summary.status.finished:
            left = sum(not member.outcome.state.finished for member in evaluation.members)
            raise IllegalTransitionError(
                f"the evaluation is {evaluation.summary.status}: {left} of its {len(evaluation.members)} projects have "
                "not ended"
            )
        return evaluation

    async def list(
        self, user_id: UUID, *, limit: int = 20, after: EvaluationCursor | None = None
    ) -> list[EvaluationSummary]:
        """Return the user's evaluations, newest first, at most `limit` and MAX_LISTED_EVALUATIONS.

        For the next page, pass the `cursor` of the last one as `after`; an empty page is the end. All pages cost the
        same.
        """
        limit = max(1, min(limit, MAX_LISTED_EVALUATIONS))
        async with self._database.unit_of_work() as work:
            return await EvaluationRepository(work).list_evaluations(user_id, limit=limit, after=after)
