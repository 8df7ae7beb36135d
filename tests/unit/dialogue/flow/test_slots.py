"""A slot accepts what fits its type and bounds, normalises it, and explains why it rejects the rest."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from clawdbot_dialogue.core.flow.slots.slot import SlotValueError
from clawdbot_dialogue.core.flow.slots.validation import SlotValidationError, validate_slots

from tests.support.flows import compiled

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


def flow_with(slot):
    return compiled(f"slots:\n  x: {slot}\nstates: {{a: {{end: true}}}}")


VALID = [
    ("{type: string}", "  hello ", "hello"),
    ("{type: string, pattern: '[A-Z]{2}[0-9]+'}", "AB12", "AB12"),
    ("{type: integer}", 4, 4),
    ("{type: integer}", 4.0, 4),
    ("{type: integer, min: 1, max: 4}", 4, 4),
    ("{type: number}", 4, 4.0),
    ("{type: number, min: 0.5}", 0.5, 0.5),
    ("{type: boolean}", False, False),
    ("{type: date}", "2026-02-28", "2026-02-28"),
    ("{type: date, min: today, max: today+1d}", "2026-11-25", "2026-11-25"),
    ("{type: date, min: today-1d}", "2026-11-23", "2026-11-23"),
    ("{type: time}", "7:05", "07:05"),
    ('{type: time, min: "9:00"}', "09:00", "09:00"),
    ("{type: time}", "19:30:00", "19:30"),
    ("{type: datetime}", "2026-12-01 7:05", "2026-12-01T07:05"),
    ("{type: datetime}", "2026-12-01T19:30:00", "2026-12-01T19:30"),
    ("{type: datetime, min: now, max: now+2h}", "2026-11-24T15:00", "2026-11-24T15:00"),
    ("{type: datetime, min: now-10m, max: now+1d}", "2026-11-25T15:00", "2026-11-25T15:00"),
    ("{type: enum, values: [small, large]}", "large", "large"),
    ("{type: email}", "Ada@EXAMPLE.com", "Ada@example.com"),
    ("{type: phone}", "+44 20 7946 0958", "+442079460958"),
    ("{type: phone, region: GB}", "020 7946 0958", "+442079460958"),
    (
        "{type: object, fields: {a: {type: integer}, b: {type: string, required: false}}}",
        {"a": 4.0},
        {"a": 4},
    ),
    (
        "{type: object, fields: {at: {type: datetime}}}",
        {"at": "2026-12-01 19:30"},
        {"at": "2026-12-01T19:30"},
    ),
    ("{type: list, items: {type: date}}", ["2026-12-01"], ["2026-12-01"]),
    ("{type: list, items: {type: string}, min_items: 0}", [], []),
    (
        "{type: list, items: {type: object, fields: {a: {type: string}}}}",
        [{"a": " x "}, {"a": "y"}],
        [{"a": "x"}, {"a": "y"}],
    ),
]
INVALID = [
    ("{type: string}", "   ", "too_short"),
    ("{type: string}", 4, "not_text"),
    ("{type: string}", "x" * 10_001, "too_long"),
    ("{type: string, min_length: 3}", "ab", "too_short"),
    ("{type: string, max_length: 3}", "abcd", "too_long"),
    ("{type: string, pattern: '[A-Z]{2}'}", "ABC", "no_match"),
    ("{type: string, pattern: 'a|b'}", "ac", "no_match"),
    ("{type: string, pattern: 'a'}", "a\nb", "no_match"),
    ("{type: integer}", 4.5, "not_integer"),
    ("{type: integer}", "4", "not_integer"),
    ("{type: integer}", True, "not_integer"),
    ("{type: integer}", float("nan"), "not_integer"),
    ("{type: integer}", 2**53 + 1, "not_integer"),
    ("{type: integer, min: 1}", 0, "too_small"),
    ("{type: integer, max: 4}", 5, "too_large"),
    ("{type: number}", float("inf"), "not_number"),
    ("{type: number}", "x", "not_number"),
    ("{type: boolean}", "yes", "not_boolean"),
    ("{type: boolean}", 1, "not_boolean"),
    ("{type: date}", "2026-02-29", "not_date"),
    ("{type: date}", "20260228", "not_date"),
    ("{type: date}", "２０２６-02-28", "not_date"),
    ("{type: date, min: today}", "2026-11-23", "too_early"),
    ("{type: date, max: today+1d}", "2026-11-26", "too_late_value"),
    ("{type: time}", "24:00", "not_time"),
    ("{type: time}", "19:30:20", "not_time"),
    ('{type: time, min: "11:00"}', "10:59", "too_early"),
    ('{type: time, max: "22:00"}', "22:01", "too_late_value"),
    ("{type: datetime}", "2026-12-01", "not_datetime"),
    ("{type: datetime}", "2026-02-30T10:00", "not_datetime"),
    ("{type: datetime}", "2026-12-01T24:00", "not_datetime"),
    ("{type: datetime}", "2026-12-01T19:30:15", "not_datetime"),
    ("{type: datetime}", 20261201, "not_datetime"),
    ("{type: datetime, min: now}", "2026-11-24T14:59", "too_early"),
    ("{type: datetime, max: now+2h}", "2026-11-24T17:01", "too_late_value"),
    ('{type: datetime, min: "2026-12-01 09:00"}', "2026-12-01T08:59", "too_early"),
    ("{type: object, fields: {a: {type: integer}}}", {}, "part_missing"),
    ("{type: object, fields: {a: {type: integer}}}", {"a": None}, "part_missing"),
    ("{type: object, fields: {a: {type: integer}}}", {"a": "x"}, "not_integer"),
    ("{type: object, fields: {a: {type: integer}}}", {"a": 1, "b": 2}, "no_part"),
    ("{type: object, fields: {a: {type: integer}}}", [1], "not_object"),
    ("{type: list, items: {type: integer}}", 4, "not_list"),
    ("{type: list, items: {type: integer}}", [], "too_few"),
    ("{type: list, items: {type: integer}, min_items: 2}", [1], "too_few"),
    ("{type: list, items: {type: integer}, max_items: 2}", [1, 2, 3], "too_many"),
    ("{type: list, items: {type: integer}}", list(range(101)), "too_many"),
    ("{type: list, items: {type: integer, max: 4}}", [5], "too_large"),
    ("{type: enum, values: [a]}", "b", "not_a_value"),
    ("{type: enum, values: [a]}", ["a"], "not_a_value"),
    ("{type: email}", "ada@example", "not_email"),
    ("{type: email}", "a" * 500 + "@example.com", "not_email"),
    ("{type: email}", None, "not_email"),
    ("{type: phone}", "12", "not_phone"),
    ("{type: phone}", "020 7946 0958", "not_phone"),
    ("{type: phone}", "+442079460958" + " " * 400, "not_phone"),
]


@pytest.mark.parametrize(("slot", "value", "normalised"), VALID)
def test_a_value_that_fits_is_normalised(slot, value, normalised):
    checked = flow_with(slot).slots["x"].check(value, NOW)
    assert checked == normalised
    assert type(checked) is type(normalised)


@pytest.mark.parametrize(("slot", "value", "reason"), INVALID)
def test_a_value_that_does_not_fit_is_rejected_with_a_reason(slot, value, reason):
    with pytest.raises(SlotValueError) as error:
        flow_with(slot).slots["x"].check(value, NOW)
    assert error.value.reason == reason


@pytest.mark.parametrize(("slot", "value", "reason"), INVALID)
def test_an_invalid_value_from_a_caller_is_a_violation_with_field_and_sentence(slot, value, reason):
    flow = flow_with(slot)
    if value is None:
        assert validate_slots(flow, {"x": None}, NOW) == {}
        return
    with pytest.raises(SlotValidationError) as error:
        validate_slots(flow, {"x": value, "y": 1}, NOW)
    first, second = error.value.violations
    assert first.field in ("slots.x", "slots.x.a", "slots.x[0]")
    assert first.description.endswith((".", '".'))
    assert "{" not in first.description
    assert (second.field, second.description) == ("slots.y", "The flow f has no slot y.")


def test_the_field_of_an_object_that_does_not_fit_is_named():
    flow = flow_with("{type: object, fields: {a: {type: integer, max: 4, called: age}}}")
    with pytest.raises(SlotValidationError) as error:
        validate_slots(flow, {"x": {"a": 5}}, NOW)
    (violation,) = error.value.violations
    assert (violation.field, violation.description) == ("slots.x.a", "The age must be at most 4.")


@pytest.mark.parametrize(
    ("items", "value", "field"),
    [
        ("{type: integer, max: 4}", [1, 5], "slots.x[1]"),
        (
            "{type: object, fields: {a: {type: integer, max: 4}}}",
            [{"a": 1}, {"a": 2}, {"a": 5}],
            "slots.x[2].a",
        ),
        ("{type: object, fields: {a: {type: integer}}}", [{"b": 1}], "slots.x[0]"),
    ],
)
def test_the_item_of_a_list_that_does_not_fit_is_named(items, value, field):
    flow = flow_with(f"{{type: list, items: {items}}}")
    with pytest.raises(SlotValidationError) as error:
        validate_slots(flow, {"x": value}, NOW)
    assert [each.field for each in error.value.violations] == [field]


def test_every_normalised_value_fits_again():
    for slot, value, _ in VALID:
        checked = flow_with(slot).slots["x"].check(value, NOW)
        assert flow_with(slot).slots["x"].check(checked, NOW) == checked


def test_bounds_relative_to_today_are_skipped_without_a_date():
    flow = flow_with("{type: date, min: today}")
    assert validate_slots(flow, {"x": "1999-01-01"}) == {"x": "1999-01-01"}
