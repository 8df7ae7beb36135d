"""What several replies cost together, and how far that can be trusted."""

from __future__ import annotations

import itertools

import pytest
from clawdbot.common.v1.usage_pb2 import (
    USAGE_PROVENANCE_ESTIMATED,
    USAGE_PROVENANCE_PARTIAL,
    USAGE_PROVENANCE_REPORTED,
    USAGE_PROVENANCE_UNSPECIFIED,
    Usage,
)
from clawdbot_model_client.usage import sum_usage

REPORTED, ESTIMATED = USAGE_PROVENANCE_REPORTED, USAGE_PROVENANCE_ESTIMATED
PARTIAL, NONE = USAGE_PROVENANCE_PARTIAL, USAGE_PROVENANCE_UNSPECIFIED


def usage(provenance):
    return Usage(input_tokens=1, provenance=provenance)


def test_every_count_is_added():
    names = [field.name for field in Usage.DESCRIPTOR.fields if field.name != "provenance"]
    total = sum_usage([Usage(**dict.fromkeys(names, 2)), Usage(**dict.fromkeys(names, 3))])
    assert total == Usage(**dict.fromkeys(names, 5))


@pytest.mark.parametrize(
    ("provenances", "of_the_sum"),
    [
        ([REPORTED, REPORTED], REPORTED),
        ([ESTIMATED, ESTIMATED], ESTIMATED),
        ([REPORTED, ESTIMATED], PARTIAL),
        ([REPORTED, PARTIAL], PARTIAL),
        ([ESTIMATED, PARTIAL], PARTIAL),
        ([REPORTED, NONE], PARTIAL),
        ([REPORTED, REPORTED, ESTIMATED], PARTIAL),
    ],
)
def test_a_sum_is_partial_unless_all_of_it_is_known_in_the_same_way(provenances, of_the_sum):
    for order in itertools.permutations(provenances):
        assert sum_usage(map(usage, order)).provenance == of_the_sum


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_reply_that_cost_nothing_and_told_nothing_changes_nothing(place):
    usages = [usage(REPORTED), usage(REPORTED)]
    usages.insert(place, Usage())
    assert sum_usage(usages) == Usage(input_tokens=2, provenance=REPORTED)
    assert sum_usage([Usage()]) == sum_usage([]) == Usage()


def test_the_addends_are_left_alone():
    first, second = usage(REPORTED), usage(ESTIMATED)
    sum_usage([first, second])
    assert (first, second) == (usage(REPORTED), usage(ESTIMATED))
