"""The subjects of a client that have a class of their own, each an attribute of the client."""

from domain.audit import Actor
from worker.client.accounts.keys import KeysClient
from worker.client.accounts.sessions import SessionsClient
from worker.client.accounts.usage import UsageClient
from worker.client.connections import Connections
from worker.client.evaluations.evaluations import EvaluationsClient
from worker.client.jobs.submissions import Submitter
from worker.client.repositories.repositories import RepositoriesClient
from worker.client.runs.project_list import ProjectsClient
from worker.client.runs.reports import ReportsClient
from worker.client.runs.tags import TagsClient


class Subjects:
    """Base of `Client`: one attribute for each subject, called as `client.keys.create(...)`."""

    keys: KeysClient
    """API keys."""
    sessions: SessionsClient
    """Sessions of people in a browser."""
    projects: ProjectsClient
    """Projects: whatever has been analysed under one name."""
    usage: UsageClient
    """Plans, and what is used of them."""
    tags: TagsClient
    """Tags of runs."""
    reports: ReportsClient
    """Shared reports."""
    evaluations: EvaluationsClient
    """Evaluations: projects of declared authors, compared."""
    repositories: RepositoriesClient
    """Tracked repositories."""

    def __init__(self, connections: Connections, submitter: Submitter, actor: Actor) -> None:
        self.keys = KeysClient(connections, actor)
        self.sessions = SessionsClient(connections, self.keys, actor)
        self.projects = ProjectsClient(connections.database)
        self.usage = UsageClient(connections, submitter.plans)
        self.tags = TagsClient(connections.database, actor)
        self.reports = ReportsClient(connections, submitter.plans, actor)
        self.evaluations = EvaluationsClient(connections, submitter, actor)
        self.repositories = RepositoriesClient(connections, submitter.settings, actor)
