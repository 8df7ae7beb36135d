"""Maps exceptions to gRPC statuses: one table per application, merged over the shared one.

Only this module makes the message that a caller reads. An exception without a rule becomes INTERNAL with a
fixed message and an id; the log has the traceback under this id.
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

__all__ = ["DOMAIN", "STATUS_KEY", "ErrorRule", "ErrorStatus", "ErrorTable", "remote_error"]

INTERNAL_REASON: Final = "INTERNAL"
INTERNAL_MESSAGE: Final = "Internal error. The server's log has the cause under {}."
RETRY_AFTER: Final = 1.0
"""Seconds to wait before a retry if the exception does not say."""
REASON: Final = re.compile(r"[A-Z][A-Z0-9_]{0,61}[A-Z0-9]")
"""The format of a reason in google.rpc.ErrorInfo."""


@dataclass(frozen=True, slots=True)
class ErrorRule:
    """The status of one class of exceptions."""

    code: grpc.StatusCode
    reason: str
    """UPPER_SNAKE, ErrorInfo.reason. "{reason}" takes it from the exception's attribute."""
    message: str
    """str.format template over the exception's public attributes: "There is no session {session_id}."."""
    retryable: bool = False
    """Adds RetryInfo: the exception's `retry_after` in seconds if it has one, else RETRY_AFTER."""
    metadata: tuple[str, ...] = ()
    """Attributes to copy to ErrorInfo.metadata."""


@dataclass(frozen=True, slots=True)
class ErrorStatus:
    """One error as its caller sees it."""

    code: grpc.StatusCode
    reason: str
    message: str
    status: status_pb2.Status

    def trailing_metadata(self) -> tuple[tuple[str, bytes], ...]:
        """The trailing metadata with the details."""
        return ((STATUS_KEY, self.status.SerializeToString()),)


SHARED_RULES: Final[Mapping[type[Exception], ErrorRule]] = {
    errors.InvalidRequest: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", "The request is invalid. {description}"
    ),
    errors.MalformedMessage: ErrorRule(
        grpc.StatusCode.INVALID_ARGUMENT,
        "MALFORMED_MESSAGE",
        "The request to {rpc} cannot be decoded: {problem}.",
    ),
    errors.ResponseTooLarge: ErrorRule(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RESPONSE_TOO_LARGE",
        "A message of the response has {size} bytes; at most {limit} are allowed. Ask for less, or raise "
        "server.max_message, and the client's own limit with it.",
    ),
    errors.Unauthenticated: ErrorRule(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "{explanation}"),
    errors.PermissionDenied: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "PERMISSION_DENIED",
        "The key lacks the scope {scope}.",
        metadata=("scope",),
    ),
    errors.LocalOnly: ErrorRule(
        grpc.StatusCode.PERMISSION_DENIED,
        "LOCAL_ONLY",
        "This server has no keys, so it answers calls that need the scope {scope} only from its own machine. "
        "To call from elsewhere, configure a key with that scope: auth.keys.",
        metadata=("scope",),
    ),
    errors.Overloaded: ErrorRule(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "OVERLOADED",
        "The server has reached its limit of {limit} calls at a time.",
        retryable=True,
    ),
    errors.DeadlineExpired: ErrorRule(
        grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "The call did not finish within its deadline."
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
        "The server is shutting down and accepts no new calls.",
        retryable=True,
    ),
}
"""The rules for servicekit.errors; an application's own table may override them."""

PEER_RULES: Final[Mapping[str, ErrorRule]] = {
    "UNAVAILABLE": ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "PEER_UNAVAILABLE",
        "A service that this one depends on does not answer.",
        True,
    ),
    "CANCELLED": ErrorRule(
        grpc.StatusCode.UNAVAILABLE,
        "PEER_UNAVAILABLE",
        "A service that this one depends on has stopped.",
        True,
    ),
    "DEADLINE_EXCEEDED": ErrorRule(
        grpc.StatusCode.DEADLINE_EXCEEDED,
        "PEER_DEADLINE_EXCEEDED",
        "A service that this one depends on did not answer within the deadline.",
    ),
}
"""A peer's status code without a reason of ours → our own status. Any other code is INTERNAL."""


def remote_error(error: grpc.aio.AioRpcError) -> RemoteError:
    """The details of a failed call: reason, message, retry delay, violations."""
    return status_details.read(error)


class ErrorTable:
    """Exception class → rule, looked up along the class's MRO."""

    def __init__(self, rules: Mapping[type[Exception], ErrorRule]) -> None:
        """A table of these rules over the shared ones.

        Raises:
            ValueError: for a template that uses more than public attributes, or a malformed reason.
        """
        self._rules: dict[type, ErrorRule] = {**SHARED_RULES, **rules}
        for kind, rule in self._rules.items():
            _check(kind, rule)
        self._log = structlog.get_logger(__name__)

    def describe(self, error: BaseException) -> ErrorStatus:
        """The status for the caller. Call it once per error: an exception without a rule is logged here.

        For a group of exceptions (TaskGroup) it is the status of the first member that has a rule. A failed
        call to a peer keeps the peer's status if that has a reason of ours (except UNAUTHENTICATED, which is
        about our own credentials); otherwise PEER_RULES apply.
        """
        for each in _leaves(error):
            leaf = remote_error(each) if isinstance(each, grpc.aio.AioRpcError) else each
            status = self._forward(leaf) if isinstance(leaf, RemoteError) else self._by_table(leaf)
            if status is not None:
                return status
        return self._internal(error)

    def _by_table(self, error: BaseException) -> ErrorStatus | None:
        rule = next((self._rules[kind] for kind in type(error).__mro__ if kind in self._rules), None)
        if rule is None:
            return None
        try:
            return _by_rule(rule, error)
        except AttributeError as missing:
            self._log.error("error_rule_invalid", kind=type(error).__name__, attribute=missing.name)
            return None

    def _forward(self, error: RemoteError) -> ErrorStatus | None:
        if error.domain == DOMAIN and error.code != "UNAUTHENTICATED":
            status = status_details.make_status(
                grpc.StatusCode[error.code],
                error.reason,
                error.message,
                metadata=error.metadata,
                retry_after=error.retry_after,
                violations=error.violations,
                quota_subject=error.quota_subject,
            )
            return ErrorStatus(grpc.StatusCode[error.code], error.reason, status.message, status)
        rule = None if error.domain == DOMAIN else PEER_RULES.get(error.code)
        return None if rule is None else _by_rule(rule, error)

    def _internal(self, error: BaseException) -> ErrorStatus:
        log_id = secrets.token_hex(6)
        self._log.error("unexpected_error", log_id=log_id, kind=type(error).__name__, exc_info=error)
        message, code = INTERNAL_MESSAGE.format(log_id), grpc.StatusCode.INTERNAL
        status = status_details.make_status(code, INTERNAL_REASON, message, metadata={"log_id": log_id})
        return ErrorStatus(code, INTERNAL_REASON, message, status)


class _Attributes(Mapping[str, Any]):
    """An object's attributes, for str.format_map."""

    def __init__(self, owner: object) -> None:
        self._owner = owner

    def __getitem__(self, name: str) -> Any:
        return getattr(self._owner, name)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self._owner))

    def __len__(self) -> int:
        return len(vars(self._owner))


def _by_rule(rule: ErrorRule, error: BaseException) -> ErrorStatus:
    attributes = _Attributes(error)
    reason = _reason(rule.reason.format_map(attributes))
    retry_after = getattr(error, "retry_after", None)
    status = status_details.make_status(
        rule.code,
        reason,
        rule.message.format_map(attributes),
        metadata={name: str(attributes[name]) for name in rule.metadata},
        retry_after=RETRY_AFTER if retry_after is None and rule.retryable else retry_after,
        violations=getattr(error, "violations", ()),
        quota_subject=getattr(error, "quota_subject", ""),
    )
    return ErrorStatus(rule.code, reason, status.message, status)


def _reason(text: str) -> str:
    """A reason from outside (a plugin) in the format of ErrorInfo."""
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
    for template in (rule.reason, rule.message):
        for _, name, spec, _ in string.Formatter().parse(template):
            if name is not None and (not name.isidentifier() or name.startswith("_") or "{" in (spec or "")):
                raise ValueError(f"{kind.__name__}: {{{name}}} is not a public attribute.")
    if "{" not in rule.reason and not REASON.fullmatch(rule.reason):
        raise ValueError(f"{kind.__name__}: the reason {rule.reason} is not UPPER_SNAKE.")
    if rule.code is grpc.StatusCode.OK:
        raise ValueError(f"{kind.__name__}: an error cannot be OK.")
