"""Looks at a flow that compiles for what its writer likely did not mean: the ways through its states."""

from __future__ import annotations

from collections.abc import Iterator

from clawdbot_dialogue.core.flow.diagnostics import Findings
from clawdbot_dialogue.core.flow.lint.control_flow import reachable
from clawdbot_dialogue.core.flow.lint.impossible_values import impossible_values
from clawdbot_dialogue.core.flow.lint.interrupts import nothing_to_ask
from clawdbot_dialogue.core.flow.lint.loops import loops
from clawdbot_dialogue.core.flow.lint.unreachable_transitions import shadowed
from clawdbot_dialogue.core.flow.lint.unset_reads import missing_values
from clawdbot_dialogue.core.flow.lint.unused_slots import unused_slots
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource, SlotSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.tree import written_at


def lint(flow: Flow, source: FlowSource, document: Document, findings: Findings) -> None:
    """Adds what it finds to `findings`."""
    _unreachable(flow, document, findings)
    _ways_out(flow, document, findings)
    _unused(flow, source, document, findings)
    missing_values(flow, document, findings)
    unused_slots(flow, document, findings)
    impossible_values(flow, document, findings)
    loops(flow, document, findings)
    nothing_to_ask(flow, document, findings)


def _unreachable(flow: Flow, document: Document, findings: Findings) -> None:
    # Whoever asks for a person is taken to on_handoff from anywhere.
    seen = reachable(flow, [flow.initial, flow.on_handoff] if flow.on_handoff else [flow.initial])
    for name in flow.states:
        if name not in seen:
            mark = document.key_at(written_at(flow.states, name))
            findings.warning(
                "unreachable", f'Nothing leads to "{name}".', mark, "Add a transition to it, or remove it."
            )


def _ways_out(flow: Flow, document: Document, findings: Findings) -> None:
    for name, state in flow.states.items():
        path = written_at(flow.states, name)
        if state.kind in ("collect", "call", "subflow") and not state.next:
            hint = "Add `next`; without it the conversation rests, and starts over with the next message."
            findings.warning("dead-end", f'Nothing follows "{name}".', document.key_at(path), hint)
        elif state.next and all(way.guard for way in state.next) and state.kind not in ("generate", "end"):
            hint = "End `next` with a {to: …} that has no `if`."
            place = document.key_at((*path, "next"))
            findings.warning("no-default", f'"{name}" is stuck where none of its guards holds.', place, hint)
        if state.kind == "call" and not any(way.on_error in ("any", "failed") for way in state.errors):
            hint = "Add {on_error: any, to: …}."
            message = f'"{name}" does not say what to do when the tool fails.'
            findings.warning("no-error-branch", message, document.key_at(path), hint)
        shadowed(state, path, document, findings)


def _unused(flow: Flow, source: FlowSource, document: Document, findings: Findings) -> None:
    asked = {slot for state in flow.states.values() for slot in state.collect}
    for name in source.slots.keys() & asked:
        for path in _without_words(source.slots[name], ("slots", name)):
            message = f'"{path[-1]}" is asked for without words of its own.'
            findings.warning("no-question", message, document.key_at(path), "Add `ask`.")


def _without_words(slot: SlotSource, path: Path) -> Iterator[Path]:
    """What has no question though it is asked for: the slot, or fields of it."""
    if slot.items and slot.items.fields:
        yield from _without_words(slot.items, (*path, "items"))
    elif slot.fields:
        for name, field in slot.fields.items():
            if field.required is not False:
                yield from _without_words(field, (*path, "fields", name))
    elif slot.ask is None:
        yield path
