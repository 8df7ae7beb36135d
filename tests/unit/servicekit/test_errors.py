"""Which exception becomes which status, and what of a peer's failure is passed on."""

from __future__ import annotations

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit import errors, status_details
from clawdbot_servicekit.error_table import SHARED_RULES, ErrorRule, ErrorTable, remote_error
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest, RemoteError
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs


class Trouble(Exception):
    def __init__(self, name="hat", **facts):
        self.name = name
        self.__dict__ |= facts
        super().__init__(f"canary {name}")


class WorseTrouble(Trouble):
    pass


RULE = ErrorRule(grpc.StatusCode.NOT_FOUND, "NO_THING", "There is no thing {name}.", metadata=("name",))


def seen(error, rules=None):
    """What a caller reads back from the status that the error becomes."""
    told = ErrorTable({Trouble: RULE} if rules is None else rules).describe(error)
    return remote_error(failed(told.code, told.message, told.trailing_metadata()))


def failed(code, message="", trailing=()):
    """A call to a peer that ended so."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), message)


def test_a_rule_gives_code_reason_sentence_and_facts():
    fault = seen(Trouble())
    assert (fault.code, fault.reason, fault.domain) == ("NOT_FOUND", "NO_THING", "clawdbot.dev")
    assert (fault.message, fault.metadata) == ("There is no thing hat.", {"name": "hat"})
    assert fault.retry_after is None


def test_a_subclass_means_what_its_nearest_known_ancestor_does():
    assert seen(WorseTrouble()).reason == "NO_THING"
    own = ErrorRule(grpc.StatusCode.ABORTED, "WORSE", "Worse.")
    assert seen(WorseTrouble(), {Trouble: RULE, WorseTrouble: own}).reason == "WORSE"


def test_an_application_may_overrule_what_all_share():
    own = ErrorRule(grpc.StatusCode.ABORTED, "NOT_NOW", "Not now.")
    assert seen(errors.ShuttingDown()).reason == "SHUTTING_DOWN"
    assert seen(errors.ShuttingDown(), {errors.ShuttingDown: own}).reason == "NOT_NOW"


def test_a_group_means_its_first_member_that_the_table_knows():
    group = ExceptionGroup("", [ExceptionGroup("", [RuntimeError("canary")]), Trouble("cap"), Trouble("hat")])
    assert seen(group).message == "There is no thing cap."


def test_a_group_of_strangers_is_internal_once():
    with capture_logs() as log:
        fault = seen(ExceptionGroup("", [RuntimeError("canary"), ValueError("canary")]))
    assert fault.reason == "INTERNAL"
    assert len(log) == 1


@given(st.text())
def test_a_stranger_tells_nothing_but_an_id(text):
    with capture_logs() as log:
        fault = seen(RuntimeError(f"canary-{text}"))
    assert (fault.code, fault.reason) == ("INTERNAL", "INTERNAL")
    assert "canary" not in str(fault.__dict__)
    assert fault.metadata == {"log_id": log[0]["log_id"]}
    assert str(log[0]["exc_info"]) == f"canary-{text}"


def test_retry_after_is_the_exceptions_or_the_usual_one():
    rule = ErrorRule(grpc.StatusCode.UNAVAILABLE, "AWAY", "Away.", retryable=True)
    assert seen(Trouble(), {Trouble: rule}).retry_after == 1.0
    assert seen(Trouble(retry_after=2.5), {Trouble: rule}).retry_after == 2.5
    assert seen(Trouble(retry_after=2.5)).retry_after == 2.5


def test_a_used_up_quota_says_whose():
    rule = ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA", "Used up.", retryable=True)
    assert seen(Trouble(quota_subject="tenant:acme"), {Trouble: rule}).quota_subject == "tenant:acme"


def test_fields_that_do_not_fit_come_with_their_paths():
    given_ = (FieldViolation("a.b", "must be set."), FieldViolation("c[1]", "is too long."))
    fault = seen(InvalidRequest(given_))
    assert (fault.code, fault.reason, fault.violations) == ("INVALID_ARGUMENT", "INVALID_REQUEST", given_)
    assert "a.b: must be set." in fault.message


@given(st.lists(st.tuples(st.text(max_size=500), st.text(max_size=3000)), min_size=1, max_size=60))
def test_whatever_a_failure_says_its_status_fits_in_a_trailer(pairs):
    """GRPC takes 8 KiB of metadata in all, and ends the call with something else beyond."""
    told = ErrorTable({}).describe(InvalidRequest([FieldViolation(*pair) for pair in pairs]))
    assert (
        told.status.ByteSize()
        <= status_details.LARGEST_STATUS + status_details.LONGEST_MESSAGE + status_details.LONGEST_FACT
    )
    fault = remote_error(failed(told.code, told.message, told.trailing_metadata()))
    assert 1 <= len(fault.violations) <= len(pairs)


def test_a_peers_failure_with_a_reason_of_ours_is_passed_on_as_it_is():
    quota = status_details.status_of(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "Too many.",
        metadata={"limit": "5"},
        retry_after=3,
        quota_subject="acme",
        violations=(FieldViolation("x", "y"),),
    )
    trailing = ((status_details.STATUS_KEY, quota.SerializeToString()),)
    fault = seen(failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many.", trailing))
    assert (fault.code, fault.reason, fault.message) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Too many.")
    assert (fault.metadata, fault.retry_after, fault.quota_subject) == ({"limit": "5"}, 3.0, "acme")
    assert fault.violations == (FieldViolation("x", "y"),)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("UNAVAILABLE", ("UNAVAILABLE", "PEER_UNAVAILABLE")),
        ("CANCELLED", ("UNAVAILABLE", "PEER_UNAVAILABLE")),
        ("DEADLINE_EXCEEDED", ("DEADLINE_EXCEEDED", "PEER_DEADLINE_EXCEEDED")),
        ("UNKNOWN", ("INTERNAL", "INTERNAL")),
        ("UNAUTHENTICATED", ("INTERNAL", "INTERNAL")),
    ],
)
def test_a_peers_failure_without_a_reason_is_told_in_our_words(code, expected):
    with capture_logs():
        fault = seen(failed(grpc.StatusCode[code], "canary: connect to 10.0.0.7 failed"))
    assert (fault.code, fault.reason) == expected
    assert "canary" not in fault.message


def test_that_a_peer_does_not_know_our_own_key_is_not_the_callers_business():
    own = status_details.status_of(grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "The key is unknown.")
    trailing = ((status_details.STATUS_KEY, own.SerializeToString()),)
    with capture_logs():
        assert seen(failed(grpc.StatusCode.UNAUTHENTICATED, "", trailing)).code == "INTERNAL"


@given(st.binary(max_size=200))
def test_details_that_are_no_status_are_no_details(data):
    fault = remote_error(failed(grpc.StatusCode.ABORTED, "sentence", ((status_details.STATUS_KEY, data),)))
    assert (fault.code, fault.message) == ("ABORTED", "sentence")


@pytest.mark.parametrize(
    "rule",
    [
        ErrorRule(grpc.StatusCode.NOT_FOUND, "X_Y", "{name.__class__}"),
        ErrorRule(grpc.StatusCode.NOT_FOUND, "X_Y", "{_private}"),
        ErrorRule(grpc.StatusCode.NOT_FOUND, "X_Y", "{name:{name}}"),
        ErrorRule(grpc.StatusCode.NOT_FOUND, "lower", "Text."),
        ErrorRule(grpc.StatusCode.OK, "X_Y", "Text."),
    ],
)
def test_a_rule_that_cannot_be_right_is_refused_when_the_table_is_made(rule):
    with pytest.raises(ValueError, match="Trouble"):
        ErrorTable({Trouble: rule})


def test_a_rule_that_does_not_fit_its_exception_is_internal_and_in_the_log():
    rule = ErrorRule(grpc.StatusCode.NOT_FOUND, "X_Y", "{missing}")
    with capture_logs() as log:
        assert seen(Trouble(), {Trouble: rule}).reason == "INTERNAL"
    assert [line["event"] for line in log] == ["error_rule_does_not_fit", "unexpected_error"]


def test_every_shared_fault_has_a_rule():
    known = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and each.__base__ is errors.ServiceError
    }
    assert known - {RemoteError} == set(SHARED_RULES)
