"""All kinds of things that belong to users, and the calls that are about none."""

from tests.hostile.owners.evaluation_cases import EVALUATIONS
from tests.hostile.owners.job_cases import JOBS, RUNS
from tests.hostile.owners.key_cases import KEYS, SESSIONS
from tests.hostile.owners.report_cases import REPORTS
from tests.hostile.owners.repository_cases import REPOSITORIES
from tests.hostile.owners.world import Call

SUBJECTS = {
    "jobs": JOBS,
    "runs": RUNS,
    "keys": KEYS,
    "sessions": SESSIONS,
    "evaluations": EVALUATIONS,
    "repositories": REPOSITORIES,
    "reports": REPORTS,
}

THING_CALLS = {name: call for subject in SUBJECTS.values() for name, call in subject.calls.items()}
OWN_CALLS: dict[str, Call] = {
    "delete_user": lambda client, user, _: client.delete_user(user),
    "projects.list": lambda client, user, _: client.projects.list(user),
    "projects.of_urls": lambda client, user, _: client.projects.of_urls(user, ["https://github.com/owner/repo"]),
    **{name: call for subject in SUBJECTS.values() for name, call in subject.own.items()},
}
CALLS_BY_PREFIX = {"find_job_id", "find_run_id", "evaluations.find_id", "repositories.find_id"}
CALLS_WITHOUT_OWNER = {
    "open",
    "get_or_create_user",  # the caller has authenticated the user
    "for_request",  # the same client, with an address for its entries in the audit log
    "webhook_secrets",  # derived from the id, without reading any data
    "reports.view",  # for anyone who has the code
    "reports.admit",
    "reports.badge",
    "keys.authenticate",  # says whose key it is
    "sessions.check_link",  # these take a secret of the user's, not the user's id
    "sessions.begin_by_link",
    "sessions.begin_by_key",
    "sessions.identify",
    "sessions.end",
    "repositories.receive_hook",  # its signature says that the repository's host sent it
}
QUERIES = (
    *(subject.query for subject in SUBJECTS.values()),
    "SELECT t::text FROM daily_usage AS t WHERE user_id = :id ORDER BY day",
    "SELECT t::text FROM user_repository_follows AS t WHERE user_id = :id ORDER BY repository_id",
    "SELECT t::text FROM usage_tracking AS t WHERE user_id = :id ORDER BY month_year",
    "SELECT t::text FROM users AS t WHERE id = :id",
    "SELECT t::text FROM audit_logs AS t WHERE user_id = :id ORDER BY id",
)
