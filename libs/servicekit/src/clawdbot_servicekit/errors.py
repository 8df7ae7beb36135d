"""The errors that all services share, as exceptions that know no transport.

A service also has exceptions of its own; `error_table` maps both kinds to a gRPC status. The tree:

    ServiceError
    ├── InvalidRequest      fields are invalid, with their paths
    ├── MalformedMessage    the bytes are not a message of the RPC's request type
    ├── ResponseTooLarge    the response exceeds the limit of a message
    ├── Unauthenticated     no key, or an unknown one
    ├── PermissionDenied    the key lacks the scope
    ├── LocalOnly           an admin call from elsewhere, to a server without keys
    ├── Overloaded          too many calls at a time; retry later
    ├── DeadlineExpired     the call took too long
    ├── NotImplementedYet   an RPC of the contract that this version lacks
    ├── NotReady            a dependency does not answer
    ├── ShuttingDown        the server accepts no new calls
    └── RemoteError         the status of a call to another service
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One invalid field."""

    field: str
    """Path in the request, with the proto's names: "sampling.top_k", "messages[2].parts"."""
    description: str
    """One sentence for the caller."""


class ServiceError(Exception):
    """An error that has a rule in the shared part of the error table."""


class InvalidRequest(ServiceError):
    """A request with invalid fields."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        self.description = " ".join(f"{each.field}: {each.description}" for each in self.violations)
        super().__init__(self.description)

    @classmethod
    def of(cls, field: str, description: str) -> InvalidRequest:
        """One violation, the common case."""
        return cls([FieldViolation(field, description)])


class MalformedMessage(ServiceError):
    """A request that cannot be decoded."""

    def __init__(
        self, rpc: str, problem: str = "its bytes are not a message of the method's request type"
    ) -> None:
        self.rpc = rpc
        self.problem = problem
        super().__init__(f"a request to {rpc} cannot be decoded: {problem}")


class ResponseTooLarge(ServiceError):
    """A response, or one message of a stream, that may not be sent."""

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"a message of {size} bytes; the limit is {limit}")


class Unauthenticated(ServiceError):
    """The caller sent no key, or an unknown one."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class PermissionDenied(ServiceError):
    """The caller is known and not allowed to do this."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"scope {scope} is missing")


class LocalOnly(ServiceError):
    """A server without keys answers this call only to callers on its own machine."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"scope {scope} needs a key, or a caller on this machine")


class Overloaded(ServiceError):
    """More calls than the server handles at a time; the call was not started."""

    def __init__(self, limit: int, retry_after: float = 1.0) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"more than {limit} calls at a time")


class DeadlineExpired(ServiceError):
    """The caller's deadline, or the server's limit, has passed."""


class NotImplementedYet(ServiceError):
    """An RPC of the contract that this version does not implement."""

    def __init__(self, rpc: str) -> None:
        self.rpc = rpc
        super().__init__(f"{rpc} is not implemented yet")


class NotReady(ServiceError):
    """A dependency of the service does not answer."""

    def __init__(self, dependency: str, explanation: str) -> None:
        self.dependency = dependency
        self.explanation = explanation
        super().__init__(f"{dependency}: {explanation}")


class ShuttingDown(ServiceError):
    """The server drains and accepts no new calls; the call was not started."""


@dataclass(eq=False)
class RemoteError(ServiceError):
    """The status of a failed call to another service, without gRPC types; see `error_table.remote_error`."""

    code: str
    """Name of the status code: "NOT_FOUND"."""
    reason: str
    """UPPER_SNAKE, as that service sent it; empty if the status has none."""
    message: str
    """The sentence for the caller; empty if there is none."""
    domain: str = ""
    """The origin of the reason: "clawdbot.dev" for a Clawdbot service, empty for gRPC itself."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """ErrorInfo.metadata."""
    retry_after: float | None = None
    """Seconds after which a retry may help; None if it will not."""
    violations: tuple[FieldViolation, ...] = ()
    quota_subject: str = ""
    """Whose quota is exhausted; empty if it is not about a quota."""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}" if self.reason else f"{self.code}: {self.message}"


class StartupError(Exception):
    """The process cannot start; the text is one sentence that says what to do.

    `process` prints it without a traceback and exits with code 2.
    """
