import os
from pathlib import Path

import pytest

from domain.errors import InvalidInputError, ServiceUnavailableError
from infrastructure.database.connecting import sqlalchemy_url
from infrastructure.embedded.stack_file import (
    HOME_VARIABLE,
    Stack,
    acquire_lock,
    remove_stack,
    running_stack,
    write_stack,
)
from infrastructure.settings import Settings, load_settings, misspelt_settings

URLS = {"DATABASE_URL": "postgresql://u:db-secret@h/d", "REDIS_URL": "redis://:redis-secret@h/0"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.chdir(tmp_path)


def set_all(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def test_defaults_match_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, **URLS)
    settings = load_settings()
    assert settings.model_dump(include=set(DEFAULTS)) == DEFAULTS


DEFAULTS = {
    "db_pool_size": 5,
    "db_max_overflow": 10,
    "db_pooler": "none",
    "arq_max_jobs": 20,
    "arq_job_timeout": 600,
    "arq_keep_result": 0,
    "arq_poll_delay": 0.1,
    "completed_job_retention": 21600,
    "stale_job_threshold": 7200,
    "pending_job_max_age": 86400,
    "max_upload_mb": 5,
    "max_concurrent_jobs_per_user": 5,
    "daily_job_limit_per_user": 100,
    "git_allowed_hosts": ("github.com",),
    "git_ca_bundle": None,
    "package_index_url": None,
    "max_zip_entries": 10000,
    "max_inflated_mb": 200,
    "max_zip_ratio": 200,
    "max_clone_mb": 1024,
    "max_tree_files": 50000,
    "max_file_kb": 2048,
    "analysis_memory_mb": 2048,
    "collector_timeout": 120,
    "run_retention_days": None,
    "token_encryption_keys": (),
    "token_ttl": 7200,
}


def test_error_names_every_invalid_setting_and_repeats_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(
        monkeypatch,
        DATABASE_URL="mysql://u:hunter2@h/d",
        REDIS_URL="http://:hunter2@h",
        ARQ_MAX_JOBS="hunter2",
        MAX_UPLOAD_MB="0",
        LOG_FORMAT="hunter2",
    )
    with pytest.raises(InvalidInputError) as caught:
        load_settings()
    line = str(caught.value)
    assert line.startswith("settings: ")
    for name in ("DATABASE_URL", "REDIS_URL", "ARQ_MAX_JOBS", "MAX_UPLOAD_MB", "LOG_FORMAT"):
        assert f"{name}: " in line
    assert "hunter2" not in line
    assert "\n" not in line
    assert caught.value.__cause__ is None


def test_limits_of_tiers_are_those_of_the_other_settings_but_for_what_they_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_all(monkeypatch, **URLS, MAX_CONCURRENT_JOBS_PER_USER="7", MAX_UPLOAD_MB="2")
    assert load_settings().plans.of("free").unfinished_jobs == 7
    monkeypatch.setenv("TIER_LIMITS", '{"free": {"unfinished_jobs": null}, "pro": {"upload_mb": 30}}')
    plans = load_settings().plans
    assert (plans.of("free").unfinished_jobs, plans.of("free").jobs_per_day) == (None, 100)
    assert (plans.of("free").upload_mb, plans.of("pro").upload_mb) == (2, 30)
    for wrong in ('{"gold-hunter2": {}}', '{"pro": {"hunter2": 1}}', "hunter2", '{"pro": {"repositories": "hunter2"}}'):
        monkeypatch.setenv("TIER_LIMITS", wrong)
        with pytest.raises(InvalidInputError, match=r"^settings: TIER_LIMITS: [^\n]*$") as caught:
            load_settings()
        assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("TIER_LIMITS", "")
    assert load_settings().plans.of("free").unfinished_jobs == 7


def test_representations_of_settings_contain_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, **URLS, REDIS_PASSWORD="redis-secret", TOKEN_ENCRYPTION_KEYS="key-secret,other-secret")
    settings = load_settings()
    for shown in (repr(settings), str(settings), settings.model_dump_json(), str(sqlalchemy_url(settings))):
        assert not any(value in shown for value in ("db-secret", "redis-secret", "key-secret", "other-secret"))
    assert [key.get_secret_value() for key in settings.token_encryption_keys] == ["key-secret", "other-secret"]


def test_lists_are_split_at_commas_and_hosts_are_lowercased(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, **URLS, GIT_ALLOWED_HOSTS=" GitHub.com, git.example.org:8443 ,,")
    assert load_settings().git_allowed_hosts == ("github.com", "git.example.org:8443")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:p@h:6543/d", "postgresql+asyncpg://u:***@h:6543/d"),
        ("postgres://u@h/d", "postgresql+asyncpg://u@h/d"),
        ("postgresql+asyncpg://h/d", "postgresql+asyncpg://h/d"),
        ("postgresql://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=%2Frun%2Fpg"),
        ("postgresql://h/d?sslmode=require&application_name=x", "postgresql+asyncpg://h/d?ssl=require"),
    ],
)
def test_valid_database_url_is_accepted(monkeypatch: pytest.MonkeyPatch, url: str, shown: str) -> None:
    set_all(monkeypatch, **URLS | {"DATABASE_URL": url})
    assert str(sqlalchemy_url(load_settings())) == shown


@pytest.mark.parametrize(
    "url",
    [
        "nonsense-secret",
        "postgresql://secret@h",
        "postgresql:///secret",
        "postgresql://u:se@cret@h/d",
        "postgresql://h/d?secret=1",
        "postgresql://h:secret/d",
        "postgresql+psycopg://u:secret@h/d",
    ],
)
def test_invalid_database_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    set_all(monkeypatch, **URLS | {"DATABASE_URL": url})
    with pytest.raises(InvalidInputError, match="DATABASE_URL: ") as caught:
        load_settings()
    assert "cret@h" not in str(caught.value)
    if "?" not in url:
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["secret", "redis://", "redis://h:secret", "http://h", "redis://h:99999", "redis://h/x", "unix://"]
)
def test_invalid_redis_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    set_all(monkeypatch, **URLS | {"REDIS_URL": url})
    with pytest.raises(InvalidInputError, match="REDIS_URL: must look like") as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_redis_url_is_built_from_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, DATABASE_URL=URLS["DATABASE_URL"], REDIS_HOST="h", REDIS_PORT="7000", REDIS_DB="2")
    set_all(monkeypatch, REDIS_PASSWORD="p@ss/word")
    assert load_settings().redis_dsn().get_secret_value() == "redis://:p%40ss%2Fword@h:7000/2"


def test_redis_url_takes_precedence_over_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, **URLS, REDIS_HOST="other")
    assert load_settings().redis_dsn().get_secret_value() == URLS["REDIS_URL"]


@pytest.mark.parametrize(("given", "missing"), [("DATABASE_URL", "REDIS_URL"), ("REDIS_URL", "DATABASE_URL")])
def test_one_service_without_the_other_is_refused(monkeypatch: pytest.MonkeyPatch, given: str, missing: str) -> None:
    monkeypatch.setenv(given, URLS[given])
    with pytest.raises(InvalidInputError, match=f"{missing} is not set"):
        load_settings()


def test_error_without_services_says_what_to_do() -> None:
    with pytest.raises(ServiceUnavailableError, match="vibe8 up"):
        load_settings()
    without = load_settings(need_services=False)
    for get_url in (without.postgresql_dsn, without.redis_dsn):
        with pytest.raises(ServiceUnavailableError, match="vibe8 up"):
            get_url()


def test_running_stack_is_used_unless_the_environment_names_services(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stack = Stack(database_url="postgresql://stack/d", redis_url="redis://stack", pids={"postgresql": 1})
    lock = acquire_lock(tmp_path)
    assert lock is not None
    try:
        write_stack(tmp_path, stack)
        assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600
        assert sqlalchemy_url(load_settings()).host == "stack"
        assert load_settings().redis_dsn().get_secret_value() == "redis://stack"
        set_all(monkeypatch, **URLS)
        assert sqlalchemy_url(load_settings()).host == "h"
    finally:
        os.close(lock)


def test_file_of_a_dead_stack_is_ignored(tmp_path: Path) -> None:
    lock = acquire_lock(tmp_path)
    assert lock is not None
    write_stack(tmp_path, Stack(database_url="postgresql://stack/d", redis_url="redis://stack", pids={}))
    assert running_stack() is not None
    assert acquire_lock(tmp_path) is None  # only one holder at a time
    os.close(lock)  # as the kernel does when the holder ends
    assert running_stack() is None
    with pytest.raises(ServiceUnavailableError):
        load_settings()


@pytest.mark.parametrize("content", ["", "nonsense", "[]", '{"database_url": "x"}', "\x00"])
def test_damaged_stack_file_is_ignored(tmp_path: Path, content: str) -> None:
    lock = acquire_lock(tmp_path)
    assert lock is not None
    (tmp_path / "stack.json").write_text(content)
    assert running_stack() is None
    for _ in range(2):
        remove_stack(tmp_path)
        assert not (tmp_path / "stack.json").exists()
    os.close(lock)


def test_dotenv_file_in_the_working_directory_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    set_all(monkeypatch, **URLS)
    (tmp_path / ".env").write_text("ARQ_MAX_JOBS=1\n")
    assert load_settings().arq_max_jobs == 20


def test_variable_with_the_prefix_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    set_all(monkeypatch, **URLS, LOG_LEVEL="nonsense of another program", VIBE8_LOG_LEVEL="error", ARQ_MAX_JOBS="3")
    settings = load_settings()
    assert (settings.log_level, settings.arq_max_jobs) == ("error", 3)
    set_all(monkeypatch, VIBE8_GIT_ALLOWED_HOSTS="a.example, b.example", GIT_ALLOWED_HOSTS="c.example")
    assert load_settings().git_allowed_hosts == ("a.example", "b.example")


def test_default_scratch_directory_is_each_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getuid", lambda: 1001)
    first = Settings().scratch_dir
    monkeypatch.setattr("os.getuid", lambda: 1002)
    assert Settings().scratch_dir != first
    assert first.name == "vibe8-1001"


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (["PATH", "HOME", "DATABASE_URL", "VIBE8_LOG_LEVEL", "VIBE8_HOME"], ""),
        (["ARQ_MAX_JOB"], "ARQ_MAX_JOB (did you mean ARQ_MAX_JOBS?)"),
        (["VIBE8_SCRATCH_DIRS", "VIBE8_X"], "VIBE8_SCRATCH_DIRS (did you mean SCRATCH_DIR?), VIBE8_X"),
    ],
)
def test_variables_that_no_setting_reads_are_named(names: list[str], line: str) -> None:
    assert misspelt_settings(names) == line
