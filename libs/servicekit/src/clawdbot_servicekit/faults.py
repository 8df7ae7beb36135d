"""The failures that every service shares, as exceptions that know no transport.

A service's own failures are its own exceptions; `errors` maps both to a status, by table. The tree:

    Fault
    ├── InvalidRequest      a field does not fit, with its path
    ├── Unauthenticated     no key, or none that we know
    ├── PermissionDenied    a key without the scope
    ├── Overloaded          more than we take in; try again after a while
    ├── DeadlineExpired     the caller's time was up
    ├── NotYet              an RPC of the contract that a later version brings
    └── NotReady            a dependency does not answer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that does not fit."""

    field: str
    """Path in the request, with the proto's names: "sampling.top_k", "messages[2].parts"."""
    description: str
    """One sentence for the caller."""


class Fault(Exception):
    """A failure that the shared part of the error table knows."""


class InvalidRequest(Fault):
    """A request that cannot be carried out as it stands."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        self.description = " ".join(f"{each.field}: {each.description}" for each in self.violations)
        super().__init__(self.description)

    @classmethod
    def of(cls, field: str, description: str) -> InvalidRequest:
        """One violation, the usual case."""
        return cls([Violation(field, description)])


class Unauthenticated(Fault):
    """The caller did not say who it is, or we do not know it."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class PermissionDenied(Fault):
    """The caller is known and may not do this."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        super().__init__(f"scope {scope} is missing")


class Overloaded(Fault):
    """More calls than the server takes in; nothing was begun."""

    def __init__(self, limit: int, retry_after: float = 1.0) -> None:
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"more than {limit} calls at once")


class DeadlineExpired(Fault):
    """The time that the caller gave, or the server allows, was up."""


class NotYet(Fault):
    """An RPC that the contract has and this version does not."""

    def __init__(self, rpc: str) -> None:
        self.rpc = rpc
        super().__init__(f"{rpc} is not there yet")


class NotReady(Fault):
    """Something that the service needs does not answer."""

    def __init__(self, dependency: str, explanation: str) -> None:
        self.dependency = dependency
        self.explanation = explanation
        super().__init__(f"{dependency}: {explanation}")


class StartupError(Exception):
    """The process cannot start; the text is one sentence saying what to do.

    Whoever runs the process prints it without a traceback and exits with code 2.
    """
