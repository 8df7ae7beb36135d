"""From a flow's source to the flow: names resolved, expressions and texts compiled.

Everything that refers to something else is checked here, each fault told with its place; what is wrong in one
place does not keep the rest from being checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from clawdbot_dialogue.core.flow.diagnostics import Findings, nearest
from clawdbot_dialogue.core.flow.expressions import Expression, ExpressionCompiler, ExpressionFault
from clawdbot_dialogue.core.flow.model import (
    Argument,
    Call,
    Flow,
    Generation,
    Interrupts,
    NoMatch,
    State,
    StateKind,
    Timeout,
    Transition,
)
from clawdbot_dialogue.core.flow.placing import misplaced_keys
from clawdbot_dialogue.core.flow.reading import Document, Path
from clawdbot_dialogue.core.flow.slot_compiling import SlotCompiler
from clawdbot_dialogue.core.flow.slots import SLOT_TYPES
from clawdbot_dialogue.core.flow.source import CallSource, FlowSource, StateSource, TransitionSource
from clawdbot_dialogue.core.flow.templates import Template, TemplateFault, parse_template
from clawdbot_dialogue.core.understanding.locale import LOCALES, Locale, locale
from clawdbot_dialogue.core.understanding.vocabulary import Vocabulary, any_of

KINDS: tuple[StateKind, ...] = ("collect", "generate", "call", "handoff", "end")
"""The keys that make a state what it is; without any of them it says or chooses."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Names:
    """What the source declares, faulty declarations included, so that one mistake is told once."""

    slots: frozenset[str]
    states: Mapping[str, frozenset[str]]
    """Each state and its keys."""


class FlowCompiler:
    """Compiles one flow."""

    def __init__(self, source: FlowSource, document: Document, names: Names, findings: Findings) -> None:
        self._source = source
        self._document = document
        self._findings = findings
        self._names = names
        types = {name: slot.type for name, slot in source.slots.items()}
        cel = {name: SLOT_TYPES[types[name]].cel if name in types else "dyn" for name in names.slots}
        self._expressions = ExpressionCompiler({name: kind for name, kind in cel.items() if _is_field(name)})

    def compile(self, text: str, file: str) -> Flow:
        """The flow, as far as it can be made; of use only where no error was found."""
        source, findings = self._source, self._findings
        language = self._locale()
        slots = SlotCompiler(self._document, findings, language, self.template).compile(source.slots)
        states = {name: self._state(name, state) for name, state in source.states.items()}
        initial = source.initial or next(iter(states))
        self._known_state(initial, ("initial",))
        if source.on_handoff:
            self._known_state(source.on_handoff, ("on_handoff",))
        first_handoff = next((name for name, state in states.items() if state.kind == "handoff"), "")
        return Flow(
            name=source.flow,
            version=source.version,
            description=source.description,
            locale=language,
            slots={name: slot for name, (slot, _) in slots.items()},
            states=states,
            initial=initial,
            interrupts=self._interrupts(),
            vocabulary=Vocabulary(
                slots={name: words for name, (_, words) in slots.items()},
                triggers=any_of(source.triggers),
                types=frozenset(slot.type for slot, _ in slots.values()),
            ),
            help=self._optional(source.help, ("help",)),
            on_cancel=self._optional(source.on_cancel, ("on_cancel",)),
            on_handoff=source.on_handoff or first_handoff,
            source=text,
            file=file,
            warnings=(),
        )

    def template(self, text: str, path: Path) -> Template:
        """Compiles a text that stands at a path."""
        try:
            return parse_template(text, dict.fromkeys(self._names.slots))
        except TemplateFault as fault:
            self._findings.error(
                fault.code, fault.message, self._document.inside(path, fault.offset), fault.hint
            )
            return Template((text,))

    def _optional(self, text: str | None, path: Path) -> Template | None:
        return None if text is None else self.template(text, path)

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

    def _state(self, name: str, state: StateSource) -> State:
        path: Path = ("states", name)
        kind = self._kind(state, path)
        misplaced_keys(kind, state, self._document, path, self._findings)
        transitions = [self._transition(each, (*path, "next", at)) for at, each in enumerate(state.next)]
        labels = [each.event for each in state.next]
        self._known_slots(state.collect or (), (*path, "collect"))
        generate, no_match, timeout = state.generate, state.no_match, state.timeout
        return State(
            name=name,
            kind=kind,
            say=self._optional(state.say, (*path, "say")),
            collect=tuple(dict.fromkeys(state.collect or ())),
            generation=None
            if generate is None
            else Generation(
                self.template(generate.instructions, (*path, "generate", "instructions")),
                generate.model,
                tuple(generate.tools),
            ),
            call=None if state.call is None else self._call(state.call, (*path, "call")),
            queue=state.handoff or "",
            wait=state.wait,
            next=tuple(
                way for way, event in zip(transitions, labels, strict=True) if not event and not way.on_error
            ),
            errors=tuple(
                way for way, event in zip(transitions, labels, strict=True) if way.on_error and not event
            ),
            events={
                label: tuple(way for way, event in zip(transitions, labels, strict=True) if event == label)
                for label in labels
                if label
            },
            no_match=None
            if no_match is None
            else NoMatch(
                no_match.retries,
                self._known_state(no_match.to, (*path, "no_match", "to")),
                self._optional(no_match.say, (*path, "no_match", "say")),
            ),
            timeout=None
            if timeout is None
            else Timeout(
                seconds(timeout.after),
                self._known_state(timeout.to, (*path, "timeout", "to")),
                self._optional(timeout.say, (*path, "timeout", "say")),
            ),
            instructions=state.instructions or "",
            model=state.model or "",
            tools=tuple(state.tools),
        )

    def _kind(self, state: StateSource, path: Path) -> StateKind:
        given = [kind for kind in KINDS if getattr(state, kind) is not None]
        mark = self._document.key_at(path)
        if len(given) > 1:
            hint = "Make two states of it."
            message = f'"{path[-1]}" is two kinds of state at once: {" and ".join(given)}.'
            self._findings.error("two-kinds", message, self._document.key_at((*path, given[1])), hint)
        if given:
            return given[0]
        if state.say is not None:
            return "say"
        if not state.next and self._names.states[str(path[-1])].isdisjoint({*KINDS, "say", "next"}):
            hint = f"Give it one of say, next, {', '.join(KINDS)}."
            self._findings.error("no-kind", f'"{path[-1]}" does nothing.', mark, hint)
        return "choice"

    def _transition(self, given: TransitionSource, path: Path) -> Transition:
        self._known_state(given.to, (*path, "to"))
        self._known_slots(given.clear, (*path, "clear"))
        if given.event and given.on_error:
            hint = "Make two transitions of it."
            mark = self._document.key_at((*path, "on_error"))
            self._findings.error("bad-value", "A transition has `event` or `on_error`, not both.", mark, hint)
        guard = self._expression(given.if_, (*path, "if"), guard=True) if given.if_ else None
        return Transition(
            given.to, guard, self._optional(given.say, (*path, "say")), tuple(given.clear), given.on_error
        )

    def _expression(self, text: str, path: Path, *, guard: bool, offset: int = 0) -> Expression | None:
        try:
            return self._expressions.guard(text) if guard else self._expressions.argument(text)
        except ExpressionFault as fault:
            mark = self._document.inside(path, offset + fault.offset)
            self._findings.error(fault.code, fault.message, mark, fault.hint)
            return None

    def _call(self, call: CallSource, path: Path) -> Call:
        arguments = {
            name: Argument(self._argument(value, (*path, "args", name))) for name, value in call.args.items()
        }
        return Call(call.tool, arguments, call.effect)

    def _argument(self, value: object, path: Path) -> object:
        if isinstance(value, dict):
            return {key: self._argument(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._argument(each, (*path, at)) for at, each in enumerate(value)]
        if not isinstance(value, str):
            return value
        if found := re.fullmatch(r"\$\{(.*)\}", value, re.DOTALL):
            return self._expression(found[1], path, guard=False, offset=2)
        template = self.template(value, path)
        return (
            template if template.gaps else "".join(part for part in template.parts if isinstance(part, str))
        )

    def _known_state(self, name: str, path: Path) -> str:
        if name not in self._names.states:
            message = f'There is no state "{name}".'
            self._findings.error(
                "unknown-state", message, self._document.at(path), nearest(name, self._names.states)
            )
        return name

    def _known_slots(self, names: Iterable[str], path: Path) -> None:
        for at, name in enumerate(names):
            if name not in self._names.slots:
                mark, hint = self._document.at((*path, at)), nearest(name, self._names.slots)
                self._findings.error("undeclared-slot", f'There is no slot "{name}".', mark, hint)


def _is_field(name: str) -> bool:
    return name.isidentifier() and name.isascii()


def seconds(duration: str) -> float:
    """Seconds of "10m"; the shape was checked."""
    return float(duration[:-1]) * _UNITS[duration[-1]]
