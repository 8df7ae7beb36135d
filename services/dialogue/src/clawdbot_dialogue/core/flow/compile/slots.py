"""From a slot's source to the slot, part by part: its options checked against its type."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from clawdbot_dialogue.core.flow.cel.errors import ExpressionFault
from clawdbot_dialogue.core.flow.cel.expressions import (
    RESERVED,
    Activation,
    EvaluationFailed,
    Expression,
    ExpressionCompiler,
)
from clawdbot_dialogue.core.flow.diagnostics import Findings, nearest
from clawdbot_dialogue.core.flow.parse.source_model import SlotSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import LONGEST_TEXT, MOST_ITEMS, Bounds, Slot
from clawdbot_dialogue.core.flow.slots.types import SLOT_TYPES
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.language.currencies import CODES, decimals
from clawdbot_dialogue.core.language.language_pack import Locale
from clawdbot_dialogue.core.language.normalization import fold

_OPTIONS = (
    "currencies", "min", "max", "min_length", "max_length", "pattern", "values", "region",
    "fields", "items", "more", "min_items", "max_items",
)  # fmt: skip
_BOUNDS = frozenset({"min", "max"})
_WITH_ARTICLE = {"enum": "an enum", "object": "an object", "list": "a list"}
_NO_ITEMS = {"list": "lists", "boolean": "yes or no"}
_NEEDS = {
    "enum": ("values", "Add values: [a, b]."),
    "object": ("fields", "Add fields: {city: {type: string}}."),
    "list": ("items", "Add items: {type: string}."),
}
"""The option that a type cannot do without, and a hint."""
_FLATTEN = "Give its fields to the slot itself, or make it a slot of its own."


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

    def compile(self, sources: Mapping[str, SlotSource]) -> dict[str, Slot]:
        """The slots, by name."""
        for name, source in sources.items():
            self._refuse(source, ("required",), ("slots", name), "Only a field of an object")
        return {name: self._slot(name, source, ("slots", name)) for name, source in sources.items()}

    def _slot(self, name: str, source: SlotSource, path: Path) -> Slot:
        """A slot, or a part of one; `path` leads to it in the document, its name does so in a value."""
        self._check(name, source, path)
        last = name.rpartition(".")[2]
        spoken = source.called or self._language.spoken(last)
        kind = SLOT_TYPES[source.type]
        # Words for the whole come before the question for its first field, and are not needed.
        fields = source.fields or (source.items and source.items.fields)
        ask = source.ask or ("" if fields else self._language.wording["ask"].format(name=spoken))
        return Slot(
            name=name,
            kind=kind,
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
            parts=self._parts(name, source, path),
            required=source.required is not False,
            item=self._item(name, spoken, source, path),
            more=self._template(source.more, (*path, "more")) if source.more else None,
            min_items=1 if source.min_items is None else source.min_items,
            max_items=source.max_items or MOST_ITEMS,
        )

    def _parts(self, name: str, source: SlotSource, path: Path) -> dict[str, Slot]:
        if source.type == "datetime":
            half = Slot(f"{name}.half", SLOT_TYPES["string"], "half", Template(("",)), required=False)
            return {part: self._moment(f"{name}.{part}", part) for part in ("date", "time")} | {"half": half}
        if source.fields and all(each.required is False for each in source.fields.values()):
            message = "An object needs a field that is required."
            mark = self._document.key_at((*path, "fields"))
            self._findings.error("bad-slot", message, mark, "Remove one `required: false`.")
        for field, each in source.fields.items():
            at: Path = (*path, "fields", field)
            self._refuse(each, ("fill",), at, "A field has no such option: only a slot")
            if each.type in ("object", "list"):
                message = f"A field cannot be {_WITH_ARTICLE[each.type]}."
                self._findings.error("bad-slot", message, self._document.at((*at, "type")), _FLATTEN)
        return {
            field: self._slot(f"{name}.{field}", each, (*path, "fields", field))
            for field, each in source.fields.items()
        }

    def _moment(self, name: str, part: str) -> Slot:
        wording = self._language.wording
        ask = Template((wording[f"ask_{part}"],))
        return Slot(name=name, kind=SLOT_TYPES[part], spoken=wording[f"the_{part}"], ask=ask)

    def _item(self, name: str, spoken: str, source: SlotSource, path: Path) -> Slot | None:
        if source.items is None:
            return None
        at: Path = (*path, "items")
        self._refuse(source.items, ("ask", "fill", "required"), at, "The list itself")
        if source.items.type in _NO_ITEMS:
            message = f"The items of a list cannot be {_NO_ITEMS[source.items.type]}."
            self._findings.error("bad-slot", message, self._document.at((*at, "type")), _FLATTEN)
        parted = source.items.type in ("object", "datetime")
        item = self._slot(f"{name}.{NEXT}" if parted else name, source.items, at)
        return replace(item, spoken=source.items.called or spoken, listed=True)

    def _refuse(self, source: SlotSource, options: Iterable[str], path: Path, who: str) -> None:
        """Tells options that a slot has, but a part of one has not, or the other way round."""
        for option in options:
            if option in source.model_fields_set:
                mark = self._document.key_at((*path, option))
                self._findings.error("bad-slot", f'"{option}" does not belong here.', mark, f"{who} has it.")

    def _check(self, name: str, source: SlotSource, path: Path) -> None:
        error, at = self._findings.error, self._document.key_at
        if name.rpartition(".")[2] in RESERVED:
            hint = f"Call it {path[-1]}_ or the like."
            error("bad-name", f'"{path[-1]}" is a word of the expression language.', at(path), hint)
        kind = SLOT_TYPES[source.type]
        allowed = kind.options | (_BOUNDS if kind.bounds else set())
        for option in _OPTIONS:
            if option in source.model_fields_set and option not in allowed:
                hint = f"It may have {', '.join(sorted(allowed)) or 'none of these'}."
                message = f"A slot of type {source.type} has no {option}."
                error("bad-slot", message, at((*path, option)), hint)
        if kind.bounds:
            self._check_bounds(source, kind.bounds, path)
        for what, most in (("length", LONGEST_TEXT), ("items", MOST_ITEMS)):
            least, greatest = getattr(source, f"min_{what}") or 0, getattr(source, f"max_{what}") or most
            if least > greatest:
                message = f"The min_{what} is greater than the max_{what}."
                error("bad-slot", message, self._document.at((*path, f"min_{what}")))
        if source.type in _NEEDS and not getattr(source, _NEEDS[source.type][0]):
            needed, hint = _NEEDS[source.type]
            error("bad-slot", f"{_WITH_ARTICLE[source.type].capitalize()} needs {needed}.", at(path), hint)
        self._check_values(source, path)
        self._check_currencies(source, path)

    def _check_bounds(self, source: SlotSource, bounds: Bounds, path: Path) -> None:
        error, at = self._findings.error, self._document.at
        given = {"min": source.min, "max": source.max}
        for option, bound in given.items():
            if bound is not None and bounds.order(bound) is None:
                error("bad-slot", f"The {option} of a {source.type} is {bounds.words}.", at((*path, option)))
        if _is_greater(bounds.order(source.min), bounds.order(source.max)):
            error("bad-slot", "The min is greater than the max: nothing fits.", at((*path, "min")))

    def _check_values(self, source: SlotSource, path: Path) -> None:
        error = self._findings.error
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


def _is_greater(least: Any, greatest: Any) -> bool:
    """Whether one bound is greater than the other, as far as both are there and can be compared."""
    try:
        return bool(least > greatest)
    except TypeError:
        return False
