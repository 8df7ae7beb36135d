"""Which exception becomes which status, and which parts of a peer's error are passed on."""

from __future__ import annotations

import base64
from urllib.parse import quote

import grpc
import grpc.aio
import pytest
from clawdbot_servicekit import errors, status_details
from clawdbot_servicekit.error_table import SHARED_RULES, ErrorRule, ErrorTable, remote_error
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest, RemoteError
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs


class SomeError(Exception):
    def __init__(self, name="hat", **attributes):
        self.name = name
        self.__dict__ |= attributes
        super().__init__(f"canary {name}")


class WorseError(SomeError):
    pass


RULE = ErrorRule(grpc.StatusCode.NOT_FOUND, "NO_THING", "There is no thing {name}.", metadata=("name",))


def described(error, rules=None):
    """What a caller reads back from the status of the error."""
    status = ErrorTable({SomeError: RULE} if rules is None else rules).describe(error)
    return remote_error(failed(status.code, status.message, status.trailing_metadata()))


def failed(code, message="", trailing=()):
    """The error of a call that ended like this."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), message)


def test_a_rule_gives_code_reason_message_and_metadata():
    error = described(SomeError())
    assert (error.code, error.reason, error.domain) == ("NOT_FOUND", "NO_THING", "clawdbot.dev")
    assert (error.message, error.metadata) == ("There is no thing hat.", {"name": "hat"})
    assert error.retry_after is None


def test_a_subclass_has_the_rule_of_its_nearest_ancestor():
    assert described(WorseError()).reason == "NO_THING"
    own = ErrorRule(grpc.StatusCode.ABORTED, "WORSE", "Worse.")
    assert described(WorseError(), {SomeError: RULE, WorseError: own}).reason == "WORSE"


def test_an_application_can_override_a_shared_rule():
    own = ErrorRule(grpc.StatusCode.ABORTED, "NOT_NOW", "Not now.")
    assert described(errors.ShuttingDown()).reason == "SHUTTING_DOWN"
    assert described(errors.ShuttingDown(), {errors.ShuttingDown: own}).reason == "NOT_NOW"


def test_a_group_has_the_status_of_its_first_member_with_a_rule():
    group = ExceptionGroup(
        "", [ExceptionGroup("", [RuntimeError("canary")]), SomeError("cap"), SomeError("hat")]
    )
    assert described(group).message == "There is no thing cap."


def test_a_group_without_rules_is_internal_once():
    with capture_logs() as log:
        error = described(ExceptionGroup("", [RuntimeError("canary"), ValueError("canary")]))
    assert error.reason == "INTERNAL"
    assert len(log) == 1


@given(st.text())
def test_an_exception_without_a_rule_shows_only_an_id(text):
    with capture_logs() as log:
        error = described(RuntimeError(f"canary-{text}"))
    assert (error.code, error.reason) == ("INTERNAL", "INTERNAL")
    assert "canary" not in str(error.__dict__)
    assert error.metadata == {"log_id": log[0]["log_id"]}
    assert str(log[0]["exc_info"]) == f"canary-{text}"


def test_retry_after_is_the_exceptions_own_or_the_default():
    rule = ErrorRule(grpc.StatusCode.UNAVAILABLE, "AWAY", "Away.", retryable=True)
    assert described(SomeError(), {SomeError: rule}).retry_after == 1.0
    assert described(SomeError(retry_after=2.5), {SomeError: rule}).retry_after == 2.5
    assert described(SomeError(retry_after=2.5)).retry_after == 2.5


def test_an_exhausted_quota_names_its_subject():
    rule = ErrorRule(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA", "Used up.", retryable=True)
    assert described(SomeError(quota_subject="tenant:acme"), {SomeError: rule}).quota_subject == "tenant:acme"


def test_invalid_fields_have_their_paths():
    violations = (FieldViolation("a.b", "must be set."), FieldViolation("c[1]", "is too long."))
    error = described(InvalidRequest(violations))
    assert (error.code, error.reason, error.violations) == ("INVALID_ARGUMENT", "INVALID_REQUEST", violations)
    assert "a.b: must be set." in error.message


@given(st.lists(st.tuples(st.text(max_size=500), st.text(max_size=3000)), min_size=1, max_size=60))
@example([("字段", "错误" * 10)] * 60)
@example([("字" * 66, "错" * 333)] * 3)
@example([("a", " " * 20)] * 200)
def test_every_status_fits_into_a_trailer(pairs):
    """As all but grpcio send it: gRPC allows 8 KiB, and ends the call with another status beyond."""
    status = ErrorTable({}).describe(InvalidRequest([FieldViolation(*pair) for pair in pairs]))
    headers = {
        ":status": "200",
        "content-type": "application/grpc",
        "grpc-status": "3",
        "grpc-message": quote(status.message, safe=""),
        status_details.STATUS_KEY: base64.b64encode(status.status.SerializeToString()).decode(),
    }
    assert sum(len(name) + len(value) + 32 for name, value in headers.items()) <= 8192
    error = remote_error(failed(status.code, status.message, status.trailing_metadata()))
    assert 1 <= len(error.violations) <= len(pairs)


def test_a_peers_error_with_a_reason_of_ours_is_passed_on_unchanged():
    quota = status_details.make_status(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "RATE_LIMITED",
        "Too many.",
        metadata={"limit": "5"},
        retry_after=3,
        quota_subject="acme",
        violations=(FieldViolation("x", "y"),),
    )
    trailing = ((status_details.STATUS_KEY, quota.SerializeToString()),)
    error = described(failed(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too many.", trailing))
    assert (error.code, error.reason, error.message) == ("RESOURCE_EXHAUSTED", "RATE_LIMITED", "Too many.")
    assert (error.metadata, error.retry_after, error.quota_subject) == ({"limit": "5"}, 3.0, "acme")
    assert error.violations == (FieldViolation("x", "y"),)


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
def test_a_peers_error_without_a_reason_gets_one_of_ours(code, expected):
    with capture_logs():
        error = described(failed(grpc.StatusCode[code], "canary: connect to 10.0.0.7 failed"))
    assert (error.code, error.reason) == expected
    assert "canary" not in error.message


def test_a_peer_that_refuses_our_own_key_is_internal_to_the_caller():
    own = status_details.make_status(
        grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED", "The key is unknown."
    )
    trailing = ((status_details.STATUS_KEY, own.SerializeToString()),)
    with capture_logs():
        assert described(failed(grpc.StatusCode.UNAUTHENTICATED, "", trailing)).code == "INTERNAL"


@given(st.binary(max_size=200))
def test_malformed_details_are_ignored(data):
    error = remote_error(failed(grpc.StatusCode.ABORTED, "sentence", ((status_details.STATUS_KEY, data),)))
    assert (error.code, error.message) == ("ABORTED", "sentence")


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
def test_an_invalid_rule_is_refused_when_the_table_is_made(rule):
    with pytest.raises(ValueError, match="SomeError"):
        ErrorTable({SomeError: rule})


def test_a_rule_that_names_a_missing_attribute_is_internal_and_logged():
    rule = ErrorRule(grpc.StatusCode.NOT_FOUND, "X_Y", "{missing}")
    with capture_logs() as log:
        assert described(SomeError(), {SomeError: rule}).reason == "INTERNAL"
    assert [line["event"] for line in log] == ["error_rule_invalid", "unexpected_error"]


def test_every_shared_error_has_a_rule():
    known = {
        each
        for each in vars(errors).values()
        if isinstance(each, type) and each.__base__ is errors.ServiceError
    }
    assert known - {RemoteError} == set(SHARED_RULES)
