"""The part of an act's own statement that inserts its rows into the audit log: it needs no round trip of its own."""

from domain.audit import Action, Actor, Resource
from domain.text import JSON

BY_OPERATOR = '{"by": "operator"}'


def insert_entries(
    source: str, action: Action, resource_type: Resource, *, user: str, resource: str, details: str = "'{}'::jsonb"
) -> str:
    """Return the SQL that inserts an entry for each row of `source`; the others are expressions over its columns.

    The statement that contains it needs the values of `actor_values`.
    """
    return f"""
        INSERT INTO audit_logs (user_id, action, resource_type, resource_id, details, ip_address, user_agent)
        SELECT {user}, '{action}', '{resource_type}', {resource}, {details} || CAST(:actor_details AS jsonb),
            CAST(CAST(:actor_address AS text) AS inet), CAST(:actor_agent AS text)
        FROM {source}
    """  # nosec B608 # noqa: S608 - no input in it


def actor_values(actor: Actor) -> dict[str, JSON]:
    """Return the values that `insert_entries` needs."""
    return {
        "actor_address": actor.address,
        "actor_agent": actor.user_agent,
        "actor_details": _details(actor),
    }


def _details(actor: Actor) -> str:
    if actor.operator_id is not None:
        return f'{{"by": "operator", "operator_id": "{actor.operator_id}"}}'
    return BY_OPERATOR if actor.operator else "{}"
