"""Finds states that lack a transition: after their work, when no guard is true, or when a tool fails."""

from __future__ import annotations

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.model import State
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path


def check_missing_transitions(
    state: State, path: Path, document: Document, diagnostics: DiagnosticCollector
) -> None:
    """Warns of dead ends, of guards without a default, and of calls without an error branch.

    Args:
        state: The state.
        path: Its path in the document.
        document: The document that it is in.
        diagnostics: Receives the warnings.
    """
    if state.kind in ("collect", "call", "subflow") and not state.next:
        message = f'Nothing follows the state "{state.name}".'
        hint = "Add `next`. Without it the conversation stops here and starts over with the next message."
        diagnostics.warning("dead-end", message, document.key_at(path), hint)
    elif state.next and all(each.guard for each in state.next) and state.kind not in ("generate", "end"):
        message = f'The state "{state.name}" is stuck when none of its guards is true.'
        hint = "End `next` with a transition without `if`: {to: …}."
        diagnostics.warning("no-default", message, document.key_at((*path, "next")), hint)
    if state.kind == "call" and not any(each.on_error in ("any", "failed") for each in state.errors):
        message = f'The state "{state.name}" does not say what to do when the tool fails.'
        diagnostics.warning("no-error-branch", message, document.key_at(path), "Add {on_error: any, to: …}.")
