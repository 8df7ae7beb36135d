"""Compiles a flow's source model to a Flow: resolves names, compiles expressions and texts.

Every reference is checked here, and each error is reported with its position; an error in one place does not
keep the rest from being checked.
"""

from __future__ import annotations

from clawdbot_servicekit.errors import StartupError

from clawdbot_dialogue.core.flow.cel.expressions import ExpressionCompiler
from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.compile.linker import DeclaredNames, Linker
from clawdbot_dialogue.core.flow.compile.slots import SlotCompiler
from clawdbot_dialogue.core.flow.compile.states import StateCompiler
from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector
from clawdbot_dialogue.core.flow.model import Flow, Interrupts
from clawdbot_dialogue.core.flow.parse.localization import DEFAULT_LOCALE, report_unsupported_locale
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.flow.slots.types import cel_type
from clawdbot_dialogue.core.language.language_pack import LanguagePack
from clawdbot_dialogue.core.language.language_registry import installed_languages, load_language_pack
from clawdbot_dialogue.core.language.vocabulary import (
    SlotVocabulary,
    Vocabulary,
    phrase_pattern,
    slot_vocabulary,
)


class FlowCompiler:
    """Compiles one flow."""

    def __init__(
        self,
        source: FlowSource,
        document: Document,
        names: DeclaredNames,
        diagnostics: DiagnosticCollector,
        expressions: ExpressionCompiler | None = None,
    ) -> None:
        """Takes a flow in one language, and the expression compiler of its first language, if any."""
        self._source = source
        self._document = document
        self._diagnostics = diagnostics
        self._types: dict[str, CelType] = dict.fromkeys(names.slots, "dyn")
        self._types |= {name: cel_type(slot) for name, slot in source.slots.items()}
        self._linker = Linker(document, diagnostics, names, self._types, expressions)
        self.expressions = self._linker.expressions

    def compile(self, text: str, file: str) -> Flow:
        """The flow, as far as it can be compiled; usable only if no error was reported."""
        source, linker = self._source, self._linker
        flow_locale = self._locale()
        slot_compiler = SlotCompiler(
            self._document, self._diagnostics, flow_locale, self.expressions.patterns, linker.template
        )
        slots = slot_compiler.compile(source.slots)
        askable = {each.name: each for slot in slots.values() for each in slot.walk()}
        states = StateCompiler(linker, slots, self._types).compile(source)
        initial = source.initial and linker.state(source.initial, "", ("initial",))
        on_handoff = source.on_handoff and linker.state(source.on_handoff, "", ("on_handoff",))
        return Flow(
            name=source.flow,
            version=source.version,
            description=source.description,
            locale=flow_locale,
            slots=slots,
            askable=askable,
            composite_slots=tuple(slot for slot in slots.values() if slot.is_composite),
            states=states,
            initial=initial or next(iter(states)),
            interrupts=self._interrupts(),
            understanding=source.understanding.when if source.understanding else "unclear",
            vocabulary=Vocabulary(
                slots={name: _slot_words(slot) for name, slot in askable.items()},
                triggers=phrase_pattern(source.triggers),
            ),
            help=linker.optional_template(source.help, ("help",)),
            on_cancel=linker.optional_template(source.on_cancel, ("on_cancel",)),
            on_handoff=on_handoff
            or next((name for name, state in states.items() if state.kind == "handoff"), ""),
            source=text,
            file=file,
            warnings=(),
        )

    def _locale(self) -> LanguagePack:
        name, listed = self._source.locale, self._source.locales
        mark = self._document.at(("locales", listed.index(name)) if listed else ("locale",))
        if name not in installed_languages():
            report_unsupported_locale(name, mark, self._diagnostics)
            name = DEFAULT_LOCALE
        try:
            return load_language_pack(name)
        except StartupError as error:
            self._diagnostics.error("unknown-locale", str(error), mark, "Repair its package.")
        return load_language_pack(DEFAULT_LOCALE)

    def _interrupts(self) -> Interrupts:
        allow = self._source.interrupts.allow
        flows = tuple(dict.fromkeys(name for name in allow if name != "cancel"))
        if self._source.flow in flows:
            mark = self._document.at(("interrupts", "allow", allow.index(self._source.flow)))
            message, hint = "A flow cannot interrupt itself.", "Remove it from `allow`."
            self._diagnostics.error("unknown-flow", message, mark, hint)
        return Interrupts(flows, "cancel" in allow, self._source.interrupts.resume)


def _slot_words(slot: Slot) -> SlotVocabulary:
    """The words that point to a slot; for a list, those of its items too."""
    item = slot.item or slot
    return slot_vocabulary(slot.display_name, tuple(dict.fromkeys((*slot.hints, *item.hints))), item.values)
