"""Answers GetUsage."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

import structlog
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as pb
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest
from clawdbot_servicekit.pagination import page_bounds

from clawdbot_model_gateway.core.limits.usage_ledger import (
    COUNTS,
    Counts,
    UsageKey,
    UsageLedger,
    UsageQuery,
    UsageUnavailable,
)
from clawdbot_model_gateway.core.limits.usage_meter import UsageMeter

log = structlog.get_logger(__name__)

FLUSH_TIMEOUT: Final = 1.0
"""Seconds in which what was counted last may be written. A flush in the background may be waiting, too."""
DEFAULT_DAYS: Final = 30
"""Before the last day, where the request does not name the first."""
MAX_DAYS: Final = 3660
DIMENSIONS: Final = {
    pb.USAGE_DIMENSION_DAY: "day",
    pb.USAGE_DIMENSION_TENANT: "tenant",
    pb.USAGE_DIMENSION_KEY: "key_id",
    pb.USAGE_DIMENSION_MODEL: "model",
}


class UsageReport:
    """Reads the ledger for GetUsage."""

    def __init__(self, ledger: UsageLedger, meter: UsageMeter) -> None:
        self._ledger = ledger
        self._meter = meter

    async def get_usage(self, request: pb.GetUsageRequest) -> pb.GetUsageResponse:
        """A page of records.

        Raises:
            InvalidRequest: a day, a dimension or the page is invalid.
            UsageUnavailable: the ledger cannot be read.
        """
        query = _query(request)
        # What the ledger has can be read without what it has not, if anything can.
        try:
            async with asyncio.timeout(FLUSH_TIMEOUT):
                await self._meter.flush()
        except UsageUnavailable as error:
            log.warning("usage_not_written", explanation=error.explanation)
        except TimeoutError:
            log.warning("usage_not_written", explanation=f"no answer within {FLUSH_TIMEOUT:g} s")
        totals = {"\n".join(key): (key, counts) for key, counts in (await self._ledger.totals(query)).items()}
        names, next_token = page_bounds(sorted(totals), "usage", request.page_size, request.page_token)
        return pb.GetUsageResponse(
            records=[_record(*totals[name]) for name in names], next_page_token=next_token
        )


def _query(request: pb.GetUsageRequest) -> UsageQuery:
    violations: list[FieldViolation] = []
    today = datetime.now(UTC).date()
    last = _day(request.last_day, "last_day", violations) or today
    first = _day(request.first_day, "first_day", violations)
    if first is None:
        first = max(date.min + timedelta(DEFAULT_DAYS), last) - timedelta(DEFAULT_DAYS)
    if not violations:
        violations += _range_violations(first, last)
    unknown = [each for each in request.group_by if each not in DIMENSIONS]
    if unknown:
        violations.append(FieldViolation("group_by", "Must be DAY, TENANT, KEY or MODEL."))
    if violations:
        raise InvalidRequest(violations)
    grouped = {DIMENSIONS[each] for each in request.group_by} or UsageKey._fields
    return UsageQuery(
        first.isoformat(), last.isoformat(), request.tenant, request.key_id, request.model, grouped
    )


def _day(text: str, field: str, violations: list[FieldViolation]) -> date | None:
    if not text:
        return None
    try:
        # Python also takes 20261130 and 2026-W49-1, which sort differently.
        day = datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        day = None
    if day is None or day.isoformat() != text:
        violations.append(FieldViolation(field, "Must be a day such as 2026-11-30."))
    return day


def _range_violations(first: date, last: date) -> Iterator[FieldViolation]:
    if first > last:
        yield FieldViolation("first_day", "Must not be after last_day.")
    elif (last - first).days >= MAX_DAYS:
        yield FieldViolation("first_day", f"At most {MAX_DAYS} days are allowed.")


def _record(key: UsageKey, counts: Counts) -> pb.UsageRecord:
    requests, estimated, *spent = counts
    usage = Usage()
    for name, count in zip(COUNTS[2:], spent, strict=True):
        setattr(usage, name, count)
    return pb.UsageRecord(**key._asdict(), requests=requests, estimated_requests=estimated, usage=usage)
