"""The tools of a written conversation: what each answers to which call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clawdbot_dialogue.core.machine.effects import CallTool
from clawdbot_dialogue.core.machine.events import ToolReturned
from clawdbot_dialogue.flow_testing.test_file import ToolAnswer


class NoAnswer(Exception):
    """A tool is called, and the file does not say what it answers; the text is a sentence."""


class Stubs:
    """Answers calls: each with the first answer that fits it and is not used up."""

    def __init__(self, answers: Mapping[str, Sequence[ToolAnswer]]) -> None:
        self._left = {tool: list(given) for tool, given in answers.items()}

    def answer(self, call: CallTool) -> ToolReturned:
        """What the tool returns.

        Raises:
            NoAnswer: nothing is left that fits.
        """
        left = self._left.get(call.tool, [])
        found = next((each for each in left if within(each.when, call.arguments)), None)
        if found is None:
            fitting = f" that fits {dict(call.arguments)}" if left else ""
            raise NoAnswer(f"{call.tool} is called, and the file has no (more) answer for it{fitting}")
        if not found.always:
            left.remove(found)
        wrong = found.error is not None
        result = {"error": found.error} if wrong else found.result
        return ToolReturned(call.call_id, result, wrong, found.unknown)

    def unused(self) -> Iterator[str]:
        """Answers that nothing asked for, those that may be given any number of times aside."""
        for tool, answers in self._left.items():
            if left := sum(not each.always for each in answers):
                yield f"{tool} was to be called {left} more times"


def within(wanted: object, given: object) -> bool:
    """Whether a value is as wanted; a mapping may have more keys than are wanted."""
    if isinstance(wanted, dict):
        return isinstance(given, Mapping) and all(
            key in given and within(value, given[key]) for key, value in wanted.items()
        )
    # In Python true == 1; in JSON it is not.
    return isinstance(wanted, bool) == isinstance(given, bool) and wanted == given
