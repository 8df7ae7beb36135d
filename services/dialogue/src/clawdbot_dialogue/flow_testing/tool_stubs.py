"""Answers the tool calls of a conversation with the stubs in its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clawdbot_dialogue.core.machine.effects import CallTool
from clawdbot_dialogue.core.machine.events import ToolReturned
from clawdbot_dialogue.flow_testing.test_file import ToolStub


class NoMatchingStub(Exception):
    """A tool was called, and no stub in the file answers the call; the text is a sentence."""


class ToolStubs:
    """Answers each call with the first stub that matches it and is not used up."""

    def __init__(self, stubs: Mapping[str, Sequence[ToolStub]]) -> None:
        self._remaining = {tool: list(given) for tool, given in stubs.items()}

    def answer(self, call: CallTool) -> ToolReturned:
        """What the tool returns.

        Raises:
            NoMatchingStub: none of the remaining stubs matches the call.
        """
        remaining = self._remaining.get(call.tool, [])
        stub = next((each for each in remaining if is_subset(each.when, call.arguments)), None)
        if stub is None:
            matching = f" that matches {dict(call.arguments)}" if remaining else ""
            raise NoMatchingStub(f"{call.tool} was called, but the file has no answer left{matching}")
        if not stub.always:
            remaining.remove(stub)
        is_error = stub.error is not None
        result = {"error": stub.error} if is_error else stub.result
        return ToolReturned(call.call_id, result, is_error, stub.unknown)

    def unused(self) -> Iterator[str]:
        """A sentence for each tool with unused stubs, except those that may be used any number of times."""
        for tool, stubs in self._remaining.items():
            if remaining := sum(not each.always for each in stubs):
                yield f"unused answers of {tool}: {remaining}"


def is_subset(expected: object, given: object) -> bool:
    """Whether a value is as expected; its mappings may have more keys than expected."""
    if isinstance(expected, dict):
        return isinstance(given, Mapping) and all(
            key in given and is_subset(value, given[key]) for key, value in expected.items()
        )
    # In Python true == 1; in JSON it is not.
    return isinstance(expected, bool) == isinstance(given, bool) and expected == given
