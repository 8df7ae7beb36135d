"""Compiles the slots of a flow, and checks their options against their types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from clawdbot_dialogue.core.flow.cel.expressions import RESERVED_WORDS
from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector, suggest
from clawdbot_dialogue.core.flow.parse.source_model import SlotSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.flow.patterns import FlowPatterns, Pattern, PatternError
from clawdbot_dialogue.core.flow.slots.partial_values import NEXT
from clawdbot_dialogue.core.flow.slots.slot import MAX_ITEMS, MAX_TEXT_LENGTH, Bounds, Slot
from clawdbot_dialogue.core.flow.slots.types import SLOT_TYPES
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.language.currencies import CODES, fraction_digits
from clawdbot_dialogue.core.language.language_pack import LanguagePack
from clawdbot_dialogue.core.language.normalization import normalize

_OPTIONS = (
    "currencies", "min", "max", "min_length", "max_length", "pattern", "values", "region",
    "fields", "items", "more", "min_items", "max_items",
)  # fmt: skip
_BOUNDS = frozenset({"min", "max"})
_WITH_ARTICLE = {"enum": "an enum", "object": "an object", "list": "a list"}
_FORBIDDEN_ITEMS = {"list": "lists", "boolean": "booleans"}
_REQUIRED_OPTIONS = {
    "enum": ("values", "Add values: [a, b]."),
    "object": ("fields", "Add fields: {city: {type: string}}."),
    "list": ("items", "Add items: {type: string}."),
}
"""The option that a type needs, and a hint."""
_FLATTEN = "Move its fields up into the slot, or make it a separate slot."


class SlotCompiler:
    """Compiles the slots of one flow."""

    def __init__(
        self,
        document: Document,
        diagnostics: DiagnosticCollector,
        locale: LanguagePack,
        patterns: FlowPatterns,
        template: Callable[[str, Path], Template],
    ) -> None:
        self._document = document
        self._diagnostics = diagnostics
        self._locale = locale
        self._patterns = patterns
        self._template = template

    def compile(self, sources: Mapping[str, SlotSource]) -> dict[str, Slot]:
        """The slots, by name."""
        for name, source in sources.items():
            self._reject_options(
                source, ("required",), ("slots", name), "Only a field of an object can have it."
            )
        return {name: self._slot(name, source, ("slots", name)) for name, source in sources.items()}

    def _slot(self, name: str, source: SlotSource, path: Path) -> Slot:
        """A slot, or a part of one: `name` is its path in a value, `path` the one in the document."""
        self._check(name, source, path)
        last = name.rpartition(".")[2]
        display_name = source.called or self._locale.humanize(last)
        kind = SLOT_TYPES[source.type]
        # A question for the whole is asked before the one for its first field, and is optional.
        fields = source.fields or (source.items and source.items.fields)
        ask = source.ask or ("" if fields else self._locale.messages["ask"].format(name=display_name))
        return Slot(
            name=name,
            kind=kind,
            display_name=display_name,
            ask=self._template(ask, (*path, "ask")),
            asked_only=source.fill == "asked_only",
            minimum=source.min,
            maximum=source.max,
            min_length=source.min_length or 0,
            max_length=source.max_length or MAX_TEXT_LENGTH,
            pattern=self._pattern(source.pattern, (*path, "pattern")) if source.pattern else None,
            values={value: tuple(synonyms) for value, synonyms in source.values.items()},
            hints=tuple(source.hints),
            currencies=tuple(source.currencies),
            region=source.region or "",
            parts=self._parts(name, source, path),
            required=source.required is not False,
            item=self._item(name, display_name, source, path),
            more=self._template(source.more, (*path, "more")) if source.more else None,
            min_items=1 if source.min_items is None else source.min_items,
            max_items=source.max_items or MAX_ITEMS,
        )

    def _parts(self, name: str, source: SlotSource, path: Path) -> dict[str, Slot]:
        if source.type == "datetime":
            parts = {part: self._datetime_part(f"{name}.{part}", part) for part in ("date", "time")}
            parts["half"] = Slot(
                f"{name}.half", SLOT_TYPES["string"], "half", Template(("",)), required=False
            )
            return parts
        if source.fields and all(each.required is False for each in source.fields.values()):
            message = "At least one field of an object must be required."
            mark = self._document.key_at((*path, "fields"))
            self._diagnostics.error("bad-slot", message, mark, "Remove one `required: false`.")
        for field, each in source.fields.items():
            at: Path = (*path, "fields", field)
            self._reject_options(each, ("fill",), at, "Only a slot can have it, not a field.")
            if each.type in ("object", "list"):
                message = f"A field cannot be {_WITH_ARTICLE[each.type]}."
                self._diagnostics.error("bad-slot", message, self._document.at((*at, "type")), _FLATTEN)
        return {
            field: self._slot(f"{name}.{field}", each, (*path, "fields", field))
            for field, each in source.fields.items()
        }

    def _datetime_part(self, name: str, part: str) -> Slot:
        wording = self._locale.messages
        ask = Template((wording[f"ask_{part}"],))
        return Slot(name=name, kind=SLOT_TYPES[part], display_name=wording[f"the_{part}"], ask=ask)

    def _item(self, name: str, display_name: str, source: SlotSource, path: Path) -> Slot | None:
        if source.items is None:
            return None
        at: Path = (*path, "items")
        self._reject_options(source.items, ("ask", "fill", "required"), at, "Set it on the list itself.")
        if source.items.type in _FORBIDDEN_ITEMS:
            message = f"The items of a list cannot be {_FORBIDDEN_ITEMS[source.items.type]}."
            hint = "Use items of another type."
            self._diagnostics.error("bad-slot", message, self._document.at((*at, "type")), hint)
        has_parts = source.items.type in ("object", "datetime")
        item = self._slot(f"{name}.{NEXT}" if has_parts else name, source.items, at)
        return replace(item, display_name=source.items.called or display_name, is_list_item=True)

    def _reject_options(self, source: SlotSource, options: Iterable[str], path: Path, hint: str) -> None:
        """Reports options that only a slot has, for a part of one, and the other way round."""
        for option in options:
            if option in source.model_fields_set:
                mark = self._document.key_at((*path, option))
                self._diagnostics.error("bad-slot", f'"{option}" is not allowed here.', mark, hint)

    def _check(self, name: str, source: SlotSource, path: Path) -> None:
        error, at = self._diagnostics.error, self._document.key_at
        if name.rpartition(".")[2] in RESERVED_WORDS:
            message = f'"{path[-1]}" is a reserved word of the expression language (CEL).'
            error("bad-name", message, at(path), f"Rename it, for example to {path[-1]}_.")
        kind = SLOT_TYPES[source.type]
        supported = kind.options | (_BOUNDS if kind.bounds else set())
        for option in _OPTIONS:
            if option in source.model_fields_set and option not in supported:
                hint = f"It supports {', '.join(sorted(supported)) or 'none of these options'}."
                message = f'A slot of type {source.type} does not support "{option}".'
                error("bad-slot", message, at((*path, option)), hint)
        if kind.bounds:
            self._check_bounds(source, kind.bounds, path)
        for what, default in (("length", MAX_TEXT_LENGTH), ("items", MAX_ITEMS)):
            minimum, maximum = getattr(source, f"min_{what}") or 0, getattr(source, f"max_{what}") or default
            if minimum > maximum:
                message = f"The min_{what} is greater than the max_{what}."
                hint = "Lower the one or raise the other."
                error("bad-slot", message, self._document.at((*path, f"min_{what}")), hint)
        option, hint = _REQUIRED_OPTIONS.get(source.type, ("", ""))
        if option and not getattr(source, option) and not self._document.is_cut((*path, option)):
            error("bad-slot", f"{_WITH_ARTICLE[source.type].capitalize()} needs {option}.", at(path), hint)
        self._check_values(source, path)
        self._check_currencies(source, path)

    def _check_bounds(self, source: SlotSource, bounds: Bounds, path: Path) -> None:
        error, at = self._diagnostics.error, self._document.at
        given = {"min": source.min, "max": source.max}
        for option, bound in given.items():
            if bound is not None and bounds.sort_key(bound) is None:
                message = f"The {option} of a slot of type {source.type} must be {bounds.description}."
                error("bad-slot", message, at((*path, option)))
        if _is_greater(bounds.sort_key(source.min), bounds.sort_key(source.max)):
            message = "The min is greater than the max, so no value fits."
            error("bad-slot", message, at((*path, "min")), "Lower the one or raise the other.")

    def _check_values(self, source: SlotSource, path: Path) -> None:
        value_of: dict[str, str] = {}
        for value, synonyms in source.values.items():
            for word in (value, *synonyms):
                other = value_of.setdefault(normalize(word), value)
                if other != value:
                    mark = self._document.key_at((*path, "values", value))
                    message = f'"{word}" stands for both {other} and {value}.'
                    self._diagnostics.error("bad-slot", message, mark, "Keep it for one of them.")

    def _check_currencies(self, source: SlotSource, path: Path) -> None:
        for index, code in enumerate(source.currencies):
            if code not in fraction_digits():
                mark = self._document.at((*path, "currencies", index))
                message = f'"{code}" is not an ISO 4217 currency code.'
                # Any two codes of three letters are similar, so the common ones are suggested first.
                hint = suggest(CODES.get(code.lower(), code), CODES.values())
                self._diagnostics.error("bad-slot", message, mark, hint)

    def _pattern(self, text: str, path: Path) -> Pattern | None:
        try:
            return self._patterns.compile(text)
        except PatternError as error:
            self._diagnostics.error("bad-slot", error.message, self._document.at(path), error.hint)
            return None


def _is_greater(minimum: Any, maximum: Any) -> bool:
    """Whether one bound is greater than the other, if both are given and comparable."""
    try:
        return bool(minimum > maximum)
    except TypeError:
        return False
