"""The token key of a running stack: created once, readable by its owner only, and used by every command."""

import os
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from infrastructure.embedded.stack_file import HOME_VARIABLE, Stack, acquire_lock, read_stack, token_key, write_stack
from infrastructure.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))


def keys() -> list[str]:
    return [key.get_secret_value() for key in load_settings().token_encryption_keys]


def test_the_key_is_created_once_and_kept(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        key = token_key(tmp_path)
    finally:
        os.umask(before)
    Fernet(key)
    assert token_key(tmp_path) == key
    assert (tmp_path / "token.key").stat().st_mode & 0o777 == 0o600
    assert token_key(tmp_path.parent) != key
    assert [path.name for path in tmp_path.iterdir()] == ["token.key"]
    (tmp_path.parent / "token.key").unlink()


def test_the_key_of_the_stack_precedes_the_keys_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine, other = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    stack = Stack(database_url="postgresql://h/d", redis_url="redis://h", pids={}, token_key=mine)
    lock = acquire_lock(tmp_path)
    assert lock is not None
    try:
        write_stack(tmp_path, stack)
        assert keys() == [mine]
        monkeypatch.setenv("TOKEN_ENCRYPTION_KEYS", other)
        assert keys() == [mine, other]
        monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/d")
        monkeypatch.setenv("REDIS_URL", "redis://elsewhere")
        assert keys() == [other]  # the stack's key is only for the stack's servers
    finally:
        os.close(lock)


def test_a_stack_file_of_an_older_version_has_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    lock = acquire_lock(tmp_path)
    assert lock is not None
    try:
        (tmp_path / "stack.json").write_text(
            '{"database_url": "postgresql://h/d", "redis_url": "redis://h", "pids": {}}'
        )
        assert keys() == []
        stack = read_stack(tmp_path)
        assert stack is not None
        assert stack.token_key == ""
    finally:
        os.close(lock)
