"""google.rpc.Status with its details: written from plain values, and read back from a caught call.

Only the shapes are here; which exception becomes which status is the error table's business (errors).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # no py.typed

from clawdbot_servicekit.errors import FieldViolation, RemoteError

DOMAIN: Final = "clawdbot.dev"
"""ErrorInfo.domain of everything that Clawdbot says itself."""

STATUS_KEY: Final = "grpc-status-details-bin"
"""The trailing metadata that carries google.rpc.Status, by gRPC's convention."""

LONGEST_MESSAGE: Final = 1000
"""Bytes. Messages travel twice and percent-encoded in HTTP/2 trailers, where gRPC takes 8 KiB in all."""
LONGEST_FACT: Final = 200
"""Bytes of one value in ErrorInfo.metadata."""
LARGEST_STATUS: Final = 4096
"""Bytes of the whole google.rpc.Status; violations beyond it are left out."""


def status_of(
    code: grpc.StatusCode,
    reason: str,
    message: str,
    *,
    domain: str = DOMAIN,
    metadata: Mapping[str, str] | None = None,
    retry_after: float | None = None,
    violations: Sequence[FieldViolation] = (),
    quota_subject: str = "",
) -> status_pb2.Status:
    """A status with ErrorInfo, and RetryInfo, QuotaFailure and BadRequest where there is reason for them.

    Args:
        code: the status code.
        reason: UPPER_SNAKE.
        message: one sentence; cut at LONGEST_MESSAGE.
        domain: who gives the reason.
        metadata: facts beside the reason; each cut at LONGEST_FACT.
        retry_after: seconds; None for no RetryInfo.
        violations: fields that do not fit; as many as LARGEST_STATUS allows.
        quota_subject: whose quota is used up; empty for no QuotaFailure.
    """
    status = status_pb2.Status(code=code.value[0], message=cut(message, LONGEST_MESSAGE))
    facts = {name: cut(value, LONGEST_FACT) for name, value in (metadata or {}).items()}
    _attach(status, error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=facts))
    if retry_after is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromNanoseconds(int(max(0.0, retry_after) * 1e9))
        _attach(status, info)
    if quota_subject:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=cut(quota_subject, LONGEST_FACT), description=status.message)
        _attach(status, quota)
    if violations:
        _attach(status, _bad_request(violations, LARGEST_STATUS - status.ByteSize()))
    return status


def read(error: grpc.aio.AioRpcError) -> RemoteError:
    """What a caught call says, with its details where it has any."""
    code, message = error.code().name, error.details() or ""
    status = _status(error)
    if status is None:
        return RemoteError(code, "", message)
    info, retry, quota, bad = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RetryInfo(),
        error_details_pb2.QuotaFailure(),
        error_details_pb2.BadRequest(),
    )
    found = {type(each) for each in (info, retry, quota, bad) if _take(status, each)}
    return RemoteError(
        code,
        info.reason,
        message,
        info.domain,
        dict(info.metadata),
        retry.retry_delay.ToTimedelta().total_seconds() if type(retry) in found else None,
        tuple(FieldViolation(each.field, each.description) for each in bad.field_violations),
        next((each.subject for each in quota.violations), ""),
    )


def cut(text: str, limit: int) -> str:
    """The text in at most so many bytes of valid UTF-8, an ellipsis at its end where it was longer."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def _bad_request(violations: Iterable[FieldViolation], room: int) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for each in violations:
        request.field_violations.add(
            field=cut(each.field, LONGEST_FACT), description=cut(each.description, LONGEST_MESSAGE)
        )
        # The first one stays whatever it takes: a BadRequest without any would tell nothing.
        if len(request.field_violations) > 1 and request.ByteSize() > room:
            del request.field_violations[-1]
            break
    return request


def _attach(status: status_pb2.Status, detail: Message) -> None:
    status.details.add().Pack(detail)


def _status(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _take(status: status_pb2.Status, detail: Message) -> bool:
    """Fills `detail` from the first one of its type; False where there is none."""
    for each in status.details:
        try:
            if each.Unpack(detail):
                return True
        except DecodeError:
            return False
    return False
