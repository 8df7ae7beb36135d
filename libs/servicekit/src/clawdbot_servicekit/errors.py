"""The failures that every service shares, as exceptions that know no transport.

A service's own failures are its own exceptions; `errors` maps both to a status, by table. The tree:

    ServiceError
    ├── InvalidRequest      a field does not fit, with its path
    ├── MalformedMessage    bytes that are no message of the type that the RPC takes
    ├── Unauthenticated     no key, or none that we know
    ├── PermissionDenied    a key without the scope
    ├── Overloaded          more than we take in; try again after a while
    ├── DeadlineExpired     the caller's time was up
    ├── NotImplementedYet   an RPC of the contract that a later version brings
    ├── NotReady            a dependency does not answer
    ├── ShuttingDown        the server takes no new calls
    └── RemoteError         what another service answered, read back from its status
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One field that does not fit."""

    field: str
    """Path in the request, with the proto's names: "sampling.top_k", "messages[2].parts"."""
    description: str
    """One sentence for the caller."""


class ServiceError(Exception):
    """A failure that the shared part of the error table knows."""


class InvalidRequest(ServiceError):
    """A request that cannot be carried out as it stands."""

    def __init__(self, violations: Sequence[FieldViolation]) -> None:
        self.violations = tuple(violations)
        self.description = " ".join(f"{each.field}: {each.description}" for each in self.violations)
        super().__init__(self.description)

    @classmethod
    def of(cls, field: str, description: str) -> InvalidRequest:
        """One violation, the usual case."""
        return cls([FieldViolation(field, description)])


class MalformedMessage(ServiceError):
    """A request that cannot even be decoded."""

    def __init__(self, rpc: str) -> None:
        self.rpc = rpc
        super().__init__(f"a request to {rpc} cannot be decoded")


class Unauthenticated(ServiceError):
    """The caller did not say who it is, or we do not know it."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class PermissionDenied(ServiceError):
    """The caller is known and may not do this."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"scope {scope} is missing")


class Overloaded(ServiceError):
    """More calls than the server takes in; nothing was begun."""

    def __init__(self, limit: int, retry_after: float = 1.0) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"more than {limit} calls at once")


class DeadlineExpired(ServiceError):
    """The time that the caller gave, or the server allows, was up."""


class NotImplementedYet(ServiceError):
    """An RPC that the contract has and this version does not."""

    def __init__(self, rpc: str) -> None:
        self.rpc = rpc
        super().__init__(f"{rpc} is not there yet")


class NotReady(ServiceError):
    """Something that the service needs does not answer."""

    def __init__(self, dependency: str, explanation: str) -> None:
        self.dependency = dependency
        self.explanation = explanation
        super().__init__(f"{dependency}: {explanation}")


class ShuttingDown(ServiceError):
    """The server finishes what it has begun and takes nothing new; nothing was begun."""


@dataclass(eq=False)
class RemoteError(ServiceError):
    """How another service answered a call, without its transport. `error_table.remote_error` makes it."""

    code: str
    """Name of the status code: "NOT_FOUND"."""
    reason: str
    """UPPER_SNAKE, as that service gave it; empty where the status says nothing of the kind."""
    message: str
    """The sentence for the caller; empty where there is none."""
    domain: str = ""
    """Who gave the reason: "clawdbot.dev" for a Clawdbot service, empty for gRPC itself."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """The facts beside the reason."""
    retry_after: float | None = None
    """Seconds after which a retry may help; None where it will not."""
    violations: tuple[FieldViolation, ...] = ()
    quota_subject: str = ""
    """Whose quota is used up; empty where none is."""

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}" if self.reason else f"{self.code}: {self.message}"


class StartupError(Exception):
    """The process cannot start; the text is one sentence saying what to do.

    Whoever runs the process prints it without a traceback and exits with code 2.
    """
