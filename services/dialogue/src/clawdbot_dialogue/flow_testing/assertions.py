"""Compares what happened in a step with what was expected; describes each difference in a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clawdbot_dialogue.core.machine.snapshot import Snapshot
from clawdbot_dialogue.flow_testing.step_result import ConversationStepResult
from clawdbot_dialogue.flow_testing.test_file import Expectation
from clawdbot_dialogue.flow_testing.tool_stubs import is_subset


def differences(expected: Expectation, result: ConversationStepResult, snapshot: Snapshot) -> Iterator[str]:
    """What is not as expected, one sentence each."""
    yield from _position(expected, snapshot)
    yield from _slots(expected.slots, snapshot.slots)
    yield from _replies(expected, result.replies)
    yield from _calls(expected, result)
    if expected.commands is not None and expected.commands != result.commands:
        yield f"expected the commands {_list(expected.commands)}, got {_list(result.commands)}"
    path = [state for _, state in result.path]
    if expected.path is not None and expected.path != path:
        yield f"expected the path {_list(expected.path)}, got {_list(path)}"
    failures = [expected.failed] if expected.failed else []
    if failures != result.failures:
        yield f"expected the failure {_list(failures)}, got {_list(result.failures)}"


def _position(expected: Expectation, snapshot: Snapshot) -> Iterator[str]:
    fields = (
        ("flow", expected.flow, snapshot.flow),
        ("state", expected.state, snapshot.state),
        ("status", expected.status, snapshot.status),
        ("queue", expected.queue, snapshot.handoff_queue),
        ("locale", expected.locale, snapshot.locale),
    )
    for name, wanted, actual in fields:
        if wanted is not None and wanted != actual:
            yield f'expected the {name} "{wanted}", got "{actual}"'


def _slots(expected: Mapping[str, object], slots: Mapping[str, object]) -> Iterator[str]:
    for name, wanted in expected.items():
        if slots.get(name) != wanted:
            yield f"expected the slot {name} to be {_value(wanted)}, got {_value(slots.get(name))}"


def _replies(expected: Expectation, replies: Sequence[str]) -> Iterator[str]:
    text = "\n".join(replies)
    if expected.silent and replies:
        yield f"expected no reply, got {text!r}"
    for unwanted in expected.not_reply:
        if found := unwanted.pattern.search(text):
            yield f"expected no reply {unwanted}, but found {found[0]!r} in {text!r}"
    position = 0
    for wanted in expected.reply:
        found = wanted.pattern.search(text, position)
        if found is None:
            yield f"expected the reply {wanted}, got {text!r}"
            return
        position = found.end()


def _calls(expected: Expectation, result: ConversationStepResult) -> Iterator[str]:
    if expected.tool_calls is None:
        return
    wanted = [each.tool for each in expected.tool_calls]
    called = [tool for tool, _ in result.tool_calls]
    if wanted != called:
        yield f"expected the tool calls {_list(wanted)}, got {_list(called)}"
        return
    for call, (tool, arguments) in zip(expected.tool_calls, result.tool_calls, strict=True):
        for name, value in call.args.items():
            if not is_subset(value, arguments.get(name)):
                yield f"expected {tool} with {name} {_value(value)}, got {_value(arguments.get(name))}"


def _value(value: object) -> str:
    return "no value" if value is None else repr(value)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
