"""Adds up the token usage of several replies."""

from __future__ import annotations

from collections.abc import Iterable

from clawdbot.common.v1.usage_pb2 import USAGE_PROVENANCE_CACHED, USAGE_PROVENANCE_PARTIAL, Usage


def add_usage(total: Usage, more: Usage) -> None:
    """Adds `more` to `total`, field by field.

    The sum is PARTIAL where the provenances differ: part of it was reported, part not. A usage without any
    field is none, and changes nothing; nor does that of a cached reply, on which nothing was spent.
    """
    if not more.ByteSize() or more.provenance == USAGE_PROVENANCE_CACHED:
        return
    if not total.ByteSize():
        total.CopyFrom(more)
        return
    for field, value in more.ListFields():
        if field.name != "provenance":
            setattr(total, field.name, getattr(total, field.name) + value)
    if total.provenance != more.provenance:
        total.provenance = USAGE_PROVENANCE_PARTIAL


def sum_usage(usages: Iterable[Usage]) -> Usage:
    """The sum, by the rules of add_usage; an empty usage for none."""
    total = Usage()
    for usage in usages:
        add_usage(total, usage)
    return total
