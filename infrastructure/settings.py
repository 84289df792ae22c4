"""Every setting, its environment variable and its default. Nothing is read from files in the working directory.

Errors name the variable and say what is wrong with it; they never repeat a value, since it may be a secret.
"""

import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from domain.errors import InvalidInputError, ServiceUnavailableError
from infrastructure.embedded.stack_file import Stack, running_stack
from infrastructure.service_urls import parse_database_url, validate_redis_url

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
MIN_SECRET_LENGTH = 32

PositiveSeconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """The settings of one process; field names in upper case are the environment's names.

    Sizes are in the unit that the name ends in (MB and KB are powers of 1024), times in seconds.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=False, hide_input_in_errors=True)

    database_url: SecretStr | None = None
    """Where PostgreSQL is: `postgresql://user:password@host:5432/database`, with `?sslmode=require` for TLS."""
    db_pool_size: PositiveInt = 5
    """Connections to PostgreSQL that a process keeps."""
    db_max_overflow: NonNegativeInt = 10
    """Connections to PostgreSQL that a process opens beyond these while it needs them."""

    redis_url: SecretStr | None = None
    """Where Redis is: `redis://:password@host:6379/0`, or `rediss://` for TLS; wins over the four below."""
    redis_host: str | None = None
    """Redis's host, where there is no `REDIS_URL`."""
    redis_port: Annotated[int, Field(gt=0, lt=65536)] = 6379
    """Redis's port, where there is no `REDIS_URL`."""
    redis_password: SecretStr | None = None
    """Redis's password, where there is no `REDIS_URL`."""
    redis_db: NonNegativeInt = 0
    """Redis's numbered database, where there is no `REDIS_URL`."""

    arq_max_jobs: PositiveInt = 20
    """Jobs that a worker works on at once. CPU-heavy children are bounded by its cores, whatever this says."""
    arq_job_timeout: PositiveInt = 600
    """Seconds that fetching may take, and again that collecting may take; then the attempt has failed."""
    arq_keep_result: NonNegativeInt = 0
    """Seconds that ARQ keeps a wake-up's result (`arq:result:*`) in Redis. It is always empty, and nothing reads it."""
    arq_poll_delay: PositiveSeconds = 0.1
    """Seconds between two looks into Redis for a ring."""

    startup_wait: NonNegativeInt | None = None
    """Seconds that a starting worker waits for PostgreSQL, its schema and Redis; unset: for ever; 0: not at all."""
    shutdown_grace: NonNegativeInt = 30
    """After SIGTERM running jobs may finish for this long; then they are handed back."""

    recycle_after_jobs: NonNegativeInt = 1_000
    """A worker starts itself anew after so many jobs; 0: never."""

    min_free_disk_mb: NonNegativeInt = 1_024
    """No job is taken on with less free scratch space than this."""
    min_free_memory_mb: NonNegativeInt = 512
    """No job is taken on with less available memory than this, a container's own limit included."""

    completed_job_retention: PositiveInt = 21_600
    """Seconds after which the clean-up deletes a completed or failed job that nobody has taken; its run stays."""
    stale_job_threshold: PositiveInt = 7_200
    """Seconds after which the clean-up fails a running job without a living lease as `stale`."""
    pending_job_max_age: PositiveInt = 86_400
    """Seconds for which a job may have been due before the clean-up fails it as `stale`."""
    run_retention_days: PositiveInt | None = None
    """Days after which the clean-up deletes a run; unset: never."""

    max_concurrent_jobs_per_user: PositiveInt = 5
    """Unfinished jobs that one user may have."""
    daily_job_limit_per_user: PositiveInt = 100
    """Submissions of one user on one day (UTC)."""

    max_upload_mb: PositiveInt = 5
    """The largest upload, as it was before base64."""
    max_zip_entries: PositiveInt = 10_000
    """Entries that an uploaded archive may have."""
    max_inflated_mb: PositiveInt = 200
    """What an uploaded archive may unpack to in all."""
    max_zip_ratio: PositiveInt = 200
    """How many times its packed size an uploaded archive may unpack to."""
    max_clone_mb: PositiveInt = 1_024
    """What the objects of a clone may take on disk, and again the files written from any source."""
    max_tree_files: PositiveInt = 50_000
    """Python files and manifests that one source may have."""
    max_file_kb: PositiveInt = 2_048
    """A larger file is skipped, with its reason in `completeness`."""

    analysis_memory_mb: PositiveInt = 2_048
    """Address space of each analysing process."""
    collector_timeout: PositiveInt = 120
    """Seconds that one collector may take for a source; then its numbers are null and the others go on."""
    facts_cache_mb: NonNegativeInt = 128
    """What may be kept in Redis about files already analysed, so that the next run need not look at them; 0: nothing.
    Where Redis has a `maxmemory`, half of that is left to the queue in any case."""
    scratch_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()) / "vibe8")
    """Where sources are put while they are analysed; each worker has a directory of its own in it."""
    sandbox: Literal["auto", "required"] = "auto"
    """`required`: refuse to work where this machine cannot keep every promise about the processes that analyse."""

    git_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("github.com",)
    """Git hosts that may be cloned from, as `host` or `host:port`, separated by commas."""
    git_ca_bundle: Path | None = None
    """A file of certificate authorities to trust for git hosts; unset: the system's."""
    package_index_url: SecretStr | None = None
    """The PEP 691 index that is asked for `latest_version`; empty: nothing is looked up."""

    token_encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Fernet keys, separated by commas; the first encrypts, all decrypt. None: private repositories are refused."""
    token_ttl: PositiveInt = 7_200
    """Seconds that a repository's token waits in Redis for its job; then the job fails with `token lost`."""

    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Secrets that notices are signed with, at least 32 characters each, separated by commas: a notice is signed with
    all of them, so that receivers can change over. None: submissions that ask for a notice are refused."""
    webhook_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts, as `host` or `host:port`, separated by commas, that notices may go to also over http and at a private
    address."""

    status_host: str = "127.0.0.1"
    """The address on which a worker answers /livez, /readyz and /metrics; a container needs `0.0.0.0`."""
    status_port: Annotated[int, Field(ge=0, lt=65536)] | None = None
    """The port on which it does; unset: nowhere; 0: any free port, told in the log."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """The least that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: readable lines on a terminal, a JSON object a line elsewhere."""

    @field_validator(
        "git_allowed_hosts", "token_encryption_keys", "webhook_secrets", "webhook_allowed_hosts", mode="before"
    )
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("git_allowed_hosts", "webhook_allowed_hosts")
    @classmethod
    def _lower(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower() for host in value)

    @field_validator("webhook_secrets")
    @classmethod
    def _long_enough(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < MIN_SECRET_LENGTH for secret in value):
            raise ValueError(f"each secret must have at least {MIN_SECRET_LENGTH} characters")
        return value

    @field_validator("log_level", "log_format", "sandbox", mode="before")
    @classmethod
    def _word(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator(
        "database_url",
        "redis_url",
        "redis_host",
        "git_ca_bundle",
        "run_retention_days",
        "startup_wait",
        "status_port",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("database_url")
    @classmethod
    def _readable_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_database_url(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _readable_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            validate_redis_url(value.get_secret_value())
        return value

    def postgresql_dsn(self) -> SecretStr:
        """Where PostgreSQL is. Raises ServiceUnavailableError where the settings name no database."""
        if self.database_url is None:
            raise ServiceUnavailableError(_NO_STACK)
        return self.database_url

    def redis_dsn(self) -> SecretStr:
        """Where Redis is: `REDIS_URL`, or one made of `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD` and `REDIS_DB`.

        Raises ServiceUnavailableError where the settings name no Redis.
        """
        if self.redis_url is not None:
            return self.redis_url
        if self.redis_host is None:
            raise ServiceUnavailableError(_NO_STACK)
        password = "" if self.redis_password is None else self.redis_password.get_secret_value()
        credentials = f":{quote(password, safe='')}@" if password else ""
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        return SecretStr(f"redis://{credentials}{host}:{self.redis_port}/{self.redis_db}")


_NO_STACK = "no PostgreSQL and Redis are named: start them with `vibe8 up`, or set DATABASE_URL and REDIS_URL"


def load_settings(*, need_services: bool = True, need_redis: bool = True) -> Settings:
    """The settings of the environment; where it names no service, those of a running `vibe8 up`.

    Raises InvalidInputError with one line that lists every bad setting, and ServiceUnavailableError where services
    are needed and none is named.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise InvalidInputError(_all_problems(error)) from None
    has_database, has_redis = settings.database_url is not None, bool(settings.redis_url or settings.redis_host)
    if not need_services or (has_database and (has_redis or not need_redis)):
        return settings
    if has_database or has_redis:
        missing = "REDIS_URL" if has_database else "DATABASE_URL"
        raise InvalidInputError(f"settings: {missing} is not set; set both DATABASE_URL and REDIS_URL, or neither")
    stack = running_stack()
    if stack is None:
        raise ServiceUnavailableError(_NO_STACK)
    return _on_stack(settings, stack)


def _on_stack(settings: Settings, stack: Stack) -> Settings:
    """The stack's key comes first: whatever keys this process has, everyone on the stack can decrypt its tokens."""
    keys = [SecretStr(stack.token_key)] if stack.token_key else []
    return settings.model_copy(
        update={
            "database_url": SecretStr(stack.database_url),
            "redis_url": SecretStr(stack.redis_url),
            "token_encryption_keys": (*keys, *settings.token_encryption_keys),
        }
    )


def _all_problems(error: ValidationError) -> str:
    problems = []
    for item in error.errors(include_input=False, include_url=False, include_context=False):
        name = str(item["loc"][0]).upper() if item["loc"] else "?"
        problems.append(f"{name}: {item['msg'].removeprefix('Value error, ')}")
    return "settings: " + "; ".join(problems)
