"""Why a turn went the way it went, for a person: what was understood, tried, gone and asked, in order."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from clawdbot.dialogue.v1 import explanation_pb2 as pb
from clawdbot.dialogue.v1.turn_pb2 import Command
from clawdbot_servicekit.structs import to_plain

from clawdbot_cli.chat.screen import ASIDE, Screen
from clawdbot_cli.sanitize import one_line, pairs, value_text

WIDEST: Final = 200
"""Characters of one line where not everything is to be shown."""


def show_explanation(screen: Screen, explanation: pb.Explanation, *, whole: bool) -> None:
    """Prints it; in full with what models were told, or a line for each thing."""
    for step in explanation.steps:
        kind = step.WhichOneof("what")
        if kind is not None:
            for line in _LINES[kind](getattr(step, kind), whole):
                screen.line(f"  · {line}", ASIDE)
    if explanation.truncated:
        screen.line("  · … there was more than is kept.", ASIDE)


def _understood(understood: pb.CommandsUnderstood, _: bool) -> Iterator[str]:
    for command in understood.commands:
        verdict = "" if command.accepted else f" refused: {one_line(command.reason, WIDEST)}"
        yield f"understood by {command.source}: {_said(command)}{verdict}"


def _said(command: Command) -> str:
    value = f" = {value_text(command.value)}" if command.HasField("value") else ""
    return f"{command.name} {one_line(command.target, 80)}{value}".rstrip()


def _tried(tried: pb.TransitionTried, _: bool) -> Iterator[str]:
    guard = f"if {one_line(tried.guard, WIDEST)}" if tried.guard else "no guard"
    yield f"{tried.state} → {tried.to or 'stays'}: {guard}: {'holds' if tried.held else 'does not hold'}"


def _moved(moved: pb.StateMoved, _: bool) -> Iterator[str]:
    yield f"went {f'{moved.source} ' if moved.source else ''}→ {moved.to} ({moved.cause}, {moved.flow})"


def _remark(remark: pb.Remark, _: bool) -> Iterator[str]:
    yield f"{remark.code} in {remark.state}: {one_line(remark.message, WIDEST)}"


def _asked(asked: pb.ModelAsked, whole: bool) -> Iterator[str]:
    purpose = {
        pb.ModelAsked.PURPOSE_REPLY: "to reply",
        pb.ModelAsked.PURPOSE_UNDERSTAND: "what was meant",
    }.get(asked.purpose, "")
    cost = f"{asked.usage.input_tokens} + {asked.usage.output_tokens} tokens"
    sent = f"{asked.messages} messages, {cost}, {asked.elapsed.ToMilliseconds()} ms"
    yield f"asked {asked.model} {purpose}: {sent}"
    if whole:
        yield from (f"  told: {line}" for line in asked.instructions.splitlines())
        for name in asked.tools:
            yield f"  might call: {name}"
        for offer in asked.offers:
            yield f"  might propose: {offer.name}: {one_line(offer.description, WIDEST)}"
            shape = to_plain(offer.input_schema).get("properties", {})
            yield f"    with {json.dumps(shape, ensure_ascii=False)}"
    for part in asked.answer.parts:
        if part.HasField("tool_call"):
            yield f"  called: {part.tool_call.name} {pairs(part.tool_call.arguments)}".rstrip()
        elif part.HasField("text"):
            yield f"  said: {part.text if whole else one_line(part.text, WIDEST)}"
    if asked.failure:
        yield f"  failed: {one_line(asked.failure, WIDEST)}"


_LINES: Final[Mapping[str, Callable[[Any, bool], Iterator[str]]]] = {
    "understood": _understood,
    "tried": _tried,
    "moved": _moved,
    "remark": _remark,
    "asked": _asked,
}
