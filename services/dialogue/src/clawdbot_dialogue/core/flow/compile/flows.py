"""From a flow's source to the flow: names resolved, expressions and texts compiled.

Everything that refers to something else is checked here, each fault told with its place; what is wrong in one
place does not keep the rest from being checked.
"""

from __future__ import annotations

from clawdbot_dialogue.core.flow.cel.expressions import ExpressionCompiler
from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.compile.linker import Linker, Names
from clawdbot_dialogue.core.flow.compile.slots import SlotCompiler
from clawdbot_dialogue.core.flow.compile.states import StateCompiler
from clawdbot_dialogue.core.flow.diagnostics import Findings, nearest
from clawdbot_dialogue.core.flow.model import Flow, Interrupts
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document
from clawdbot_dialogue.core.flow.slots.slot import Slot
from clawdbot_dialogue.core.flow.slots.types import seen
from clawdbot_dialogue.core.language.language_pack import LOCALES, Locale, locale
from clawdbot_dialogue.core.language.vocabulary import Vocabulary, Words, any_of, slot_words


class FlowCompiler:
    """Compiles one flow."""

    def __init__(
        self,
        source: FlowSource,
        document: Document,
        names: Names,
        findings: Findings,
        expressions: ExpressionCompiler | None = None,
    ) -> None:
        """Takes a flow in one language, and what compiled its expressions when it was in another."""
        self._source = source
        self._document = document
        self._findings = findings
        self._cel: dict[str, CelType] = dict.fromkeys(names.slots, "dyn")
        self._cel |= {name: seen(slot) for name, slot in source.slots.items()}
        self._link = Linker(document, findings, names, self._cel, expressions)
        self.expressions = self._link.expressions

    def compile(self, text: str, file: str) -> Flow:
        """The flow, as far as it can be made; of use only where no error was found."""
        source, link = self._source, self._link
        language = self._locale()
        slots = SlotCompiler(self._document, self._findings, language, link.template).compile(source.slots)
        askable = {each.name: each for slot in slots.values() for each in slot.within()}
        states = StateCompiler(link, slots, self._cel).compile(source)
        initial = source.initial and link.state(source.initial, "", ("initial",))
        on_handoff = source.on_handoff and link.state(source.on_handoff, "", ("on_handoff",))
        return Flow(
            name=source.flow,
            version=source.version,
            description=source.description,
            locale=language,
            slots=slots,
            askable=askable,
            composed=tuple(slot for slot in slots.values() if slot.composed),
            states=states,
            initial=initial or next(iter(states)),
            interrupts=self._interrupts(),
            understanding=source.understanding.when if source.understanding else "unclear",
            vocabulary=Vocabulary(
                slots={name: _words(slot) for name, slot in askable.items()},
                triggers=any_of(source.triggers),
            ),
            help=link.optional(source.help, ("help",)),
            on_cancel=link.optional(source.on_cancel, ("on_cancel",)),
            on_handoff=on_handoff
            or next((name for name, state in states.items() if state.kind == "handoff"), ""),
            source=text,
            file=file,
            warnings=(),
        )

    def _locale(self) -> Locale:
        name = self._source.locale
        if name not in LOCALES:
            message = f'There is no locale "{name}".'
            self._findings.error(
                "unknown-locale", message, self._document.at(("locale",)), nearest(name, LOCALES)
            )
            name = "en"
        return locale(name)

    def _interrupts(self) -> Interrupts:
        allow = self._source.interrupts.allow
        flows = tuple(dict.fromkeys(name for name in allow if name != "cancel"))
        if self._source.flow in flows:
            mark = self._document.at(("interrupts", "allow", allow.index(self._source.flow)))
            self._findings.error("unknown-flow", "A flow cannot interrupt itself.", mark, "Remove it.")
        return Interrupts(flows, "cancel" in allow, self._source.interrupts.resume)


def _words(slot: Slot) -> Words:
    """A list is spoken of as what its items are."""
    item = slot.item or slot
    return slot_words(slot.spoken, tuple(dict.fromkeys((*slot.hints, *item.hints))), item.values)
