"""Every code that a diagnostic of a flow file or a conversation file can have, and what it means."""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    # The file as a whole.
    "not-utf8": "the file is not UTF-8 text",
    "too-large": "the file has too many characters, or too many values or transitions with their copies",
    "too-deep": "lists and mappings are nested too deeply",
    "syntax": "the file is not valid YAML",
    "several-documents": "the file holds more than one YAML document",
    "tag": "a YAML tag such as !!python/object; tags are not supported",
    "duplicate-key": "a key is written twice",
    "too-many": "there are more errors, or more warnings, than are shown",
    # Its schema.
    "not-a-flow": "the file is not a mapping of keys",
    "unknown-key": "a key that is not known in this place",
    "missing-key": "a required key is missing",
    "wrong-type": "a value of the wrong type",
    "bad-value": "a value of the right type that is not allowed, or more slots or fields than are allowed",
    "bad-name": "a name with invalid characters, or a reserved word of the expression language",
    "bad-slot": "slot options that do not fit the type or each other, or an invalid or too large pattern",
    "two-kinds": "a state with the keys of two kinds",
    "no-kind": "a state that does nothing",
    "misplaced-key": "a key that has no effect in a state of this kind",
    # References.
    "unknown-state": "a transition to a state that does not exist",
    "unknown-locale": "a language that is not supported, does not load, or is not declared by the flow",
    "missing-variant": "a text that is missing in one of the flow's languages",
    "unknown-flow": "an interrupt or a subflow that does not exist, or a flow that interrupts itself",
    "unknown-tool": "a tool that no plugin provides",
    "unknown-model": "a model alias that is not configured",
    "undeclared-slot": "a slot that is not declared, or a part that a slot does not have",
    # Expressions and texts.
    "guard-syntax": "an expression that is not valid CEL",
    "guard-type": "an expression whose types do not fit",
    "guard-cost": "an expression whose loops or patterns could take too long, or with a computed pattern",
    "template-syntax": "a text whose braces do not name a value",
    "missing-value": "a text that shows a tool's result where no tool has been called",
    # Warnings.
    "maybe-missing": "a slot that may have no value where it is used",
    "unreachable": "a state that can never be reached",
    "dead-end": "a state that nothing follows",
    "no-default": "a state that is stuck when none of its guards is true",
    "no-error-branch": "a call that does not say what to do when the tool fails",
    "shadowed": "a transition that is never taken",
    "no-question": "a slot that is asked for without a question of its own",
    "unused-slot": "a slot that is never asked for or used",
    "not-a-value": "a comparison with a value that the slot can never have",
    "loop": "states that loop without waiting for the person; an error if no guard can end the loop",
    "cannot-resume": "an interrupt after which the flow cannot continue as declared",
    "tool-argument": "an argument that a tool does not accept, or that it requires and does not get",
}
"""Code → what is wrong, as part of a sentence. Codes are stable: tools and people search for them."""
