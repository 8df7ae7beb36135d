"""Which exception becomes which status: one table per application, merged over what all share.

The sentence that a caller reads is made here and nowhere else; what the table does not know becomes INTERNAL
with a fixed sentence and an id, under which the log has the traceback.
"""

from __future__ import annotations

import re
import secrets
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
import structlog
from google.rpc import status_pb2  # type: ignore[import-untyped]  # no py.typed

from clawdbot_servicekit import errors, status_details
from clawdbot_servicekit.errors import RemoteError
from clawdbot_servicekit.status_details import DOMAIN, STATUS_KEY

__all__ = ["DOMAIN", "STATUS_KEY", "Description", "ErrorRule", "ErrorTable", "remote_error"]

INTERNAL_REASON: Final = "INTERNAL"
INTERNAL_SENTENCE: Final = "Something went wrong inside the server. Its log has the reason under {}."
RETRY_AFTER: Final = 1.0
"""Seconds to wait before a retry where the exception does not say."""
REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]")
"""What google.rpc.ErrorInfo allows as a reason."""


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """What one class of exceptions means to a caller."""

    code: grpc.StatusCode
    reason: str
    """UPPER_SNAKE, ErrorInfo.reason. "{reason}" takes it from the exception's attribute."""
    sentence: str
    """str.format template over the exception's public attributes: "There is no session {session_id}."."""
    retryable: bool = False
    """Adds RetryInfo: the exception's `retry_after` seconds if it has them, else RETRY_AFTER."""
    metadata: tuple[str, ...] = ()
    """Attributes that go to ErrorInfo.metadata."""


@dataclass(frozen=True, slots=True)
class Description:
    """One failure as its caller sees it."""

    code: grpc.StatusCode
    reason: str
    message: str
    status: status_pb2.Status

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        """What carries the details."""
        return ((STATUS_KEY, self.status.SerializeToString()),)


SHARED_RULES: Final[Mapping[type[Exception], ErrorRule]] = {
    errors.InvalidRequest: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "The request does not fit. {description}"
    ),
    errors.MalformedMessage: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_MESSAGE",
        "The request to {rpc} cannot be decoded: it is no message of the type that the method takes.",
    ),
    errors.Unauthenticated: ErrorRule(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "{explanation}"),
    errors.PermissionDenied: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "PERMISSION_DENIED",
        "The key lacks the scope {scope}.",
        metadata=("scope",),
    ),
    errors.Overloaded: ErrorRule(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        "The server is working on {limit} calls and takes no more at the moment.",
        retryable=True,
    ),
    errors.DeadlineExpired: ErrorRule(
        grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "The call did not end within its deadline."
    ),
    errors.NotImplementedYet: ErrorRule(
        grpc.StatusCode.UNIMPLEMENTED, "NOT_IMPLEMENTED_YET", "{rpc} comes with a later version of Clawdbot."
    ),
    errors.NotReady: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "NOT_READY",
        "The server is not ready: {dependency}: {explanation}",
        retryable=True,
        metadata=("dependency",),
    ),
    errors.ShuttingDown: ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "SHUTTING_DOWN",
        "The server is shutting down and takes no new calls.",
        retryable=True,
    ),
}
"""The rules for servicekit.faults; an application's own table may overrule them."""

PEER_RULES: Final[Mapping[str, ErrorRule]] = {
    "UNAVAILABLE": ErrorRule(
        grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE", "A service behind this one does not answer.", True
    ),
    "CANCELLED": ErrorRule(
        grpc.StatusCode.UNAVAILABLE, "PEER_UNAVAILABLE", "A service behind this one went away.", True
    ),
    "DEADLINE_EXCEEDED": ErrorRule(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "PEER_DEADLINE_EXCEEDED",
        "A service behind this one did not answer within the deadline.",
    ),
}
"""What a peer's status that bears no reason of ours means to our own caller. The rest is INTERNAL."""


def remote_error(error: grpc.aio.AioRpcError) -> RemoteError:
    """Reads the details back from a call that failed: reason, message, wait, violations."""
    return status_details.read(error)


class ErrorTable:
    """Exception class → rule, looked up along the class's MRO."""

    def __init__(self, rules: Mapping[type[Exception], ErrorRule]) -> None:
        """A table of these rules over the shared ones.

        Raises:
            ValueError: for a template that reaches further than public attributes, or a malformed reason.
        """
        self._rules: dict[type, ErrorRule] = {**SHARED_RULES, **rules}
        for kind, rule in self._rules.items():
            _check(kind, rule)
        self._log = structlog.get_logger(__name__)

    def describe(self, error: BaseException) -> Description:
        """What a caller is told. Call it once per failure: what the table does not know is logged here.

        A group of exceptions (TaskGroup) means its first member that the table knows. A failed call to a
        peer means what the peer said where it gave a reason of ours (but UNAUTHENTICATED, which is about our
        own credentials), else by the table PEERS.
        """
        for each in _leaves(error):
            known = remote_error(each) if isinstance(each, grpc.aio.AioRpcError) else each
            described = self._forward(known) if isinstance(known, RemoteError) else self._own(known)
            if described is not None:
                return described
        return self._unknown(error)

    def _own(self, error: BaseException) -> Description | None:
        rule = next((self._rules[kind] for kind in type(error).__mro__ if kind in self._rules), None)
        if rule is None:
            return None
        try:
            return _by_rule(rule, error)
        except AttributeError as mistake:
            self._log.error("error_rule_does_not_fit", kind=type(error).__name__, attribute=mistake.name)
            return None

    def _forward(self, fault: RemoteError) -> Description | None:
        if fault.domain == DOMAIN and fault.code != "UNAUTHENTICATED":
            status = status_details.status_of(
                grpc.StatusCode[fault.code],
                fault.reason,
                fault.message,
                metadata=fault.metadata,
                retry_after=fault.retry_after,
                violations=fault.violations,
                quota_subject=fault.quota_subject,
            )
            return Description(grpc.StatusCode[fault.code], fault.reason, status.message, status)
        rule = None if fault.domain == DOMAIN else PEER_RULES.get(fault.code)
        return None if rule is None else _by_rule(rule, fault)

    def _unknown(self, error: BaseException) -> Description:
        log_id = secrets.token_hex(6)
        self._log.error("unexpected_error", log_id=log_id, kind=type(error).__name__, exc_info=error)
        message, code = INTERNAL_SENTENCE.format(log_id), grpc.StatusCode.INTERNAL
        status = status_details.status_of(code, INTERNAL_REASON, message, metadata={"log_id": log_id})
        return Description(code, INTERNAL_REASON, message, status)


class _Attributes(Mapping[str, Any]):
    """An object's attributes, for str.format_map."""

    def __init__(self, of: object) -> None:
        self._of = of

    def __getitem__(self, name: str) -> Any:
        return getattr(self._of, name)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self._of))

    def __len__(self) -> int:
        return len(vars(self._of))


def _by_rule(rule: ErrorRule, error: BaseException) -> Description:
    attributes = _Attributes(error)
    reason = _reason(rule.reason.format_map(attributes))
    retry_after = getattr(error, "retry_after", None)
    status = status_details.status_of(
        rule.code,
        reason,
        rule.sentence.format_map(attributes),
        metadata={name: str(attributes[name]) for name in rule.metadata},
        retry_after=RETRY_AFTER if retry_after is None and rule.retryable else retry_after,
        violations=getattr(error, "violations", ()),
        quota_subject=getattr(error, "quota_subject", ""),
    )
    return Description(rule.code, reason, status.message, status)


def _reason(text: str) -> str:
    """A reason from elsewhere (a plugin) in the form that ErrorInfo wants."""
    if REASON.fullmatch(text):
        return text
    return re.sub(r"[^A-Z0-9]+", "_", text.upper()).strip("_0123456789")[:63].rstrip("_") or "UNSPECIFIED"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _leaves(each)
    else:
        yield error


def _check(kind: type, rule: ErrorRule) -> None:
    for template in (rule.reason, rule.sentence):
        for _, name, spec, _ in string.Formatter().parse(template):
            if name is not None and (not name.isidentifier() or name.startswith("_") or "{" in (spec or "")):
                raise ValueError(f"{kind.__name__}: {{{name}}} is no public attribute.")
    if "{" not in rule.reason and not REASON.fullmatch(rule.reason):
        raise ValueError(f"{kind.__name__}: the reason {rule.reason} is not UPPER_SNAKE.")
    if rule.code is grpc.StatusCode.OK:
        raise ValueError(f"{kind.__name__}: an error cannot be OK.")
