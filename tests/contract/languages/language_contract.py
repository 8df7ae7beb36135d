"""What every language pack does, as tests, which the test class of each language inherits."""

from __future__ import annotations

import functools
from datetime import timedelta
from string import Formatter

import pytest
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.language.language_pack import MESSAGE_KEYS
from clawdbot_dialogue.core.language.language_registry import load_language_pack
from clawdbot_dialogue.core.language.normalization import MAX_READ_CHARS, normalize
from clawdbot_dialogue.core.understanding.context import MessageContext
from clawdbot_dialogue.core.understanding.rule_commands import generate_commands
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.flows import NOW, compiled
from tests.support.processor_time import bounded

SLOTS = """
slots:
  day: {type: date}
  clock: {type: time}
  at: {type: datetime}
  length: {type: duration}
  price: {type: money, currencies: [EUR, USD, CNY]}
  agreed: {type: boolean}
  sure: {type: boolean, fill: asked_only}
  guests: {type: list, items: {type: string}}
states: {a: {end: true}}
"""
MARKS = (", ", ". ", "! ", "!! ", "，", "。", "！", " - ", "\n")
HESITATION = ("... ", "…", "……", ".. ", ", , ", "。。。", "? ")
PUNCTUATION = (" ", ",", ". ", "\n", "1", "1 ", "12:", "-", "a ", "\u4e00", "、")

each_language = settings(suppress_health_check=[HealthCheck.differing_executors])
"""Each class is another language, and repeats an example that failed in another one."""


@functools.cache
def flow_in(tag: str) -> Flow:
    return compiled(f"locale: {tag}{SLOTS}")


def placeholders(template: str) -> set[str | None]:
    return {name for _, name, _, _ in Formatter().parse(template) if name is not None}


class LanguageContract:
    """Subclasses set the attributes."""

    tag: str
    cancel: str
    """A message that cancels; also in `help` and `handoff`."""
    help: str
    handoff: str
    names: tuple[str, str, str]
    """Three people."""
    assent: tuple[str, ...]
    """Messages that say yes in all their words."""
    no_assent: tuple[str, ...]
    """Messages that begin like a yes, or contain one, and are none."""
    greetings: tuple[str, ...]
    courtesies: tuple[str, ...]
    """Thanks and politeness, which may stand beside a yes."""
    farewells: tuple[str, ...]
    spoilers: tuple[str, ...]
    """Words that take a yes back, doubt it, or are about something else."""

    @property
    def flow(self):
        return flow_in(self.tag)

    @property
    def pack(self):
        return load_language_pack(self.tag)

    def test_it_has_every_message_with_the_placeholders_of_english(self):
        english = load_language_pack("en").messages
        assert set(self.pack.messages) == MESSAGE_KEYS
        assert all(self.pack.messages.values())
        assert {key: placeholders(text) for key, text in self.pack.messages.items()} == {
            key: placeholders(text) for key, text in english.items()
        }

    def understands(self, name, value):
        """Whether what the pack writes for a value means that value, to a pack that has asked for it."""
        slot = self.flow.slots[name]
        written = slot.format(slot.check(value, NOW), self.flow.locale)
        commands = generate_commands(MessageContext(self.flow, {}, asked=name), written, NOW)
        found = [slot.check(each.value, NOW) for each in commands if each.target == name and each.accepted]
        assert found == [slot.check(value, NOW)], written

    @each_language
    @given(days=st.integers(-3_000, 3_000))
    def test_a_date_that_it_writes_is_understood_again(self, days):
        self.understands("day", (NOW + timedelta(days)).date().isoformat())

    @each_language
    @given(minutes=st.integers(0, 1439))
    def test_a_time_that_it_writes_is_understood_again(self, minutes):
        self.understands("clock", f"{minutes // 60:02}:{minutes % 60:02}")

    @each_language
    @given(minutes=st.integers(0, 1_000_000))
    def test_a_datetime_that_it_writes_is_understood_again(self, minutes):
        self.understands("at", (NOW + timedelta(minutes=minutes)).isoformat(timespec="minutes"))

    @each_language
    @given(seconds=st.integers(1, 30 * 86_400))
    def test_a_duration_that_it_writes_is_understood_again(self, seconds):
        self.understands("length", seconds)

    @each_language
    @given(cents=st.integers(0, 10**9), currency=st.sampled_from(["EUR", "USD", "CNY"]))
    def test_a_sum_of_money_that_it_writes_is_understood_again(self, cents, currency):
        self.understands("price", {"amount": cents / 100, "currency": currency})

    @pytest.mark.parametrize("value", [True, False])
    def test_its_own_yes_and_no_are_understood_again(self, value):
        said = normalize(self.pack.messages["yes" if value else "no"])
        assert self.pack.yes_no(said) is value
        assert self.pack.only_yes_no(said) is value
        self.understands("agreed", value)

    def commands_to_confirm(self, text):
        """What a message means at a confirmation, and where nothing was asked."""
        for asked in ("sure", ""):
            for each in generate_commands(MessageContext(self.flow, {}, asked), text, NOW):
                yield each.name, each.target, each.value

    def test_assent_confirms(self):
        for text in self.assent:
            assert ("set_slot", "sure", True) in self.commands_to_confirm(text), text
            assert self.pack.yes_no(normalize(text)) is True, text

    def test_what_only_begins_like_a_yes_confirms_nothing(self):
        for text in self.no_assent:
            self.confirms_nothing(text)

    def confirms_nothing(self, text):
        commands = [*self.commands_to_confirm(text)]
        assert ("set_slot", "sure", True) not in commands, text
        assert "affirm" not in [name for name, *_ in commands], text

    @each_language
    @given(data=st.data(), word=st.text('bcdfgqvxzжλ火犬?"(%@', min_size=1, max_size=8))
    def test_a_yes_with_any_other_word_confirms_nothing(self, data, word):
        words = data.draw(st.lists(st.sampled_from(self.assent), min_size=1, max_size=4))
        words.insert(data.draw(st.integers(0, len(words))), f" {word} ")
        self.confirms_nothing(" ".join(words))

    def draw_yes(self, data):
        """The parts of a message that is nothing but a yes, each but the last with the mark after it."""

        def say(texts, least, most):
            return data.draw(st.lists(st.sampled_from(texts), min_size=least, max_size=most))

        said = [*say(self.greetings, 0, 1), *say(self.courtesies, 0, 1), *say(self.assent, 1, 1)]
        said += [*say((*self.assent, *self.courtesies), 0, 3), *say(self.farewells, 0, 1)]
        *before, last = said
        return [*(f"{each}{data.draw(st.sampled_from(MARKS))}" for each in before), last]

    @each_language
    @given(data=st.data())
    def test_a_yes_may_have_any_politeness_beside_it(self, data):
        text = "".join(self.draw_yes(data))
        assert ("set_slot", "sure", True) in self.commands_to_confirm(text), text

    @each_language
    @given(data=st.data())
    def test_one_word_or_mark_that_doubts_a_yes_is_enough(self, data):
        said = self.draw_yes(data)
        spoiler = data.draw(st.sampled_from((*(f" {each}, " for each in self.spoilers), *HESITATION)))
        said.insert(data.draw(st.integers(0, len(said))), spoiler)
        self.confirms_nothing("".join(said))

    @each_language
    @given(data=st.data(), mark=st.sampled_from(("-", " -", "—", ":", ",", "…", "...", "，", "、")))
    def test_a_yes_that_breaks_off_confirms_nothing(self, data, mark):
        self.confirms_nothing("".join(self.draw_yes(data)) + mark)

    def test_a_yes_in_a_message_that_is_too_long_to_be_read_whole_confirms_nothing(self):
        yes = self.assent[0]
        for filling in (" ", f"{yes} ", ". "):
            self.confirms_nothing(f"{yes}{filling * MAX_READ_CHARS}{self.cancel}")

    def test_phrases_that_cancel_ask_for_help_and_for_a_person_are_recognised(self):
        found = [self.pack.set_phrase(normalize(text)) for text in (self.cancel, self.help, self.handoff)]
        assert [each and each.name for each in found] == ["cancel_flow", "help", "handoff"]

    def test_a_name_is_no_set_phrase_and_neither_yes_nor_no(self):
        for name in map(normalize, self.names):
            assert self.pack.set_phrase(name) is None
            assert self.pack.yes_no(name) is None

    @pytest.mark.parametrize("count", [1, 2, 3])
    def test_a_list_that_it_writes_is_understood_again(self, count):
        items = list(self.names[:count])
        assert self.pack.list_grammar.split_items(self.pack.list_grammar.format_list(items)) == items
        self.understands("guests", items)

    def test_a_hostile_message_does_not_take_long(self):
        own = (self.pack.messages["yes"], self.pack.messages["no"])
        said = [self.cancel, self.help, self.handoff, *self.names, *own, *self.assent[:3]]
        for fragment in (*PUNCTUATION, *said, *(f"{each} " for each in said)):
            text = fragment * (20_000 // len(fragment)) + "\0x"
            with bounded():
                for asked in ("", "guests", "at", "price", "sure"):
                    generate_commands(MessageContext(self.flow, {}, asked=asked), text, NOW)
                lists, normalized = self.pack.list_grammar, normalize(text)
                for method in (lists.is_addition, lists.is_removal, lists.is_complete, lists.item_changes):
                    method(normalized)
