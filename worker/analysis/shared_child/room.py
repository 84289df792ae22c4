"""How many child processes a worker's jobs need, where small uploads of one user share them."""

from collections import defaultdict
from collections.abc import Iterable
from uuid import UUID

from domain.jobs import Claim
from domain.sources import SMALL_UPLOAD_BYTES, can_share_child


def children_needed(claims: Iterable[Claim], most: int) -> int:
    """Return the number of children for these jobs, of which at most `most` uploads of one user share one."""
    children = 0
    sizes: defaultdict[UUID, list[int]] = defaultdict(list)
    for claim in claims:
        if claim.upload is not None and can_share_child(claim.job.source_metadata.get("upload_filename")):
            sizes[claim.job.user_id].append(len(claim.upload))
        else:
            children += 1
    for of_user in sizes.values():
        children += max(-(-len(of_user) // most), -(-sum(of_user) // SMALL_UPLOAD_BYTES))
    return children
