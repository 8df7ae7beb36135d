"""Rules in CEL send requests to other models; what is wrong with one is found when it is read."""

from __future__ import annotations

import time

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM
from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_BATCH, GenerateRequest
from clawdbot_model_gateway.core.routing_rules import InvalidCondition, RoutingRules, check_condition
from structlog.testing import capture_logs

from tests.support.generate_requests import asks, says, tool


def chosen(rules, request=None, tenant="acme"):
    return RoutingRules([*rules.items()]).model_for(request or asks(), tenant)


def as_json():
    return asks(response_format={"json_schema": {"name": "x"}})


def with_image():
    request = asks("what is this?")
    request.messages[0].parts.add().image.uri = "https://example.com/a.png"
    return request


@pytest.mark.parametrize(
    ("condition", "request_", "tenant"),
    [
        ('tenant == "acme"', asks(), "acme"),
        ('tenant in ["acme", "umbrella"]', asks(), "umbrella"),
        ("request.tools.size() > 0", asks(tools=[tool("a")]), "acme"),
        ('tenant == "acme" && request.tools.size() > 0', asks(tools=[tool("a")]), "acme"),
        ('request.tools.exists(t, t.name.startsWith("a."))', asks(tools=[tool("b"), tool("a.x")]), "acme"),
        ('labels.plan == "gold"', asks(metadata={"plan": "gold"}), "acme"),
        ('"plan" in labels && labels["plan"].startsWith("g")', asks(metadata={"plan": "gold"}), "acme"),
        ('request.metadata.plan == "gold"', asks(metadata={"plan": "gold"}), "acme"),
        ("request.messages.size() > 1", asks("a", "b"), "acme"),
        ("request.messages.exists(m, m.parts.exists(p, has(p.image)))", with_image(), "acme"),
        ("request.priority == Priority.PRIORITY_BATCH", asks(priority=PRIORITY_BATCH), "acme"),
        ("request.sampling.temperature > 0.5", asks(sampling={"temperature": 0.9}), "acme"),
        ("!has(request.sampling.temperature)", asks(), "acme"),
        (
            "has(request.response_format.json_schema)",
            asks(response_format={"json_schema": {"name": "x"}}),
            "acme",
        ),
        ('request.model == "chat"', asks(model="chat"), "acme"),
        ('request . model.matches("^c.*t$")', asks(model="chat"), "acme"),
        ("request.strict", asks(strict=True), "acme"),
        ('request == request && tenant != ""', asks(), "acme"),
        ("request.provider_options.fast == true", asks(provider_options={"fast": True}), "acme"),
    ],
)
def test_a_condition_reads_the_request_the_tenant_and_the_labels(condition, request_, tenant):
    assert chosen({condition: "big"}, request_, tenant) == "big"
    assert chosen({f"!({condition})": "big"}, request_, tenant) == ""


def test_the_first_rule_that_holds_is_followed():
    rules = {'tenant == "b"': "one", "true": "two", 'tenant == "a"': "three"}
    assert chosen(rules, tenant="a") == "two"
    assert chosen(rules, tenant="b") == "one"


@pytest.mark.parametrize(
    "condition",
    [
        'labels.plan == "gold"',
        'labels["plan"] == "gold"',
        'request.provider_options.x == "1"',
        "request.response_format.json_schema.schema.x == 1",
    ],
)
def test_a_rule_about_a_label_that_is_absent_does_not_hold_and_the_next_one_is_asked(condition):
    with capture_logs() as logs:
        assert chosen({condition: "one", "true": "two"}) == "two"
    assert logs == []


@pytest.mark.parametrize("condition", ["1 / (request.messages.size() - 1) > 0", "int(labels.n) > 3"])
def test_a_rule_that_cannot_be_evaluated_does_not_hold_and_is_logged(condition):
    with capture_logs() as logs:
        assert chosen({condition: "one", "true": "two"}, asks(metadata={"n": "many"})) == "two"
    assert [(each["event"], each["rule"]) for each in logs] == [("routing_rule_failed", condition)]


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("", "at character 1: Syntax error"),
        ("tenant ==", "at character 10: Syntax error"),
        ('tennant == "acme"', "at character 1: undeclared reference to 'tennant'"),
        ("request.tool.size() > 0", "at character 8: undefined field 'tool'"),
        ("tenant + 1 == 2", "no matching overload"),
        ("request.sampling.temperature == 'hot'", "no matching overload"),
        ("tenant", "expected a condition, which is true or false; this is a STRING"),
        ("request.tools.size()", "expected a condition, which is true or false; this is a INT"),
        ("request.tools.map(t, t.name).size() > 0", "map() is not allowed"),
        ("request.tools.filter(t, t.name == 'a').size() > 0", "filter() is not allowed"),
        ("true" + " || true" * 300, "at most 2000 are allowed"),
        ("(" * 60 + "true" + ")" * 60, "recursion limit"),
    ],
)
def test_what_is_wrong_with_a_condition_is_said(condition, sentence):
    with pytest.raises(InvalidCondition) as refused:
        check_condition(condition)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


def test_loops_over_a_huge_request_end_soon_and_the_rule_does_not_hold():
    request = asks(*(says("x", ROLE_SYSTEM) for _ in range(3000)))
    began = time.monotonic()
    quadratic = "request.messages.all(m, request.messages.all(n, n.role == m.role))"
    with capture_logs():
        assert chosen({quadratic: "one", "true": "two"}, request) == "two"
    assert time.monotonic() - began < 5


def test_a_request_is_not_changed_and_only_what_rules_read_is_copied():
    request = asks("a", tools=[tool("t", "d")], metadata={"a": "b"}, priority=PRIORITY_BATCH, strict=True)
    request.sampling.top_k = 3
    before = GenerateRequest.FromString(request.SerializeToString())
    assert chosen({"request.tools.size() == 1 && request.sampling.top_k == 3": "one"}, request) == "one"
    assert request == before
