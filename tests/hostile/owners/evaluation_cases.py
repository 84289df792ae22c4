"""Evaluations: the first user's have ended, the second one's are open."""

import uuid
from typing import Any
from uuid import UUID

from tests.hostile.owners.world import Subject, World
from worker.client import Client, EvaluationFormat, EvaluationItem, UploadSubmission


async def submit_evaluation(client: Client, owner: UUID, _: Any = None) -> Any:
    items = [
        EvaluationItem(
            source=UploadSubmission(filename=f"{author_type}.py", content=f"by = '{author_type}'\n".encode()),
            author_type=author_type,
            author_model="a model",
        )
        for author_type in ("human", "ai")
    ]
    return await client.evaluations.submit(owner, name="mine", items=items)


async def make_evaluation(world: World, owner: UUID) -> UUID:
    evaluation = await submit_evaluation(world.client, owner)
    completed, other = (member.declared.job_id for member in evaluation.members)
    await world.complete(completed)
    if owner == world.users[0]:
        await world.fail(other)
    evaluation_id: UUID = evaluation.summary.evaluation_id
    return evaluation_id


EVALUATIONS = Subject(
    make=make_evaluation,
    unknown=uuid.uuid4,
    calls={
        "evaluations.get": lambda client, user, evaluation: client.evaluations.get(user, evaluation),
        "evaluations.results": lambda client, user, evaluation: client.evaluations.results(user, evaluation),
        "evaluations.export": lambda client, user, evaluation: client.evaluations.export(
            user, evaluation, EvaluationFormat.CSV
        ),
        "evaluations.cancel": lambda client, user, evaluation: client.evaluations.cancel(user, evaluation),
        "evaluations.delete": lambda client, user, evaluation: client.evaluations.delete(user, evaluation),
    },
    own={
        "evaluations.submit": submit_evaluation,
        "evaluations.list": lambda client, user, _: client.evaluations.list(user),
    },
    query="SELECT t::text FROM evaluation_runs AS t WHERE user_id = :id ORDER BY id",
)
