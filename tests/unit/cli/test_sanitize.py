"""Text from elsewhere cannot control the terminal."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import ToolCall
from clawdbot_cli.sanitize import format_arguments, format_pairs, format_value, one_line, sanitize
from google.protobuf.struct_pb2 import Struct, Value


@pytest.mark.parametrize(
    ("evil", "shown"),
    [
        ("\x1b[2Jgone", "␛[2Jgone"),  # clears the screen
        ("\x1b]0;title\x07", "␛]0;title␇"),  # renames the window
        ("\x1b]52;c;cm0gLXJm\x07", "␛]52;c;cm0gLXJm␇"),  # writes the clipboard
        ("\x9b31mred", "\N{REPLACEMENT CHARACTER}31mred"),  # CSI in one character
        ("safe\rEVIL", "safeEVIL"),  # overwrites the line
        ("a\x08b\x7f", "a␈b␡"),
        ("\u202egnp.exe", "\N{REPLACEMENT CHARACTER}gnp.exe"),  # reads backwards
        ("\u2066x\u2069", "\N{REPLACEMENT CHARACTER}x\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_control_characters_are_shown_instead_of_obeyed(evil, shown):
    assert sanitize(evil) == shown


@pytest.mark.parametrize("text", ["two\nlines\tand a tab", "naïve 漢字 👩‍👩‍👧", "[bold]no markup[/]", ""])
def test_ordinary_text_is_not_changed(text):
    assert sanitize(text) == text


def test_only_line_breaks_and_tabs_remain_of_the_control_characters():
    everything = "".join(map(chr, range(0x3000)))
    left = {each for each in sanitize(everything) if ord(each) < 0x20 or 0x7F <= ord(each) < 0xA0}
    assert left == {"\n", "\t"}


def test_a_long_text_is_cut_to_one_line():
    assert one_line("one\n  two\t three", 80) == "one two three"
    assert one_line("x" * 100, 10) == "x" * 9 + "…"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Value(number_value=4), "4"),
        (Value(number_value=2.5), "2.5"),
        (Value(number_value=float("inf")), "Infinity"),
        (Value(string_value="2026-11-25"), "2026-11-25"),
        (Value(string_value="Ada Lovelace"), '"Ada Lovelace"'),
        (Value(string_value=""), '""'),
        (Value(string_value="\x1b[31m"), '"\\u001b[31m"'),
        (Value(bool_value=True), "true"),
        (Value(null_value=0), "null"),
        (Value(), "null"),
    ],
)
def test_a_slots_value_is_short_text(value, shown):
    assert format_value(value) == shown


def test_slots_are_sorted_by_name():
    slots = Struct()
    slots.update({"time": "19:00", "party_size": 4, "extras": ["window", 2]})
    assert format_pairs(slots) == 'extras=["window", 2] party_size=4 time=19:00'


def test_a_calls_arguments_are_shown_exactly_where_they_are_known():
    call = ToolCall(arguments_json='{"order": 2512292042121000001, "note": "hi"}')
    call.arguments.update({"order": 2512292042121000001})
    assert format_arguments(call) == "note=hi order=2512292042121000001"
    call.arguments_json = "{"
    assert format_arguments(call) == f"order={int(float(2512292042121000001))}"
