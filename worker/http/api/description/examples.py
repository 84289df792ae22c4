"""Examples of requests and answers in the description of the API. A test holds each against its schema."""

from collections.abc import Mapping

from domain.text import JSON

_JOB_ID = "5f0c1d6e7a8b4c3d9e2f10a1b2c3d4e5"
_RUN_ID = "9c41a7d2-6a3b-4b5e-8f10-2c3d4e5f6a7b"
_TIME = "2026-12-01T09:30:00+00:00"

JOB: Mapping[str, JSON] = {
    "job_id": _JOB_ID,
    "status": "pending",
    "source": "https://github.com/psf/requests",
    "source_kind": "github",
    "source_metadata": {
        "git_repo_url": "https://github.com/psf/requests",
        "git_branch": "main",
        "project_name": None,
        "author_type": None,
        "author_model": None,
        "has_token": False,  # nosec B105 # no password
    },
    "result_run_id": None,
    "error_message": None,
    "attempt": 0,
    "attempt_errors": [],
    "stage": None,
    "progress": 0,
    "created_at": _TIME,
    "started_at": None,
    "finished_at": None,
    "updated_at": _TIME,
    "run_after": _TIME,
    "cancel_requested_at": None,
    "refunded_at": None,
    "worker_id": None,
    "notify_url": None,
    "options": {},
}
_KEY: Mapping[str, JSON] = {
    "id": "1b2c3d4e-5f60-4718-8293-a4b5c6d7e8f9",
    "name": "ci",
    "prefix": "k3j2h4g5f6d7",
    "permissions": ["read", "submit"],
    "rate_limit": 1000,
    "last_used": None,
    "expires_at": None,
    "is_active": True,
    "created_at": _TIME,
}

EXAMPLES: Mapping[str, JSON] = {
    "job": JOB,
    "job_page": {"jobs": [JOB], "next": None},
    "run_tags": {"run_id": _RUN_ID, "tags": {"domain": ["web"]}},
    "api_key": _KEY,
    "created_key": {**_KEY, "key": "v8_k3j2h4g5f6d7_" + "A" * 43},
    "key_list": {"keys": [_KEY]},
    "queue": {
        "paused": False,
        "counted_seconds_ago": 4.2,
        "overdue_checks": 0,
        "queue": {"pending": {"jobs": 12, "oldest_seconds": 31.5}, "running": {"jobs": 4, "oldest_seconds": 12.0}},
    },
    "pause": {"paused": True, "changed": True},
    "draining": {"draining": ["host-1a2b3c4d"]},
    "hook_outcome": {"outcome": "checking"},
}
"""By the name of the schema."""

REQUEST_EXAMPLES: Mapping[str, JSON] = {
    "RepositoryJob": {
        "repository": {"url": "https://github.com/psf/requests", "branch": "main"},
        "project_name": "requests",
    },
    "NewKey": {"name": "ci", "permissions": ["read", "submit"]},
    "NewRepository": {"url": "https://github.com/psf/requests", "schedule": "daily"},
    "RepositoryFields": {"schedule": "0 3 * * *"},
    "FollowRequest": {"when": "never"},
    "RunTags": {"tags": {"domain": ["web"]}},
    "NewReport": {"run_id": _RUN_ID, "expires_at": "2027-01-31T00:00:00Z"},
    "DrainOrder": {"worker_id": "host-1a2b3c4d"},
    "NewEvaluation": {
        "name": "Todo apps",
        "items": [
            {"repository": {"url": "https://github.com/a/todo"}, "author_type": "human"},
            {"repository": {"url": "https://github.com/b/todo"}, "author_type": "ai", "author_model": "model-1"},
        ],
    },
}
"""By the name of the model."""
