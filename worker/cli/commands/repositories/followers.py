"""`vibe8 repo follow` and `unfollow`."""

from domain.tracking.follows import FollowSettings, FollowWhen
from worker.cli.commands.repositories.tracking import client_and_repository
from worker.cli.exit_codes import DONE
from worker.cli.output.writer import OutputWriter
from worker.client import follow_to_json


async def follow(email: str, named: str, when: FollowWhen, notify_url: str | None, output: OutputWriter) -> int:
    """Follow a repository."""
    settings = FollowSettings(when=when, notify_url=notify_url)
    async with client_and_repository(email, named) as (client, user_id, repository_id):
        followed = await client.repositories.follow(user_id, repository_id, settings)
    if output.as_json:
        output.print_json(follow_to_json(followed))
    else:
        told = "is never told" if when is FollowWhen.NEVER else f"is told at {notify_url}: {when}"
        output.print_line(f"{email} follows {repository_id}, and {told}")
    return DONE


async def unfollow(email: str, named: str, output: OutputWriter) -> int:
    """Follow a repository no longer."""
    async with client_and_repository(email, named) as (client, user_id, repository_id):
        await client.repositories.unfollow(user_id, repository_id)
    if output.as_json:
        output.print_json({"user_id": str(user_id), "repository_id": str(repository_id), "followed": False})
    else:
        output.print_line(f"{email} no longer follows {repository_id}")
    return DONE
