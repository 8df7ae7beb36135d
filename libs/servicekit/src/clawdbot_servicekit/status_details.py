"""Builds google.rpc.Status with its details from plain values, and reads it back from a failed call.

Which exception becomes which status is decided in error_table.
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
"""ErrorInfo.domain of all errors of Clawdbot."""

STATUS_KEY: Final = "grpc-status-details-bin"
"""The trailing metadata key of google.rpc.Status, by gRPC's convention."""

MAX_MESSAGE_BYTES: Final = 1000
"""In HTTP/2 trailers, for which gRPC allows 8 KiB in all. It is percent-encoded: three bytes for one."""
MAX_VALUE_BYTES: Final = 200
"""The limit of one value in ErrorInfo.metadata."""
MAX_STATUS_BYTES: Final = 3400
"""The limit of the whole google.rpc.Status, which has the message, too; violations beyond it are left out.
All but grpcio send it in Base64: four bytes for three."""


def make_status(
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
    """A status with ErrorInfo, and with RetryInfo, QuotaFailure and BadRequest if there is a value for them.

    Args:
        code: the status code.
        reason: UPPER_SNAKE.
        message: one sentence; truncated to MAX_MESSAGE_BYTES.
        domain: the origin of the reason.
        metadata: each value is truncated to MAX_VALUE_BYTES.
        retry_after: seconds; None for no RetryInfo.
        violations: invalid fields; as many as fit into MAX_STATUS_BYTES.
        quota_subject: whose quota is exhausted; empty for no QuotaFailure.
    """
    status = status_pb2.Status(code=code.value[0], message=truncate(message, MAX_MESSAGE_BYTES))
    values = {name: truncate(value, MAX_VALUE_BYTES) for name, value in (metadata or {}).items()}
    _attach(status, error_details_pb2.ErrorInfo(reason=reason, domain=domain, metadata=values))
    if retry_after is not None:
        info = error_details_pb2.RetryInfo()
        info.retry_delay.FromNanoseconds(int(max(0.0, retry_after) * 1e9))
        _attach(status, info)
    if quota_subject:
        quota = error_details_pb2.QuotaFailure()
        quota.violations.add(subject=truncate(quota_subject, MAX_VALUE_BYTES), description=status.message)
        _attach(status, quota)
    if violations:
        _attach(status, _bad_request(violations, MAX_STATUS_BYTES - status.ByteSize()))
    return status


def read(error: grpc.aio.AioRpcError) -> RemoteError:
    """The status of a failed call, with its details if it has any."""
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
    found = {type(each) for each in (info, retry, quota, bad) if _unpack(status, each)}
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


def truncate(text: str, limit: int) -> str:
    """The text in at most so many bytes of valid UTF-8, with an ellipsis at the end if it was longer."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= limit:
        return encoded.decode()
    return encoded[: limit - 3].decode("utf-8", "ignore") + "…"


def _bad_request(violations: Iterable[FieldViolation], max_bytes: int) -> error_details_pb2.BadRequest:
    request = error_details_pb2.BadRequest()
    for each in violations:
        request.field_violations.add(
            field=truncate(each.field, MAX_VALUE_BYTES),
            description=truncate(each.description, MAX_MESSAGE_BYTES),
        )
        # The first one always stays: an empty BadRequest would say nothing.
        if len(request.field_violations) > 1 and request.ByteSize() > max_bytes:
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


def _unpack(status: status_pb2.Status, detail: Message) -> bool:
    """Fills `detail` from the first detail of its type; False if there is none."""
    for each in status.details:
        try:
            if each.Unpack(detail):
                return True
        except DecodeError:
            return False
    return False
