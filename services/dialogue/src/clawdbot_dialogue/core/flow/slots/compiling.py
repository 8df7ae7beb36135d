"""From a slot's source to the slot: its options checked against its type, its words compiled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from clawdbot_dialogue.core.flow.diagnostics import Findings, nearest
from clawdbot_dialogue.core.flow.expression_faults import ExpressionFault
from clawdbot_dialogue.core.flow.expressions import (
    RESERVED,
    Activation,
    EvaluationFailed,
    Expression,
    ExpressionCompiler,
)
from clawdbot_dialogue.core.flow.reading import Document, Path
from clawdbot_dialogue.core.flow.slots.slot import LONGEST_TEXT, Bounds, Slot
from clawdbot_dialogue.core.flow.slots.types import SLOT_TYPES
from clawdbot_dialogue.core.flow.source import SlotSource
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.understanding.currencies import CODES, decimals
from clawdbot_dialogue.core.understanding.folding import fold
from clawdbot_dialogue.core.understanding.locale import Locale
from clawdbot_dialogue.core.understanding.vocabulary import Words, slot_words

_OPTIONS = ("currencies", "min", "max", "min_length", "max_length", "pattern", "values", "region")
_BOUNDS = frozenset({"min", "max"})


class SlotCompiler:
    """Compiles the slots of one flow."""

    def __init__(
        self,
        document: Document,
        findings: Findings,
        language: Locale,
        template: Callable[[str, Path], Template],
    ) -> None:
        self._document = document
        self._findings = findings
        self._language = language
        self._template = template

    def compile(self, sources: Mapping[str, SlotSource]) -> dict[str, tuple[Slot, Words]]:
        """Each slot, with its words."""
        return {name: self._slot(name, source) for name, source in sources.items()}

    def _slot(self, name: str, source: SlotSource) -> tuple[Slot, Words]:
        path: Path = ("slots", name)
        self._check(name, source, path)
        spoken = source.called or self._language.spoken(name)
        ask = source.ask or self._language.wording["ask"].format(name=spoken)
        slot = Slot(
            name=name,
            kind=SLOT_TYPES[source.type],
            spoken=spoken,
            ask=self._template(ask, (*path, "ask")),
            asked_only=source.fill == "asked_only",
            minimum=source.min,
            maximum=source.max,
            min_length=source.min_length or 0,
            max_length=source.max_length or LONGEST_TEXT,
            pattern=self._pattern(source.pattern, (*path, "pattern")) if source.pattern else None,
            values={value: tuple(words) for value, words in source.values.items()},
            hints=tuple(source.hints),
            currencies=tuple(source.currencies),
            region=source.region or "",
        )
        return slot, slot_words(spoken, slot.hints, slot.values)

    def _check(self, name: str, source: SlotSource, path: Path) -> None:
        error, at = self._findings.error, self._document.key_at
        if name in RESERVED:
            hint = f"Call it {name}_ or the like."
            error("bad-name", f'"{name}" is a word of the expression language.', at(path), hint)
        kind = SLOT_TYPES[source.type]
        allowed = kind.options | (_BOUNDS if kind.bounds else set())
        for option in _OPTIONS:
            if option in source.model_fields_set and option not in allowed:
                hint = f"It may have {', '.join(sorted(allowed)) or 'none of these'}."
                message = f"A slot of type {source.type} has no {option}."
                error("bad-slot", message, at((*path, option)), hint)
        if kind.bounds:
            self._check_bounds(source, kind.bounds, path)
        if (source.min_length or 0) > (source.max_length or LONGEST_TEXT):
            error(
                "bad-slot",
                "The min_length is greater than the max_length.",
                self._document.at((*path, "min_length")),
            )
        self._check_values(source, path)
        self._check_currencies(source, path)

    def _check_bounds(self, source: SlotSource, bounds: Bounds, path: Path) -> None:
        error, at = self._findings.error, self._document.at
        given = {"min": source.min, "max": source.max}
        wrong = [option for option, bound in given.items() if bound is not None and not bounds.fits(bound)]
        for option in wrong:
            error("bad-slot", f"The {option} of a {source.type} is {bounds.words}.", at((*path, option)))
        least, greatest = (None if bound is None else bounds.order(bound) for bound in given.values())
        if not wrong and least is not None and greatest is not None and least > greatest:
            error("bad-slot", "The min is greater than the max: nothing fits.", at((*path, "min")))

    def _check_values(self, source: SlotSource, path: Path) -> None:
        error = self._findings.error
        if source.type == "enum" and not source.values:
            error("bad-slot", "An enum needs values.", self._document.key_at(path), "Add values: [a, b].")
        taken: dict[str, str] = {}
        for value, words in source.values.items():
            for word in (value, *words):
                other = taken.setdefault(fold(word), value)
                if other != value:
                    mark = self._document.key_at((*path, "values", value))
                    error(
                        "bad-slot", f'"{word}" stands for {other} and for {value}.', mark, "Keep one of them."
                    )

    def _check_currencies(self, source: SlotSource, path: Path) -> None:
        for at, code in enumerate(source.currencies):
            if code not in decimals():
                mark = self._document.at((*path, "currencies", at))
                message = f'ISO 4217 has no currency "{code}".'
                # Of three letters, any two codes are alike: the common ones are likelier meant.
                self._findings.error(
                    "bad-slot", message, mark, nearest(CODES.get(code.lower(), code), CODES.values())
                )

    def _pattern(self, pattern: str, path: Path) -> Expression | None:
        # Through CEL's `matches` the expression is RE2, so that none can take more than linear time.
        compiler = ExpressionCompiler({"value": "string"})
        compiled: Expression | None = None
        try:
            # First as it is: what only looks right inside the brackets, such as "a)|(b", is none.
            for whole in (pattern, f"^(?:{pattern})$"):
                quoted = json.dumps(whole, ensure_ascii=False)
                compiled = compiler.argument(f"slots.value.matches({quoted})")
                compiled.holds(Activation({"slots": {"value": ""}}))
        except (ExpressionFault, EvaluationFailed):
            hint = "It is an RE2 regular expression: no look-around, no back-references."
            self._findings.error("bad-slot", "The pattern cannot be read.", self._document.at(path), hint)
            return None
        return compiled
