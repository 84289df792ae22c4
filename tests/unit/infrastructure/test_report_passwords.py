"""Hashes of the passwords of shared reports."""

import subprocess
import sys

AT_ONCE = """
import asyncio
from infrastructure.redis import report_passwords
report_passwords.MEMORY_KIB = 64
stored = report_passwords._hash(b"right")
async def main():
    checks = (asyncio.to_thread(report_passwords._matches, each, stored) for each in (b"right", b"wrong") * 50)
    assert await asyncio.gather(*checks) == [True, False] * 50
asyncio.run(main())
"""


def test_passwords_that_are_checked_at_once_neither_fail_nor_wait_for_ever() -> None:
    # In a process of its own: threads that wait for ever would keep this one from its end.
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
