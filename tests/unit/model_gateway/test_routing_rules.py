"""Rules in CEL send requests to other models; what is wrong with one is found when it is read."""

from __future__ import annotations

import re
import time

import pytest
from clawdbot.common.v1.message_pb2 import ROLE_SYSTEM
from clawdbot.model_gateway.v1.generation_pb2 import PRIORITY_BATCH, GenerateRequest
from clawdbot_model_gateway.core.routing.routing_rules import InvalidCondition, RoutingRules, check_condition
from structlog.testing import capture_logs

from tests.support.generate_requests import asks, says, tool
from tests.support.processor_time import bounded


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
    ("condition", "cause"),
    [
        ("1 / (request.messages.size() - 1) > 0", "division by zero"),
        ("1 % (request.messages.size() - 1) > 0", "division by zero"),
        ("int(labels.n) > 3", "a text that is not a number"),
        ("9223372036854775807 + request.messages.size() > 0", "a number out of range"),
        ("request.messages[3].name == 'x'", "no such position in a list"),
        ("tenant.matches(labels.pattern)", "an invalid regular expression"),
        ("request.messages.all(m, range.all(n, true))", "loops over too many values"),
    ],
)
def test_the_log_says_which_kind_of_error_a_rule_had(condition, cause):
    if "range" in condition:
        condition = condition.replace("range", "request.messages")
        request = asks(*(says("x", ROLE_SYSTEM) for _ in range(3000)))
    else:
        request = asks(metadata={"n": "secret", "pattern": "[secret"})
    with capture_logs() as logs:
        assert chosen({condition: "one", "true": "two"}, request) == "two"
    assert [each["cause"] for each in logs] == [cause]


@pytest.mark.parametrize(
    ("condition", "sentence"),
    [
        ("", "at character 1: it ends too early"),
        ("tenant ==", "at character 10: it ends too early"),
        ('(tenant == "a"', "at character 15: ) is missing at the end"),
        ('tenant == "a")', "at character 14: ) is not expected here"),
        ('tenant = "a"', "at character 8: = is not expected here"),
        ('tennant == "acme"', "at character 1: there is no tennant"),
        ("request.tool.size() > 0", "at character 8: GenerateRequest has no field tool"),
        ("tenant.name == 'a'", "at character 7: a text has no fields"),
        ("tenant + 1 == 2", "at character 8: + cannot be used with a text and a whole number"),
        ("tenant == 1", "at character 8: == cannot be used with a text and a whole number"),
        ("tenant in 5", "at character 8: in cannot be used with a text and a whole number"),
        ("tenant.startsWith(1)", "startsWith() cannot be used with a text and a whole number"),
        ("true ? 1 : 'a'", "?: cannot be used with true or false and a whole number and a text"),
        ("request.sampling.temperature == 'hot'", "== cannot be used with a"),
        ("tenant", "expected a condition, which is true or false; this is a text"),
        ("request.tools.size()", "expected a condition, which is true or false; this is a whole number"),
        ("request.sampling", "expected a condition, which is true or false; this is a Sampling"),
        ("type(request)", "expected a condition, which is true or false; this is another type"),
        ("request.tools", "expected a condition, which is true or false; this is a list"),
        ('tenant.matches("[")', '"[" is not a regular expression: missing ]'),
        ("matches(string(tenant), 'a(')", "'a(' is not a regular expression: missing )"),
        ("tenant.matches('''[''')", "'''[''' is not a regular expression: missing ]"),
        ('tenant.matches(r"""a("b"\'c)(""")', "is not a regular expression: missing )"),
        ('true || labels["x"].matches(r"*a")', 'r"*a" is not a regular expression'),
        ('request.model.matches("x{2000}") // why', "is not a regular expression: invalid repetition size"),
        ("request.tools.map(t, t.name).size() > 0", "map() is not allowed"),
        ("request.tools.filter(t, t.name == 'a').size() > 0", "filter() is not allowed"),
        ("true" + " || true" * 300, "at most 2000 are allowed"),
        (
            "request.messages.exists(m, m.name + tenant == 'ab')",
            "in a condition that loops: each makes",
        ),
        (
            "request.tools.all(t, bytes(t.name) == b'a')",
            "cannot be joined or converted",
        ),
        (
            "request.tools.exists_one(t, [t] + request.tools == [])",
            "in a condition that loops: each makes",
        ),
        (
            "request.model + dyn(tenant) + 'a' + 'b' + 'c' + 'd' == 'x'",
            "more than 4 times: each makes a copy",
        ),
        (r"tenant.matches('\\p{L}{20}')", "is too large: it takes"),
        ("request.tools.all(t, t.name.matches('(x{9}){90}'))", "is too large: it takes"),
        ("request.tools.all(t, t.name.matches(labels.pattern))", "must be written in it"),
        ("request.tools.all(t, matches(t.name, 'a') && t.name.matches('a' + 'b'))", "each makes a copy"),
        ("request.tools.all(t, matches(t.name, 'a') && matches('a', t.name))", "must be written in it"),
        ("(" * 60 + "true" + ")" * 60, "too many levels"),
    ],
)
def test_what_is_wrong_with_a_condition_is_said(condition, sentence):
    with pytest.raises(InvalidCondition) as refused:
        check_condition(condition)
    assert sentence in str(refused.value)
    assert not re.search(r"\n|Syntax|EOF|overload|_\w*_|[A-Z]{3}|\*error\*", str(refused.value))


@pytest.mark.parametrize(
    "condition",
    [
        'tenant.matches("^a[b-d]+$")',
        'tenant.matches("""a"b\'c+""") || tenant == "" || tenant == \'\'',
        "tenant == '''matches('[')'''",
        'tenant.matches("a\\\\.b") && tenant.startsWith("[")',
        "tenant == 'matches(\"[\")'",
        'tenant.matches(labels["pattern"])',
        'tenant.matches("[" + "a]")',
        'tenant + "/" + request.model == "acme/chat"',
        "request.messages.exists(m, m.parts.size() + 1 > 3)",
        "request.tools.exists(t, t.name.matches('(?i)^(search|book|cancel)_[a-z]+$'))",
        "request.messages.exists(m, string(m.parts.size()) == tenant)",
    ],
)
def test_what_only_looks_like_an_invalid_pattern_is_allowed(condition):
    check_condition(condition)


def test_loops_over_a_huge_request_end_soon_and_the_rule_does_not_hold():
    request = asks(*(says("x", ROLE_SYSTEM) for _ in range(3000)))
    with bounded():
        quadratic = "request.messages.all(m, request.messages.all(n, n.role == m.role))"
        with capture_logs():
            assert chosen({quadratic: "one", "true": "two"}, request) == "two"


@pytest.mark.parametrize(
    "condition",
    [
        "request.messages.all(m, request.messages.all(n, n.role == m.role))",
        "request.messages.exists(m, m.parts.exists(p, p.text.matches('(x+x+)+y')))",
        "request.messages.exists(m, m.parts.exists(p, p.text.contains('y')))",
    ],
)
def test_what_loops_over_as_many_messages_as_are_allowed_takes_no_seconds(condition):
    """All other calls wait for it."""
    rules = RoutingRules([(condition, "one"), ("request.messages.size() == 10000", "two")])
    request = asks(*(says("x" * 100, ROLE_SYSTEM) for _ in range(10_000)))
    began = time.process_time()
    with capture_logs():
        assert rules.model_for(request, "acme") == "two"
    assert time.process_time() - began < 5


def test_a_request_is_not_changed_and_only_what_rules_read_is_copied():
    request = asks("a", tools=[tool("t", "d")], metadata={"a": "b"}, priority=PRIORITY_BATCH, strict=True)
    request.sampling.top_k = 3
    before = GenerateRequest.FromString(request.SerializeToString())
    assert chosen({"request.tools.size() == 1 && request.sampling.top_k == 3": "one"}, request) == "one"
    assert request == before
