"""What a request is known to cost before its backend has said so."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from clawdbot.common.v1.usage_pb2 import Usage
from clawdbot_model_gateway.core.spending import Spending
from clawdbot_model_gateway.core.tokens.token_estimate import TokenEstimator, estimate_input

from tests.support.generate_requests import asks


@pytest.mark.parametrize(
    "reported", [None, Usage(), Usage(output_tokens=2)], ids=["nothing", "no counts", "no input"]
)
def test_a_running_request_is_estimated_once_however_often_it_is_looked_at(reported):
    spending = Spending()
    spending.reported = reported
    spending.input_tokens = estimate = Mock(return_value=7)
    for _ in range(3):
        assert spending.usage(asks(), TokenEstimator()).input_tokens == 7
    estimate.assert_called_once()


def test_an_input_that_was_reported_is_not_estimated():
    spending = Spending()
    spending.reported = Usage(input_tokens=5, output_tokens=2)
    spending.input_tokens = estimate = Mock(return_value=7)
    assert spending.usage(asks(), TokenEstimator()).input_tokens == 5
    estimate.assert_not_called()


def test_cached_tokens_are_part_of_the_input():
    spending = Spending()
    spending.reported = Usage(cached_tokens=5_000, output_tokens=2)
    assert spending.usage(asks(), TokenEstimator()).input_tokens == 5_000


def test_the_estimate_is_that_of_the_request():
    request = asks("a question of some length")
    assert Spending().usage(request, TokenEstimator()).input_tokens == estimate_input(request)


def test_the_input_is_estimated_once_for_a_call_that_is_looked_at_as_it_runs():
    spending = Spending()
    spending.input_tokens = estimate = Mock(return_value=7)
    for _ in range(3):
        assert spending.usage(asks(), TokenEstimator()).input_tokens == 7
    assert spending.estimate(asks(), TokenEstimator()).input_tokens == 7
    estimate.assert_called_once_with()
