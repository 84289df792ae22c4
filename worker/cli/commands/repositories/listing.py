"""`vibe8 repo list` and `show`."""

from collections.abc import Sequence

from domain.tags import parse_tags
from domain.tracking.follows import FollowCursor
from domain.tracking.repository import AnalysisStatus, RepositoryCursor
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.commands.repositories.tracking import client_and_repository
from worker.cli.exit_codes import DONE
from worker.cli.output.repositories import show_follows, show_repositories, show_repository, show_trending
from worker.cli.output.writer import OutputWriter
from worker.client import Follow, TrackedRepository, follow_to_json, repository_to_json, trending_to_json


async def list_repositories(
    email: str, status: AnalysisStatus | None, tags: Sequence[str] | None, limit: int, output: OutputWriter
) -> int:
    """List the user's repositories."""
    wanted, found = parse_tags(tags or ()), list[TrackedRepository]()
    after: RepositoryCursor | None = None
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        while len(found) < limit:
            page = await client.repositories.list(
                user_id, status=status, tags=wanted, limit=limit - len(found), after=after
            )
            if not page:
                break
            found += page
            after = page[-1].cursor
    documents = [repository_to_json(each) for each in found]
    if output.as_json:
        output.print_json(documents)
    else:
        show_repositories(output.console, documents)
    return DONE


async def trending(email: str, limit: int, output: OutputWriter) -> int:
    """List the repositories that trend most."""
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        found = await client.repositories.trending(user_id, limit=limit)
    documents = [trending_to_json(each) for each in found]
    if output.as_json:
        output.print_json(documents)
    else:
        show_trending(output.console, documents)
    return DONE


async def followed(email: str, limit: int, output: OutputWriter) -> int:
    """List what the user follows, newest first."""
    found = list[Follow]()
    after: FollowCursor | None = None
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        while len(found) < limit:
            page = await client.repositories.list_followed(user_id, limit=limit - len(found), after=after)
            if not page:
                break
            found += page
            after = page[-1].cursor
    documents = [follow_to_json(each) for each in found]
    if output.as_json:
        output.print_json(documents)
    else:
        show_follows(output.console, documents)
    return DONE


async def show(email: str, named: str, output: OutputWriter) -> int:
    """Show one repository with its numbers."""
    async with client_and_repository(email, named) as (client, user_id, repository_id):
        found = await client.repositories.get(user_id, repository_id)
        statistics = await client.repositories.statistics(user_id, repository_id)
    document = repository_to_json(found, statistics)
    if output.as_json:
        output.print_json(document)
    else:
        show_repository(output.console, document)
    return DONE
