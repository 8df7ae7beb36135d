"""Compiles the states of a flow: flat, by their paths, with what they inherit from their ancestors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from clawdbot_servicekit.durations import duration_seconds

from clawdbot_dialogue.core.flow.cel.expressions import Expression
from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.compile.linker import Linker
from clawdbot_dialogue.core.flow.compile.misplaced_keys import check_misplaced_keys
from clawdbot_dialogue.core.flow.model import (
    Action,
    Assign,
    Call,
    Clear,
    Generation,
    NoMatch,
    Raise,
    State,
    StateKind,
    Subflow,
    Timeout,
    Transition,
    Utter,
)
from clawdbot_dialogue.core.flow.parse.source_model import (
    ActionSource,
    CallSource,
    FlowSource,
    GenerateSource,
    NoMatchSource,
    RegionSource,
    StateSource,
    SubflowSource,
    TimeoutSource,
    TransitionSource,
)
from clawdbot_dialogue.core.flow.parse.yaml_parser import Path
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotValueError
from clawdbot_dialogue.core.flow.tree import ancestors, is_descendant, parent, transition_domain

KINDS: Mapping[str, StateKind] = {
    "collect": "collect",
    "generate": "generate",
    "call": "call",
    "subflow": "subflow",
    "handoff": "handoff",
    "end": "end",
    "states": "compound",
    "parallel": "parallel",
    "history": "history",
}
"""The keys that determine a state's kind; without any of them it is a say or choice state."""
MAX_TRANSITIONS = 200_000
"""Each state counts those it inherits: a file of n lines could otherwise make n² of them."""
_ASSIGNABLE_FROM: Mapping[CelType, set[str]] = {
    "int": {"int"},
    "double": {"double", "int"},
    "string": {"string"},
    "bool": {"bool"},
}
"""CEL types of slots, and the types of the expressions that they can be set to."""

_Fallback = TypeVar("_Fallback", NoMatch | None, Timeout | None)


@dataclass(slots=True)
class _StateDeclaration:
    """One state as written, and its path in the document."""

    source: StateSource
    at: Path
    kind: StateKind
    children: list[str] = field(default_factory=list)


class StateCompiler:
    """Compiles the states of one flow."""

    def __init__(self, linker: Linker, slots: Mapping[str, Slot], types: Mapping[str, CelType]) -> None:
        """Takes what the states refer to.

        Args:
            linker: Resolves names.
            slots: The compiled slots.
            types: The slots' types in expressions.
        """
        self._linker = linker
        self._slots = slots
        self._types = types
        self._declarations: dict[str, _StateDeclaration] = {}
        self._default_model = ""
        """The model that interprets messages in a collect state that names none."""

    def compile(self, source: FlowSource) -> dict[str, State]:
        """Every state by its path, in document order."""
        self._default_model = source.understanding.model if source.understanding else ""
        self._declare("", source.states, ("states",))
        states = {
            path: self._state(path, declaration, order)
            for order, (path, declaration) in enumerate(self._declarations.items())
        }
        states = {path: self._with_domains(state, states) for path, state in states.items()}
        inherited = 0
        for path, state in states.items():
            states[path] = self._with_inherited(state, states)
            inherited += len(states[path].errors) + len(states[path].events) + len(states[path].next)
            if inherited > MAX_TRANSITIONS:
                self._report_too_many_transitions(path)
                break
        self._check_history_defaults(states)
        return states

    def _declare(
        self, outer: str, sources: Mapping[str, StateSource] | Mapping[str, RegionSource], at: Path
    ) -> None:
        for name, given in sources.items():
            path = f"{outer}.{name}" if outer else name
            source = given if isinstance(given, StateSource) else _region_as_state(given)
            kind = self._kind(path, source, (*at, name))
            self._declarations[path] = _StateDeclaration(source, (*at, name), kind)
            if outer:
                self._declarations[outer].children.append(path)
            self._declare(path, source.states or {}, (*at, name, "states"))
            self._declare(path, source.parallel or {}, (*at, name, "parallel"))

    def _kind(self, path: str, state: StateSource, at: Path) -> StateKind:
        given = [key for key in KINDS if getattr(state, key) is not None]
        document, diagnostics = self._linker.document, self._linker.diagnostics
        if len(given) > 1:
            message = f'"{at[-1]}" has the keys of two kinds of state: {" and ".join(given)}.'
            mark = document.key_at((*at, given[1]))
            diagnostics.error("two-kinds", message, mark, "Split it into two states.")
        if given:
            return KINDS[given[0]]
        if state.say is not None:
            return "say"
        if not state.next and self._linker.names.states[path].isdisjoint(
            {*KINDS, "say", "next", "entry", "exit"}
        ):
            hint = f"Give it one of say, next, {', '.join(KINDS)}."
            diagnostics.error("no-kind", f'"{at[-1]}" does nothing.', document.key_at(at), hint)
        return "choice"

    def _state(self, path: str, declaration: _StateDeclaration, order: int) -> State:
        source, at, kind = declaration.source, declaration.at, declaration.kind
        linker = self._linker
        check_misplaced_keys(kind, source, linker.document, at, linker.diagnostics)
        linker.slots(source.collect or (), (*at, "collect"))
        transitions = [self._transition(each, path, (*at, "next"), n) for n, each in enumerate(source.next)]
        if kind == "end" and source.next:
            message = "A state with `end: true` never takes a transition."
            mark = linker.document.key_at((*at, "next"))
            linker.diagnostics.warning("shadowed", message, mark, "Remove `next` or `end`.")
        outer_states = ancestors(path)
        return State(
            name=path,
            kind=kind,
            order=order,
            ancestors=outer_states,
            regions=tuple(
                (outer, region)
                for outer, region in pairwise((*outer_states, path))
                if self._declarations[outer].kind == "parallel"
            ),
            children=tuple(declaration.children),
            initial=self._initial(path, declaration),
            history=source.history or "",
            records_history=any(
                self._declarations[child].kind == "history" for child in declaration.children
            ),
            entry=tuple(self._actions(source.entry, (*at, "entry"))),
            exit=tuple(self._actions(source.exit, (*at, "exit"))),
            say=linker.optional_template(source.say, (*at, "say")),
            collect=tuple(dict.fromkeys(source.collect or ())),
            generation=self._generation(source.generate, (*at, "generate")),
            call=self._call(source.call, (*at, "call")),
            subflow=self._subflow(source.subflow, (*at, "subflow")),
            queue=source.handoff or "",
            wait=source.wait,
            next=tuple(each for each in transitions if not each.event and not each.on_error),
            errors=tuple(each for each in transitions if each.on_error and not each.event),
            events=tuple(each for each in transitions if each.event),
            no_match=self._no_match(source.no_match, path, (*at, "no_match")),
            timeout=self._timeout(source.timeout, path, (*at, "timeout")),
            instructions=source.instructions or "",
            model=source.model or (self._default_model if kind == "collect" else ""),
            tools=tuple(source.tools),
        )

    def _generation(self, given: GenerateSource | None, at: Path) -> Generation | None:
        if given is None:
            return None
        instructions = self._linker.template(given.instructions, (*at, "instructions"))
        return Generation(instructions, given.model, tuple(given.tools))

    def _call(self, given: CallSource | None, at: Path) -> Call | None:
        if given is None:
            return None
        return Call(given.tool, self._linker.arguments(given.args, (*at, "args")), given.effect)

    def _subflow(self, given: SubflowSource | None, at: Path) -> Subflow | None:
        if given is None:
            return None
        for name in given.take:
            self._linker.slot(name, self._linker.document.key_at((*at, "take", name)))
        return Subflow(given.flow, self._linker.arguments(given.give, (*at, "give")), given.take)

    def _no_match(self, given: NoMatchSource | None, path: str, at: Path) -> NoMatch | None:
        if given is None:
            return None
        to = self._linker.state(given.to, parent(path), (*at, "to"))
        return NoMatch(given.retries, to, self._linker.optional_template(given.say, (*at, "say")), path)

    def _timeout(self, given: TimeoutSource | None, path: str, at: Path) -> Timeout | None:
        if given is None:
            return None
        to = self._linker.state(given.to, parent(path), (*at, "to"))
        say = self._linker.optional_template(given.say, (*at, "say"))
        return Timeout(duration_seconds(given.after), to, say, path)

    def _initial(self, path: str, declaration: _StateDeclaration) -> str:
        if declaration.kind != "compound":
            return ""
        name = declaration.source.initial
        children = declaration.children
        if name is None:
            first = (each for each in children if self._declarations[each].kind != "history")
            return next(first, children[0] if children else path)
        at = (*declaration.at, "initial")
        found = self._linker.state(name, path, at)
        if not found.startswith(f"{path}."):
            self._report_outside(name, path, at)
        return found

    def _report_outside(self, name: str, outer: str, at: Path) -> None:
        if name in self._linker.names.states:  # else unknown-state is reported already
            message = f'"{name}" is not inside "{outer}".'
            mark = self._linker.document.at(at)
            self._linker.diagnostics.error("bad-value", message, mark, "Name a state that is.")

    def _transition(self, given: TransitionSource, path: str, at_next: Path, number: int) -> Transition:
        linker, at = self._linker, (*at_next, number)
        to = "" if given.to is None else linker.state(given.to, parent(path), (*at, "to"))
        if given.event and given.on_error:
            mark = linker.document.key_at((*at, "on_error"))
            message = "A transition can have `event` or `on_error`, not both."
            linker.diagnostics.error("bad-value", message, mark, "Split it into two transitions.")
        if not to and not given.event:
            linker.diagnostics.error(
                "missing-key", 'The key "to" is missing here.', linker.document.at(at), "Add it."
            )
        if given.internal and self._declarations[path].kind == "compound" and not to.startswith(f"{path}."):
            self._report_outside(to, path, (*at, "to"))
        linker.slots(given.clear, (*at, "clear"))
        return Transition(
            to=to,
            source=path,
            # Preliminary: _with_domain replaces it, and needs to know whether the transition is internal.
            domain=path if given.internal else "",
            guard=linker.guard(given.if_, (*at, "if")),
            actions=(
                *(() if given.say is None else (Utter(linker.template(given.say, (*at, "say"))),)),
                *(Clear(slot) for slot in given.clear),
                *self._assignments(given.set_, (*at, "set")),
                *(() if given.raise_ is None else (Raise(given.raise_),)),
            ),
            on_error=given.on_error,
            number=number,
            event=(given.event or "").removesuffix(".*"),
        )

    def _actions(self, given: list[ActionSource], at: Path) -> Iterator[Action]:
        for number, each in enumerate(given):
            # A single action may be written without a list.
            action_at = (*at, number) if self._linker.document.has((*at, number)) else at
            if len(each.model_fields_set) != 1:
                mark = self._linker.document.at(action_at)
                message = "An action must be exactly one of set, clear, say and raise."
                self._linker.diagnostics.error("bad-value", message, mark, "Write several as a list.")
            yield from self._assignments(each.set_ or {}, (*action_at, "set"))
            self._linker.slots(each.clear or (), (*action_at, "clear"))
            yield from (Clear(slot) for slot in each.clear or ())
            if each.say is not None:
                yield Utter(self._linker.template(each.say, (*action_at, "say")))
            if each.raise_ is not None:
                yield Raise(each.raise_)

    def _assignments(self, given: Mapping[str, object], at: Path) -> Iterator[Assign]:
        for name, argument in self._linker.arguments(given, at).items():
            mark = self._linker.document.at((*at, name))
            self._linker.slot(name, self._linker.document.key_at((*at, name)))
            value = argument.tree
            value_type = value.return_type if isinstance(value, Expression) else "dyn"
            accepted = _ASSIGNABLE_FROM.get(self._types.get(name, "dyn"))
            if accepted and value_type in {"int", "double", "string", "bool"} - accepted:
                message = f'The slot "{name}" cannot be set to this: it is of another type.'
                hint = "Convert it in the expression: int(…), double(…), string(…)."
                self._linker.diagnostics.error("guard-type", message, mark, hint)
            if name in self._slots and value is not None and argument.is_literal:
                try:
                    self._slots[name].check(value, None)
                except SlotValueError:
                    message = f'This is not a valid value for the slot "{name}".'
                    self._linker.diagnostics.error("bad-value", message, mark)
            yield Assign(name, argument)

    # What needs all states.

    def _with_domains(self, state: State, states: Mapping[str, State]) -> State:
        def with_domains(transitions: tuple[Transition, ...]) -> tuple[Transition, ...]:
            return tuple(self._with_domain(each, states) for each in transitions)

        def fallback_with_domain(fallback: _Fallback) -> _Fallback:
            if fallback is None or fallback.to not in states:  # unknown-state is reported already
                return fallback
            return replace(fallback, domain=transition_domain(states, state, states[fallback.to]))

        return replace(
            state,
            next=with_domains(state.next),
            errors=with_domains(state.errors),
            events=with_domains(state.events),
            no_match=fallback_with_domain(state.no_match),
            timeout=fallback_with_domain(state.timeout),
        )

    def _with_domain(self, transition: Transition, states: Mapping[str, State]) -> Transition:
        if transition.to not in states:  # it has no target, or unknown-state is reported already
            return replace(transition, domain="")
        source, target = states[transition.source], states[transition.to]
        if transition.domain and source.kind == "compound" and is_descendant(target, transition.source):
            return transition
        return replace(transition, domain=transition_domain(states, source, target))

    def _with_inherited(self, state: State, states: Mapping[str, State]) -> State:
        """Merges in what the parent has; parents come first, and already have what they inherit."""
        if not state.ancestors:
            return state
        outer = states[state.parent]
        next_transitions, joins = state.next, ""
        if state.kind == "end":
            if outer.regions and outer.regions[-1][1] == outer.name:
                joins = outer.parent
                next_transitions = states[joins].next
            else:
                next_transitions = outer.next
        return replace(
            state,
            next=next_transitions,
            joins=joins,
            errors=(*state.errors, *outer.errors),
            events=(*state.events, *outer.events),
            no_match=state.no_match or outer.no_match,
            timeout=state.timeout or outer.timeout,
        )

    def _report_too_many_transitions(self, path: str) -> None:
        message = f"The states have more than {MAX_TRANSITIONS:,} transitions, with those they inherit."
        hint = "Move transitions of a state with many states inside to where they are needed."
        mark = self._linker.document.key_at(self._declarations[path].at)
        self._linker.diagnostics.error("too-large", message, mark, hint)

    def _check_history_defaults(self, states: Mapping[str, State]) -> None:
        for path, state in states.items():
            if state.kind != "history":
                continue
            at, document = self._declarations[path].at, self._linker.document
            default = state.next[0] if state.next else None
            if default is None or len(state.next) > 1 or default.guard:
                hint = "Give it `next: STATE`, the state to enter the first time."
                message = f'"{at[-1]}" needs exactly one transition, without a guard.'
                self._linker.diagnostics.error("bad-value", message, document.key_at(at), hint)
            elif default.to in states and not is_descendant(states[default.to], state.parent):
                self._report_outside(default.to, state.parent or "the flow", (*at, "next"))
            elif default.to in states and states[default.to].kind == "history":
                message = f'"{default.to}" is a history state too, so there may be nothing to restore yet.'
                mark = document.key_at((*at, "next"))
                hint = "Name a state that is not a history state."
                self._linker.diagnostics.error("bad-value", message, mark, hint)


def _region_as_state(region: RegionSource) -> StateSource:
    """A region as the compound state that it is."""
    return StateSource.model_construct(
        states=region.states, initial=region.initial, entry=region.entry, exit=region.exit
    )
