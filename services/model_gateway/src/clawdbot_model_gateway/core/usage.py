"""Adds up the token usage of several replies."""

from __future__ import annotations

from collections.abc import Iterable

from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_UNSPECIFIED, Usage


def sum_usage(usages: Iterable[Usage]) -> Usage:
    """The sum of each field. PARTIAL where the provenances differ, or some are missing."""
    total, provenances = Usage(), set()
    for usage in usages:
        provenances.add(usage.provenance)
        for field, value in usage.ListFields():
            if field.name != "provenance":
                setattr(total, field.name, getattr(total, field.name) + value)
    known = provenances - {USAGE_PROVENANCE_UNSPECIFIED}
    if known:
        total.provenance = known.pop() if len(provenances) == 1 else USAGE_PROVENANCE_PARTIAL
    return total
