"""`vibe8 tag`: the tags of a run."""

from collections.abc import Sequence

from domain.errors import InvalidInputError
from domain.tags import parse_tags, tag_lines
from worker.cli.commands.jobs.jobs import client_and_user
from worker.cli.exit_codes import DONE
from worker.cli.output.writer import OutputWriter


async def tag(
    email: str, prefix: str, *, add: Sequence[str], remove: Sequence[str], clear: bool, output: OutputWriter
) -> int:
    """Change the tags of the run as the options say, and show those that it has then."""
    if clear and remove:
        raise InvalidInputError("--clear removes all tags, --remove some; use either")
    added, removed = parse_tags(add), parse_tags(remove)
    async with client_and_user(email, lazy_redis=True) as (client, user_id):
        run_id = await client.find_run_id(user_id, prefix)
        if clear:
            tags = await client.tags.set(user_id, run_id, added)
        else:
            tags = await client.tags.remove(user_id, run_id, removed)
            tags = await client.tags.add(user_id, run_id, added)
    if output.as_json:
        output.print_json({"run_id": str(run_id), "tags": tags})
    else:
        for line in tag_lines(tags):
            output.print_line(line)
    return DONE
