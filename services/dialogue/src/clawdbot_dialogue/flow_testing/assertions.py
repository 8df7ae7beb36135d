"""Compares what happened in a step with what was expected, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from clawdbot_dialogue.core.machine.snapshot import Snapshot
from clawdbot_dialogue.flow_testing.step_result import Record
from clawdbot_dialogue.flow_testing.test_file import Expectation
from clawdbot_dialogue.flow_testing.tool_stubs import within


def differences(expected: Expectation, record: Record, snapshot: Snapshot) -> Iterator[str]:
    """What is not as expected, one sentence each."""
    yield from _place(expected, snapshot)
    yield from _slots(expected.slots, snapshot.slots)
    yield from _replies(expected, record.replies)
    yield from _calls(expected, record)
    if expected.commands is not None and expected.commands != record.commands:
        yield f"expected the commands {_list(expected.commands)}, understood {_list(record.commands)}"
    path = [state for _, state in record.path]
    if expected.path is not None and expected.path != path:
        yield f"expected the path {_list(expected.path)}, went {_list(path)}"
    failed = [expected.failed] if expected.failed else []
    if failed != record.failures:
        yield f"expected the failure {_list(failed)}, the machine declared {_list(record.failures)}"


def _place(expected: Expectation, snapshot: Snapshot) -> Iterator[str]:
    places = (
        ("flow", expected.flow, snapshot.flow),
        ("state", expected.state, snapshot.state),
        ("status", expected.status, snapshot.status),
        ("queue", expected.queue, snapshot.handoff_queue),
        ("locale", expected.locale, snapshot.locale),
    )
    for name, wanted, is_now in places:
        if wanted is not None and wanted != is_now:
            yield f'expected the {name} "{wanted}", it is "{is_now}"'


def _slots(expected: Mapping[str, object], slots: Mapping[str, object]) -> Iterator[str]:
    for name, wanted in expected.items():
        if slots.get(name) != wanted:
            yield f"expected the slot {name} to be {_value(wanted)}, it is {_value(slots.get(name))}"


def _replies(expected: Expectation, replies: Sequence[str]) -> Iterator[str]:
    said = "\n".join(replies)
    if expected.silent and replies:
        yield f"expected silence, the reply is {said!r}"
    for unwanted in expected.not_reply:
        if found := unwanted.pattern.search(said):
            yield f"expected no reply {unwanted}, {found[0]!r} is in {said!r}"
    position = 0
    for wanted in expected.reply:
        found = wanted.pattern.search(said, position)
        if found is None:
            yield f"expected the reply {wanted}, it is {said!r}"
            return
        position = found.end()


def _calls(expected: Expectation, record: Record) -> Iterator[str]:
    if expected.tool_calls is None:
        return
    wanted = [each.tool for each in expected.tool_calls]
    called = [tool for tool, _ in record.tool_calls]
    if wanted != called:
        yield f"expected the tool calls {_list(wanted)}, there were {_list(called)}"
        return
    for call, (tool, arguments) in zip(expected.tool_calls, record.tool_calls, strict=True):
        for name, value in call.args.items():
            if not within(value, arguments.get(name)):
                yield f"expected {tool} with {name} {_value(value)}, it got {_value(arguments.get(name))}"


def _value(value: object) -> str:
    return "without value" if value is None else repr(value)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
