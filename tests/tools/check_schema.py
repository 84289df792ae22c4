"""`python -m tests.tools.check_schema`: check that migrations create the schema of the tables. For `make check`."""

import asyncio
import sys

from infrastructure.database.connecting import asyncpg_url
from infrastructure.database.migrate import downgrade, schema_differences, upgrade
from infrastructure.embedded.stack import EmbeddedStack
from tests.fixtures.servers import temporary_directory


async def differences(address: str) -> list[str]:
    """Return one line for each difference, after an upgrade, a downgrade to nothing and another upgrade."""
    url = asyncpg_url(address)
    await upgrade(url)
    await downgrade(url, "base")
    await upgrade(url)
    return await schema_differences(url)


def main() -> int:
    with temporary_directory() as directory, EmbeddedStack(directory, durable=False) as stack:
        found = asyncio.run(differences(stack.database_url))
    for line in found:
        sys.stderr.write(f"the migrations and infrastructure/database/tables differ: {line}\n")
    if not found:
        sys.stdout.write("Schema: migrations (up, down, up again) and infrastructure/database/tables agree.\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
