"""Every code that a diagnostic of a flow, or of a conversation file, can have, and what it stands for."""

from __future__ import annotations

from collections.abc import Mapping

CODES: Mapping[str, str] = {
    # The file as such.
    "not-utf8": "the file is not UTF-8 text",
    "too-large": "the file has too many characters, or too many values once aliases are counted in full",
    "too-deep": "lists and mappings are nested too deeply",
    "syntax": "the file is not YAML",
    "several-documents": "the file holds more than one YAML document",
    "tag": "a YAML tag, such as !!python/object; none is understood",
    "duplicate-key": "a key is there twice",
    "too-many": "there is more of this kind than is told",
    # Its shape.
    "not-a-flow": "the file is not a mapping of keys",
    "unknown-key": "a key that is not known where it stands",
    "missing-key": "a key that must be there is not",
    "wrong-type": "a value of another type than the key takes",
    "bad-value": "a value of the right type that the key does not take",
    "bad-name": "a name with characters that names have not, or one that expressions keep for themselves",
    "bad-slot": "options of a slot that do not fit its type or one another, or a pattern that cannot be read",
    "two-kinds": "a state with the keys of two kinds",
    "no-kind": "a state that does nothing",
    "misplaced-key": "a key that has no meaning in a state of this kind",
    # What refers to something else.
    "unknown-state": "a transition to a state that is not there",
    "unknown-locale": "a language that the rules do not know, or that the flow does not speak",
    "missing-variant": "a text that is not there in all the languages of the flow",
    "unknown-flow": "an interrupt by a flow that is not there, or by itself",
    "unknown-tool": "a tool that nothing provides",
    "unknown-model": "a model alias that is not configured",
    "undeclared-slot": "a slot that is not declared, or a part that a slot has not",
    # Expressions and texts.
    "guard-syntax": "an expression that CEL cannot read",
    "guard-type": "an expression whose types do not fit",
    "template-syntax": "a text whose braces do not name a value",
    "missing-value": "a text that shows a tool's result where no tool was called",
    # Warnings.
    "maybe-missing": "a slot that may have no value where it is used",
    "unreachable": "a state that nothing leads to",
    "dead-end": "a state that nothing follows",
    "no-default": "a state that is stuck where none of its guards holds",
    "no-error-branch": "a call that does not say what to do when the tool fails",
    "shadowed": "a transition that is never taken",
    "no-question": "a slot that is asked for without words of its own",
    "unused-slot": "a slot that nothing asks for or uses",
    "not-a-value": "a comparison of a slot with what it cannot be",
    "loop": "states that lead round without waiting for the person; an error where no guard could end it",
    "cannot-resume": "an interrupt after which the flow does not go on as it says",
    "tool-argument": "an argument that a tool does not take, or lacks",
}
"""Code → what is wrong, as part of a sentence. Codes are stable: tools and people look for them."""
