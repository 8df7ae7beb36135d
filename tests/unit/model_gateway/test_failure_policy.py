"""Which errors lead to another attempt, where and when."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core import errors
from clawdbot_model_gateway.core.failures.failure_policy import MAX_SAVED, FailurePolicy, RetryRule

CLASSES = {
    # class: (another target is asked, it may go away by itself, the same backend may be sent it again)
    errors.ModelError: (True, False, False),
    errors.BackendAuth: (True, False, False),
    errors.RateLimited: (True, True, True),
    errors.LimitTooSmall: (True, False, False),
    errors.QuotaExhausted: (True, False, False),
    errors.BackendOverloaded: (True, True, True),
    errors.BackendFailed: (True, True, False),
    errors.BackendUnreachable: (True, True, True),
    errors.NameNotResolved: (True, True, True),
    errors.ProxyFailed: (True, False, False),
    errors.TlsFailed: (True, False, False),
    errors.BackendTimeout: (True, True, False),
    errors.ConnectionBroken: (True, True, False),
    errors.ProtocolViolation: (True, False, False),
    errors.ResponseFormatMissed: (True, False, False),
    errors.RequestRefused: (False, False, False),
    errors.ContextTooLong: (True, False, False),
    errors.ContentFiltered: (False, False, False),
    errors.MediaRefused: (True, False, False),
    errors.FeatureRefused: (True, False, False),
    errors.ModelMissing: (True, False, False),
    errors.NoEndpoint: (True, False, False),
    errors.QueueFull: (True, True, True),
    errors.QueueTimeout: (True, True, True),
    errors.DeadlineUnreachable: (True, True, True),
    errors.BreakerOpen: (True, True, False),
    errors.BackendDraining: (True, False, False),
    errors.BackendRemoved: (True, True, False),
    errors.CannotEmbed: (True, False, False),
}


def kinds(kind):
    yield kind
    for each in kind.__subclasses__():
        yield from kinds(each)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda each: each.__name__)
def test_each_class_of_failure_says_what_may_be_done(kind):
    elsewhere, transient, again = CLASSES[kind]
    assert (kind.retry_elsewhere, kind.transient) == (elsewhere, transient)
    policy = FailurePolicy(retry=RetryRule(attempts=1))
    assert (policy.delay(kind("x"), 0) is not None) == again


def test_the_table_has_every_class():
    assert {each for each in kinds(errors.ModelError) if each.__module__ == errors.__name__} == {*CLASSES}


def test_without_a_rule_nothing_is_sent_again():
    assert FailurePolicy().delay(errors.RateLimited("x"), 0) is None


def test_the_wait_is_drawn_from_a_range_that_doubles_up_to_a_limit():
    rule = RetryRule(attempts=10, base=0.5, max=3.0)
    longest = FailurePolicy(retry=rule, draw=lambda: 1.0)
    shortest = FailurePolicy(retry=rule, draw=lambda: 0.0)
    refused = errors.BackendOverloaded("x")
    assert [longest.delay(refused, each) for each in range(5)] == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert {shortest.delay(refused, each) for each in range(5)} == {0.0}
    assert longest.delay(refused, 10) is None


def test_the_backends_own_wait_comes_on_top():
    policy = FailurePolicy(retry=RetryRule(attempts=1, base=0.5), draw=lambda: 0.5)
    assert policy.delay(errors.RateLimited("x", retry_after=7.0), 0) == 7.25


class Seen:
    def __init__(self):
        self.made, self.refused = 0, 0

    def retried(self):
        self.made += 1

    def hedged(self):
        self.made += 1

    def budget_spent(self):
        self.refused += 1


def test_retries_are_a_share_of_the_requests_and_a_few_are_always_allowed():
    now = 0.0
    policy = FailurePolicy(retry=RetryRule(attempts=1, budget=0.25), clock=lambda: now)
    policy.observer = seen = Seen()
    while policy.spend_retry():
        pass
    assert (seen.made, seen.refused) == (MAX_SAVED, 1)
    for _ in range(8):
        policy.count_request()
    assert [policy.spend_retry() for _ in range(3)] == [True, True, False]
    now = 10.5
    assert [policy.spend_retry() for _ in range(2)] == [True, False]
    now = 1e6
    assert sum(policy.spend_retry() for _ in range(100)) == MAX_SAVED
