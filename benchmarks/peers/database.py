"""The PostgreSQL of the measurement, as any program reads it."""

import os
from typing import Any

import asyncpg

URL = os.environ.get("DATABASE_URL", "postgresql:///")


async def row(query: str, *arguments: Any) -> Any:
    """Run one statement on a connection of its own, and return its first row."""
    connection = await asyncpg.connect(URL)
    try:
        return await connection.fetchrow(query, *arguments)
    finally:
        await connection.close()


async def execute(statements: str) -> None:
    """Run the statements on a connection of their own."""
    connection = await asyncpg.connect(URL)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


async def has_table(name: str) -> bool:
    """Return whether there is such a table."""
    return (await row("SELECT to_regclass($1)", name))[0] is not None
