"""Prints the explanation of a turn: commands generated, guards evaluated, transitions taken, model calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clawdbot.dialogue.v1 import explanation_pb2 as pb
from clawdbot.dialogue.v1.turn_pb2 import Command
from clawdbot_servicekit.structs import to_plain

from clawdbot_cli.chat.screen import ASIDE, Screen
from clawdbot_cli.sanitize import format_arguments, format_value, one_line

MAX_LINE: Final = 200
"""Characters of one line when the explanation is not shown in full."""


def show_explanation(screen: Screen, explanation: pb.Explanation, *, whole: bool) -> None:
    """Prints the explanation, one line a step; `whole` adds what models were sent, in full."""
    for step in explanation.steps:
        kind = step.WhichOneof("step")
        if kind is not None:
            for line in _LINES[kind](getattr(step, kind), whole):
                screen.line(f"  · {line}", ASIDE)
    if explanation.truncated:
        screen.line("  · … the rest was not kept.", ASIDE)


def _commands(generated: pb.CommandsGenerated, _: bool) -> Iterator[str]:
    for command in generated.commands:
        verdict = "" if command.accepted else f" refused: {one_line(command.reason, MAX_LINE)}"
        yield f"command from {command.source}: {_command(command)}{verdict}"


def _command(command: Command) -> str:
    value = f" = {format_value(command.value)}" if command.HasField("value") else ""
    return f"{command.name} {one_line(command.target, 80)}{value}".rstrip()


def _guard(evaluated: pb.GuardEvaluated, _: bool) -> Iterator[str]:
    guard = f"if {one_line(evaluated.guard, MAX_LINE)}" if evaluated.guard else "no guard"
    verdict = "passes" if evaluated.passed else "does not pass"
    yield f"guard {evaluated.source} → {evaluated.target or 'stays'}: {guard}: {verdict}"


def _transition(taken: pb.TransitionTaken, _: bool) -> Iterator[str]:
    source = f"{taken.source} " if taken.source else ""
    yield f"transition {source}→ {taken.target} ({taken.cause}, {taken.flow})"


def _note(note: pb.Note, _: bool) -> Iterator[str]:
    yield f"{note.code} in {note.state}: {one_line(note.message, MAX_LINE)}"


def _model_call(call: pb.ModelCall, whole: bool) -> Iterator[str]:
    purpose = {
        pb.ModelCall.PURPOSE_REPLY: "for a reply",
        pb.ModelCall.PURPOSE_COMMANDS: "for commands",
    }.get(call.purpose, "")
    cost = f"{call.usage.input_tokens} + {call.usage.output_tokens} tokens"
    sent = f"{call.message_count} messages, {cost}, {call.elapsed.ToMilliseconds()} ms"
    yield f"called {call.model} {purpose}: {sent}"
    if whole:
        yield from (f"  instructions: {line}" for line in call.instructions.splitlines())
        for name in call.tools:
            yield f"  tool: {name}"
        for offer in call.offered_commands:
            yield f"  command: {offer.name}: {one_line(offer.description, MAX_LINE)}"
            properties = to_plain(offer.input_schema).get("properties", {})
            yield f"    with {json.dumps(properties, ensure_ascii=False)}"
    for part in call.reply.parts:
        if part.HasField("tool_call"):
            yield f"  called: {part.tool_call.name} {format_arguments(part.tool_call)}".rstrip()
        elif part.HasField("text"):
            yield f"  said: {part.text if whole else one_line(part.text, MAX_LINE)}"
    if call.error:
        yield f"  failed: {one_line(call.error, MAX_LINE)}"


_LINES: Final[Mapping[str, Callable[[Any, bool], Iterator[str]]]] = {
    "commands_generated": _commands,
    "guard_evaluated": _guard,
    "transition_taken": _transition,
    "note": _note,
    "model_call": _model_call,
}
