"""From the states of a flow's source to its states: flat, by their paths, with what they inherit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeVar

from clawdbot_dialogue.core.flow.cel.types import CelType
from clawdbot_dialogue.core.flow.compile.linker import Linker
from clawdbot_dialogue.core.flow.compile.misplaced_keys import misplaced_keys
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
from clawdbot_dialogue.core.flow.slots.slot import Slot, SlotRefused
from clawdbot_dialogue.core.flow.tree import ancestors, below, domain, parent

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
"""The keys that make a state what it is; without any of them it says or chooses."""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_SAME_TYPE: Mapping[CelType, set[str]] = {
    "int": {"int"},
    "double": {"double", "int"},
    "string": {"string"},
    "bool": {"bool"},
}
"""CEL types of slots, and those of expressions that fill them."""

_Aside = TypeVar("_Aside", NoMatch | None, Timeout | None)


@dataclass(slots=True)
class _Written:
    """One state as written, and where."""

    source: StateSource
    at: Path
    kind: StateKind
    children: list[str] = field(default_factory=list)


class StateCompiler:
    """Compiles the states of one flow."""

    def __init__(self, linker: Linker, slots: Mapping[str, Slot], cel: Mapping[str, CelType]) -> None:
        """Takes what the states refer to.

        Args:
            linker: Resolves names.
            slots: The compiled slots.
            cel: Their types, as expressions see them.
        """
        self._link = linker
        self._slots = slots
        self._cel = cel
        self._written: dict[str, _Written] = {}
        self._helper = ""
        """The model that helps to understand, where a state names no other."""

    def compile(self, source: FlowSource) -> dict[str, State]:
        """Every state by its path, in document order."""
        self._helper = source.understanding.model if source.understanding else ""
        self._gather("", source.states, ("states",))
        states = {
            path: self._state(path, written, order)
            for order, (path, written) in enumerate(self._written.items())
        }
        states = {path: self._with_domains(state, states) for path, state in states.items()}
        for path, state in states.items():
            states[path] = self._with_inherited(state, states)
        self._check_defaults(states)
        return states

    def _gather(
        self, holder: str, sources: Mapping[str, StateSource] | Mapping[str, RegionSource], at: Path
    ) -> None:
        for name, given in sources.items():
            path = f"{holder}.{name}" if holder else name
            source = given if isinstance(given, StateSource) else _state_of(given)
            written = _Written(source, (*at, name), self._kind(path, source, (*at, name)))
            self._written[path] = written
            if holder:
                self._written[holder].children.append(path)
            self._gather(path, source.states or {}, (*at, name, "states"))
            self._gather(path, source.parallel or {}, (*at, name, "parallel"))

    def _kind(self, path: str, state: StateSource, at: Path) -> StateKind:
        given = [key for key in KINDS if getattr(state, key) is not None]
        document, findings = self._link.document, self._link.findings
        if len(given) > 1:
            hint = "Make two states of it."
            message = f'"{at[-1]}" is two kinds of state at once: {" and ".join(given)}.'
            findings.error("two-kinds", message, document.key_at((*at, given[1])), hint)
        if given:
            return KINDS[given[0]]
        if state.say is not None:
            return "say"
        if not state.next and self._link.names.states[path].isdisjoint(
            {*KINDS, "say", "next", "entry", "exit"}
        ):
            hint = f"Give it one of say, next, {', '.join(KINDS)}."
            findings.error("no-kind", f'"{at[-1]}" does nothing.', document.key_at(at), hint)
        return "choice"

    def _state(self, path: str, written: _Written, order: int) -> State:
        source, at, kind = written.source, written.at, written.kind
        link = self._link
        misplaced_keys(kind, source, link.document, at, link.findings)
        link.slots(source.collect or (), (*at, "collect"))
        ways = [self._transition(each, path, (*at, "next"), n) for n, each in enumerate(source.next)]
        if kind == "end" and source.next:
            hint = "Remove `next` or `end`."
            link.findings.warning(
                "shadowed", "A state that ends goes nowhere.", link.document.key_at((*at, "next")), hint
            )
        holders = ancestors(path)
        return State(
            name=path,
            kind=kind,
            order=order,
            ancestors=holders,
            regions=tuple(
                (holder, region)
                for holder, region in pairwise((*holders, path))
                if self._written[holder].kind == "parallel"
            ),
            children=tuple(written.children),
            initial=self._initial(path, written),
            history=source.history or "",
            remembers=any(self._written[child].kind == "history" for child in written.children),
            entry=tuple(self._actions(source.entry, (*at, "entry"))),
            exit=tuple(self._actions(source.exit, (*at, "exit"))),
            say=link.optional(source.say, (*at, "say")),
            collect=tuple(dict.fromkeys(source.collect or ())),
            generation=self._generation(source.generate, (*at, "generate")),
            call=self._call(source.call, (*at, "call")),
            subflow=self._subflow(source.subflow, (*at, "subflow")),
            queue=source.handoff or "",
            wait=source.wait,
            next=tuple(way for way in ways if not way.event and not way.on_error),
            errors=tuple(way for way in ways if way.on_error and not way.event),
            events=tuple(way for way in ways if way.event),
            no_match=self._no_match(source.no_match, path, (*at, "no_match")),
            timeout=self._timeout(source.timeout, path, (*at, "timeout")),
            instructions=source.instructions or "",
            model=source.model or (self._helper if kind == "collect" else ""),
            tools=tuple(source.tools),
        )

    def _generation(self, given: GenerateSource | None, at: Path) -> Generation | None:
        if given is None:
            return None
        instructions = self._link.template(given.instructions, (*at, "instructions"))
        return Generation(instructions, given.model, tuple(given.tools))

    def _call(self, given: CallSource | None, at: Path) -> Call | None:
        if given is None:
            return None
        return Call(given.tool, self._link.arguments(given.args, (*at, "args")), given.effect)

    def _subflow(self, given: SubflowSource | None, at: Path) -> Subflow | None:
        if given is None:
            return None
        for name in given.take:
            self._link.slot(name, self._link.document.key_at((*at, "take", name)))
        return Subflow(given.flow, self._link.arguments(given.give, (*at, "give")), given.take)

    def _no_match(self, given: NoMatchSource | None, path: str, at: Path) -> NoMatch | None:
        if given is None:
            return None
        to = self._link.state(given.to, parent(path), (*at, "to"))
        return NoMatch(given.retries, to, self._link.optional(given.say, (*at, "say")), path)

    def _timeout(self, given: TimeoutSource | None, path: str, at: Path) -> Timeout | None:
        if given is None:
            return None
        to = self._link.state(given.to, parent(path), (*at, "to"))
        return Timeout(seconds(given.after), to, self._link.optional(given.say, (*at, "say")), path)

    def _initial(self, path: str, written: _Written) -> str:
        if written.kind != "compound":
            return ""
        name = written.source.initial
        if name is None:
            first = (each for each in written.children if self._written[each].kind != "history")
            return next(first, written.children[0] if written.children else path)
        at = (*written.at, "initial")
        found = self._link.state(name, path, at)
        if not found.startswith(f"{path}."):
            self._outside(name, path, at)
        return found

    def _outside(self, name: str, holder: str, at: Path) -> None:
        if name in self._link.names.states:  # else it was told that there is no such state
            message = f'"{name}" does not lie within "{holder}".'
            self._link.findings.error("bad-value", message, self._link.document.at(at), "Name one that does.")

    def _transition(self, given: TransitionSource, path: str, ways: Path, number: int) -> Transition:
        link, at = self._link, (*ways, number)
        to = "" if given.to is None else link.state(given.to, parent(path), (*at, "to"))
        if given.event and given.on_error:
            mark = link.document.key_at((*at, "on_error"))
            hint = "Make two transitions of it."
            link.findings.error("bad-value", "A transition has `event` or `on_error`, not both.", mark, hint)
        if not to and not given.event:
            link.findings.error(
                "missing-key", 'The key "to" is missing here.', link.document.at(at), "Add it."
            )
        if given.internal and self._written[path].kind == "compound" and not to.startswith(f"{path}."):
            self._outside(to, path, (*at, "to"))
        link.slots(given.clear, (*at, "clear"))
        return Transition(
            to=to,
            source=path,
            # Not yet the domain: whether it is the state itself is all that its source tells.
            domain=path if given.internal else "",
            guard=link.guard(given.if_, (*at, "if")),
            actions=(
                *(() if given.say is None else (Utter(link.template(given.say, (*at, "say"))),)),
                *(Clear(slot) for slot in given.clear),
                *self._assigned(given.set_, (*at, "set")),
                *(() if given.raise_ is None else (Raise(given.raise_),)),
            ),
            on_error=given.on_error,
            number=number,
            event=(given.event or "").removesuffix(".*"),
        )

    def _actions(self, given: list[ActionSource], at: Path) -> Iterator[Action]:
        for number, each in enumerate(given):
            # One action alone may stand without a list.
            place = (*at, number) if self._link.document.has((*at, number)) else at
            if len(each.model_fields_set) != 1:
                mark = self._link.document.at(place)
                message = "An action is one of set, clear, say and raise."
                self._link.findings.error("bad-value", message, mark, "Make a list of several actions.")
            yield from self._assigned(each.set_ or {}, (*place, "set"))
            self._link.slots(each.clear or (), (*place, "clear"))
            yield from (Clear(slot) for slot in each.clear or ())
            if each.say is not None:
                yield Utter(self._link.template(each.say, (*place, "say")))
            if each.raise_ is not None:
                yield Raise(each.raise_)

    def _assigned(self, given: Mapping[str, object], at: Path) -> Iterator[Assign]:
        for name, argument in self._link.arguments(given, at).items():
            mark = self._link.document.at((*at, name))
            self._link.slot(name, self._link.document.key_at((*at, name)))
            returns = getattr(argument.build, "returns", "dyn")
            wanted = _SAME_TYPE.get(self._cel.get(name, "dyn"))
            if wanted and returns in {"int", "double", "string", "bool"} - wanted:
                message = f'The slot "{name}" cannot be filled with this: it is of another type.'
                self._link.findings.error("guard-type", message, mark)
            if name in self._slots and argument.build is not None and argument.plain:
                try:
                    self._slots[name].check(argument.build, None)
                except SlotRefused:
                    message = f'This is no value for the slot "{name}".'
                    self._link.findings.error("bad-value", message, mark)
            yield Assign(name, argument)

    # What can only be told once all states are there.

    def _with_domains(self, state: State, states: Mapping[str, State]) -> State:
        def placed(ways: tuple[Transition, ...]) -> tuple[Transition, ...]:
            return tuple(self._placed(way, states) for way in ways)

        def aside(way: _Aside) -> _Aside:
            if way is None or way.to not in states:  # it was told that there is no such state
                return way
            return replace(way, domain=domain(states, state, states[way.to]))

        return replace(
            state,
            next=placed(state.next),
            errors=placed(state.errors),
            events=placed(state.events),
            no_match=aside(state.no_match),
            timeout=aside(state.timeout),
        )

    def _placed(self, way: Transition, states: Mapping[str, State]) -> Transition:
        if way.to not in states:  # none, or it was told that there is no such state
            return replace(way, domain="")
        source, target = states[way.source], states[way.to]
        if way.domain and source.kind == "compound" and below(target, way.source):
            return way
        return replace(way, domain=domain(states, source, target))

    def _with_inherited(self, state: State, states: Mapping[str, State]) -> State:
        """Works in what the states that hold it have; those come before it and have theirs already."""
        if not state.ancestors:
            return state
        outer = states[state.parent]
        following, joins = state.next, ""
        if state.kind == "end":
            if outer.regions and outer.regions[-1][1] == outer.name:
                joins = outer.parent
                following = states[joins].next
            else:
                following = outer.next
        return replace(
            state,
            next=following,
            joins=joins,
            errors=(*state.errors, *outer.errors),
            events=(*state.events, *outer.events),
            no_match=state.no_match or outer.no_match,
            timeout=state.timeout or outer.timeout,
        )

    def _check_defaults(self, states: Mapping[str, State]) -> None:
        for path, state in states.items():
            if state.kind != "history":
                continue
            at, document = self._written[path].at, self._link.document
            first = state.next[0] if state.next else None
            if first is None or len(state.next) > 1 or first.guard:
                hint = "Give it `next: STATE`, for when none was left yet."
                message = f'"{at[-1]}" needs one transition without a guard.'
                self._link.findings.error("bad-value", message, document.key_at(at), hint)
            elif first.to in states and not below(states[first.to], state.parent):
                self._outside(first.to, state.parent or "the flow", (*at, "next"))
            elif first.to in states and states[first.to].kind == "history":
                message = f'"{first.to}" stands for others itself, and may have none yet.'
                mark = document.key_at((*at, "next"))
                self._link.findings.error("bad-value", message, mark, "Name a state that can be entered.")


def _state_of(region: RegionSource) -> StateSource:
    """A region as what it is: a state that holds others."""
    return StateSource.model_construct(
        states=region.states, initial=region.initial, entry=region.entry, exit=region.exit
    )


def seconds(duration: str) -> float:
    """Seconds of "10m"; the shape was checked."""
    return float(duration[:-1]) * _UNITS[duration[-1]]
