"""Client of the HTTP API of vibe8, which measures Python code: blocking (`Client`) and asynchronous (`AsyncClient`).

Types of answers are in `vibe8.models`; exceptions are here and in `vibe8.errors`.
"""

from vibe8.client import AsyncClient, Client
from vibe8.errors import (
    AuthenticationError,
    ConflictError,
    ConnectionFailedError,
    FieldError,
    GoneError,
    InvalidAnswerError,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    PermissionDeniedError,
    ProblemError,
    RateLimitedError,
    ServiceError,
    ServiceUnavailableError,
    Vibe8Error,
    WaitTimeoutError,
)
from vibe8.models.evaluations import EvaluationProject
from vibe8.models.jobs import Job, Progress
from vibe8.models.runs import Result
from vibe8.protocol.requests import Page
from vibe8.protocol.retries import Retry

__all__ = [
    "AsyncClient",
    "AuthenticationError",
    "Client",
    "ConflictError",
    "ConnectionFailedError",
    "EvaluationProject",
    "FieldError",
    "GoneError",
    "InvalidAnswerError",
    "InvalidRequestError",
    "Job",
    "LimitExceededError",
    "NotFoundError",
    "Page",
    "PermissionDeniedError",
    "ProblemError",
    "Progress",
    "RateLimitedError",
    "Result",
    "Retry",
    "ServiceError",
    "ServiceUnavailableError",
    "Vibe8Error",
    "WaitTimeoutError",
]
