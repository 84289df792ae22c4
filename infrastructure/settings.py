"""All settings, with their environment variables and defaults. No file in the working directory is read.

Errors name the variable and say what is wrong with it. They never repeat the value, because it may be a secret.
"""

import difflib
import ipaddress
import os
import re
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from domain.errors import InvalidInputError, ServiceUnavailableError
from domain.plans import MAX_UPLOAD_MB, Plans, default_plans, parse_plans
from infrastructure.embedded.stack_file import Stack, running_stack
from infrastructure.service_urls import parse_database_url, validate_redis_url

PositiveInt = Annotated[int, Field(gt=0)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]

MIN_SECRET_LENGTH = 32
"""Characters that each of `WEBHOOK_SECRETS` must have at least."""

PREFIX = "VIBE8_"
"""Prefix of the environment variables that win over those without one."""

OTHER_VARIABLES = frozenset({"VIBE8_HOME", "VIBE8_GIT_TOKEN", "VIBE8_FAILPOINTS", "VIBE8_FUZZ", "VIBE8_VERSION"})
"""Variables with the prefix that other modules or the Makefile read."""

SIMILARITY = 0.9
"""Least ratio of `difflib` between a variable's name and a setting's for it to count as misspelt."""

_HTTP_LISTS = ("http_allowed_hosts", "http_trusted_proxies", "http_operators", "http_cors_origins")


class Settings(BaseSettings):
    """Settings of one process; each field's name in upper case is its environment variable.

    The same name after `VIBE8_` wins over it: an application that has a `LOG_LEVEL` of its own sets `VIBE8_LOG_LEVEL`.
    Sizes are in the unit at the end of the name (MB and KB are powers of 1024). Times are in seconds.
    """

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=False, hide_input_in_errors=True)

    database_url: SecretStr | None = None
    """URL of PostgreSQL: `postgresql://user:password@host:5432/database`, with `?sslmode=require` for TLS."""
    db_pool_size: PositiveInt = 5
    """Connections to PostgreSQL that a process keeps open."""
    db_max_overflow: NonNegativeInt = 10
    """Additional connections to PostgreSQL that a process opens under load and closes afterwards; `vibe8 serve` keeps
    them."""
    db_pooler: Literal["none", "transaction"] = "none"
    """`transaction`: `DATABASE_URL` is the address of PgBouncer, or of another pooler, that lends a connection to
    PostgreSQL for one transaction. `vibe8 migrate` needs PostgreSQL's own address and `none`."""

    redis_url: SecretStr | None = None
    """URL of Redis: `redis://:password@host:6379/0`, or `rediss://` for TLS; overrides the four below."""
    redis_host: str | None = None
    """Host of Redis, if `REDIS_URL` is unset."""
    redis_port: Annotated[int, Field(gt=0, lt=65536)] = 6379
    """Port of Redis, if `REDIS_URL` is unset."""
    redis_password: SecretStr | None = None
    """Password of Redis, if `REDIS_URL` is unset."""
    redis_db: NonNegativeInt = 0
    """Number of the Redis database, if `REDIS_URL` is unset."""

    arq_max_jobs: PositiveInt = 20
    """Upper limit of the jobs that a worker runs at a time, which is otherwise the number of its cores and two more.
    Small uploads of one user that may share a child process (`SHARE_CHILD_JOBS`) count as one job."""
    arq_job_timeout: PositiveInt = 600
    """Time limit in seconds for fetching, and the same again for collecting. An attempt that exceeds it fails."""
    arq_keep_result: NonNegativeInt = 0
    """Seconds that ARQ keeps the result of a queue entry (`arq:result:*`) in Redis. It is empty and never read."""
    arq_poll_delay: PositiveSeconds = 0.1
    """Seconds between two polls of the queue in Redis. A wake-up normally arrives without a poll."""

    startup_wait: NonNegativeInt | None = None
    """Seconds that a starting worker waits for PostgreSQL, its schema and Redis; unset: no limit; 0: no wait."""
    shutdown_grace: NonNegativeInt = 30
    """Seconds that running jobs may continue after SIGTERM; then they are requeued."""

    recycle_after_jobs: NonNegativeInt = 1_000
    """Number of jobs after which a worker restarts itself; 0: never."""

    min_free_disk_mb: NonNegativeInt = 1_024
    """A worker starts no job while less scratch space than this is free."""
    min_free_memory_mb: NonNegativeInt = 512
    """A worker starts no job while less memory than this is available, also within its container's limit."""

    completed_job_retention: PositiveInt = 21_600
    """Seconds after which cleanup deletes a completed or failed job whose result was not taken. Its run stays.
    Workers clean up every six hours; for a shorter time, run `vibe8 cleanup` more often from cron."""
    stale_job_threshold: PositiveInt = 7_200
    """Seconds after which cleanup fails a running job without a valid lease as `stale`."""
    pending_job_max_age: PositiveInt = 86_400
    """Seconds that a pending job may be due before cleanup fails it as `stale`."""
    run_retention_days: PositiveInt | None = None
    """Days after which cleanup deletes a run that is not pinned; unset: never."""
    audit_retention_months: PositiveInt = 12
    """Whole months (UTC) that the audit log is kept. Cleanup drops the partition of a month that ended earlier."""

    max_concurrent_jobs_per_user: PositiveInt = 5
    """Unfinished jobs that one user may have at a time."""
    daily_job_limit_per_user: PositiveInt = 100
    """Jobs that one user may submit in one day (UTC)."""
    tier_limits: str = "{}"
    """Limits of the users of each tier, as JSON such as `{"pro": {"analyses_per_month": 2000, "repositories": null}}`.
    What it does not name keeps its default, and null is unlimited: docs/plans.md lists them. The two limits above, and
    `MAX_UPLOAD_MB`, are those of the tier `free`."""

    max_upload_mb: Annotated[int, Field(gt=0, le=MAX_UPLOAD_MB)] = 5
    """Largest upload, before base64 encoding."""
    max_zip_entries: PositiveInt = 10_000
    """Entries that an uploaded archive may have."""
    max_inflated_mb: PositiveInt = 200
    """Largest total size to which an uploaded archive may unpack."""
    max_zip_ratio: PositiveInt = 200
    """Largest ratio of unpacked to packed size of an uploaded archive."""
    max_clone_mb: PositiveInt = 1_024
    """Largest size of a clone's objects on disk, and also of the files written from any source."""
    max_tree_files: PositiveInt = 50_000
    """Python files and manifests that one source may have."""
    max_file_kb: PositiveInt = 2_048
    """Largest file that is analysed. A larger one is skipped, and `completeness` gives the reason."""

    analysis_memory_mb: PositiveInt = 2_048
    """Limit on the address space of each child process that analyses."""
    collector_timeout: PositiveInt = 120
    """Seconds that one collector may take for a source; then its values are null, and the others continue."""
    facts_cache_mb: NonNegativeInt = 128
    """Size of the cache for facts about analysed files, which later runs reuse; 0: no cache.
    Workers keep it in Redis, `vibe8 analyze` in the user's cache directory. If Redis has a `maxmemory`, the cache takes
    at most half of it and leaves the rest to the queue."""
    share_child_jobs: PositiveInt = 8
    """Uploads of one small `.py` file that may share a child process, if they are of one user and wait for a core at
    the same moment. They can then influence each other's results, never those of another user; 1: no sharing."""
    scratch_dir: Path = Field(default_factory=lambda: Path(tempfile.gettempdir()) / f"vibe8-{os.getuid()}")
    """Directory for sources during analysis. Each worker makes its own subdirectory. It must belong to the user who
    runs the worker; the default has that user's number in its name."""
    sandbox: Literal["auto", "required"] = "auto"
    """`required`: refuse to start if this machine cannot enforce every isolation guarantee for child processes."""

    git_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ("github.com",)
    """Git hosts from which repositories may be cloned: `host` or `host:port`, separated by commas."""
    git_ca_bundle: Path | None = None
    """File with the certificate authorities to trust for git hosts; unset: those of the system."""
    package_index_url: SecretStr | None = None
    """PEP 691 package index that is queried for `latest_version`; empty: no look-ups."""

    token_encryption_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Fernet keys, separated by commas; the first encrypts, all decrypt. None: private repositories are refused."""
    token_ttl: PositiveInt = 7_200
    """Seconds that a repository's token is kept in Redis for its job; after that the job fails with `token lost`."""

    webhook_secrets: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Secrets that sign webhook deliveries, at least 32 characters each, separated by commas. Each delivery is signed
    with all of them, so that receivers can change to a new one. None: submissions with a webhook are refused."""
    webhook_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts to which webhooks may also go over http and at a private address: `host` or `host:port`, separated by
    commas."""

    status_host: str = "127.0.0.1"
    """Address on which a worker serves /livez, /readyz and /metrics; a container needs `0.0.0.0`."""
    status_port: Annotated[int, Field(ge=0, lt=65536)] | None = None
    """Port of that address; unset: nothing is served; 0: any free port, which is logged."""

    http_host: str = "127.0.0.1"
    """Address on which `vibe8 serve` listens; a container needs `0.0.0.0`."""
    http_port: Annotated[int, Field(ge=0, lt=65536)] = 8808
    """Port of that address; 0: any free port, which is logged."""
    http_allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names by which callers reach the service, without port, beside `localhost` and its addresses; `*`: any name.
    Another name is refused, because a page of another site could have given it this machine's address."""
    http_trusted_proxies: Annotated[tuple[str, ...], NoDecode] = ()
    """Addresses or networks of the proxies whose headers about the user and the user's address are believed."""
    http_trusted_user_header: str | None = None
    """Header in which these proxies give the email of the signed-in user, such as `x-forwarded-email`."""
    http_operators: Annotated[tuple[str, ...], NoDecode] = ()
    """Emails of the users who may operate the fleet over HTTP when such a proxy names them."""
    http_cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may call the API from a browser, such as `https://tools.example.org`."""
    http_max_streams: PositiveInt = 1_000
    """Event streams that one process of the service keeps open; each takes an open file and some memory."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Lowest level that is logged."""
    log_format: Literal["auto", "json", "console"] = "auto"
    """`auto`: readable lines on a terminal, otherwise one JSON object per line."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic names it
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return where settings come from, the strongest first: arguments, then variables with and without prefix."""
        return init_settings, EnvSettingsSource(settings_cls, env_prefix=PREFIX), env_settings

    @field_validator(
        "git_allowed_hosts",
        "token_encryption_keys",
        "webhook_secrets",
        "webhook_allowed_hosts",
        *_HTTP_LISTS,
        mode="before",
    )
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("git_allowed_hosts", "webhook_allowed_hosts", *_HTTP_LISTS)
    @classmethod
    def _lower_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(host.lower() for host in value)

    @field_validator("http_trusted_proxies")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ipaddress.ip_network(network)  # the ValueError says what is wrong with it
        return value

    @field_validator("http_trusted_user_header")
    @classmethod
    def _check_header(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*", value):
            raise ValueError("must be a header's name of letters, digits and dashes")
        return None if value is None else value.lower()

    @field_validator("webhook_secrets")
    @classmethod
    def _check_secret_length(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        if any(len(secret.get_secret_value()) < MIN_SECRET_LENGTH for secret in value):
            raise ValueError(f"each secret must have at least {MIN_SECRET_LENGTH} characters")
        return value

    @field_validator("log_level", "log_format", "sandbox", "db_pooler", mode="before")
    @classmethod
    def _normalize_choice(cls, value: Any) -> Any:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator(
        "database_url",
        "redis_url",
        "redis_host",
        "git_ca_bundle",
        "run_retention_days",
        "startup_wait",
        "status_port",
        "http_trusted_user_header",
        mode="before",
    )
    @classmethod
    def _treat_empty_as_unset(cls, value: Any) -> Any:
        return None if value == "" else value

    @field_validator("tier_limits")
    @classmethod
    def _check_tier_limits(cls, value: str) -> str:
        try:
            _plans(value or "{}", 1, 1, 1)
        except InvalidInputError as error:
            raise ValueError(str(error)) from None
        return value or "{}"

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parse_database_url(value.get_secret_value())
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            validate_redis_url(value.get_secret_value())
        return value

    @property
    def plans(self) -> Plans:
        """The limits of all tiers."""
        limits = (self.max_concurrent_jobs_per_user, self.daily_job_limit_per_user, self.max_upload_mb)
        return _plans(self.tier_limits, *limits)

    @property
    def pools_transactions(self) -> bool:
        """Whether a pooler lends the connections to PostgreSQL for one transaction each, so that none is a session."""
        return self.db_pooler == "transaction"

    def postgresql_dsn(self) -> SecretStr:
        """Return the URL of PostgreSQL. Raises ServiceUnavailableError if none is set."""
        if self.database_url is None:
            raise ServiceUnavailableError(_NO_SERVICES)
        return self.database_url

    def redis_dsn(self) -> SecretStr:
        """Return `REDIS_URL`, or a URL made of `REDIS_HOST`, `REDIS_PORT`, `REDIS_PASSWORD` and `REDIS_DB`.

        Raises ServiceUnavailableError if neither `REDIS_URL` nor `REDIS_HOST` is set.
        """
        if self.redis_url is not None:
            return self.redis_url
        if self.redis_host is None:
            raise ServiceUnavailableError(_NO_SERVICES)
        password = "" if self.redis_password is None else self.redis_password.get_secret_value()
        credentials = f":{quote(password, safe='')}@" if password else ""
        host = f"[{self.redis_host}]" if ":" in self.redis_host else self.redis_host
        return SecretStr(f"redis://{credentials}{host}:{self.redis_port}/{self.redis_db}")


@lru_cache(maxsize=64)
def _plans(tier_limits: str, unfinished_jobs: int, jobs_per_day: int, upload_mb: int) -> Plans:
    defaults = default_plans(unfinished_jobs=unfinished_jobs, jobs_per_day=jobs_per_day, upload_mb=upload_mb)
    return parse_plans(tier_limits, defaults)


_NO_SERVICES = "PostgreSQL and Redis are not configured: start them with `vibe8 up`, or set DATABASE_URL and REDIS_URL"


def load_settings(*, need_services: bool = True, need_redis: bool = True) -> Settings:
    """Read the settings from the environment; if it names no service, use the services of a running `vibe8 up`.

    Raises InvalidInputError with one line that lists every invalid setting, and ServiceUnavailableError if services are
    needed and none are configured or running.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise InvalidInputError(_list_problems(error)) from None
    has_database, has_redis = settings.database_url is not None, bool(settings.redis_url or settings.redis_host)
    if not need_services or (has_database and (has_redis or not need_redis)):
        return settings
    if has_database or has_redis:
        missing = "REDIS_URL" if has_database else "DATABASE_URL"
        raise InvalidInputError(_advised(f"settings: {missing} is not set; set DATABASE_URL and REDIS_URL, or neither"))
    stack = running_stack()
    if stack is None:
        raise ServiceUnavailableError(_advised(_NO_SERVICES))
    return _with_stack(settings, stack)


def _advised(message: str) -> str:
    return f"{message}; not read: {misspelt}" if (misspelt := misspelt_settings(os.environ)) else message


def _with_stack(settings: Settings, stack: Stack) -> Settings:
    """Set the services of the stack, and put its token key first.

    The first key encrypts, so every process that uses the stack can decrypt the tokens of this one.
    """
    keys = [SecretStr(stack.token_key)] if stack.token_key else []
    return settings.model_copy(
        update={
            "database_url": SecretStr(stack.database_url),
            "redis_url": SecretStr(stack.redis_url),
            "token_encryption_keys": (*keys, *settings.token_encryption_keys),
        }
    )


def _list_problems(error: ValidationError) -> str:
    return "settings: " + "; ".join(
        f"{str(item['loc'][0]).upper() if item['loc'] else '?'}: {item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    )


def misspelt_settings(names: Iterable[str]) -> str:
    """Return one line about the variables among `names` that no setting reads; empty if there are none.

    A variable with the prefix VIBE8_ counts in any case, one without it only if it resembles a setting.
    """
    settings = [name.upper() for name in Settings.model_fields]
    found = []
    for name in sorted(set(names) - OTHER_VARIABLES):
        bare = name.removeprefix(PREFIX)
        similar = difflib.get_close_matches(bare, settings, n=1, cutoff=SIMILARITY)
        if bare not in settings and (similar or name != bare):
            found.append(f"{name} (did you mean {similar[0]}?)" if similar else name)
    return ", ".join(found)
