"""Everything that can be wrong with a flow's source, once it is known what else exists.

Also runs as a process, since a large or hostile source takes seconds: `python -m …flow_check` gets a Source
and answers Names, then gets Known and answers a CheckedFlow, all as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from clawdbot_servicekit.limited_main import serve_questions

from clawdbot_dialogue.core.flow.diagnostics import Diagnostic
from clawdbot_dialogue.core.flow.lint.interrupts import endless_flows, warn_of_endless_flows
from clawdbot_dialogue.core.flow.lint.tool_arguments import check_arguments
from clawdbot_dialogue.core.flow.loader import check_references, validate_flow
from clawdbot_dialogue.core.flow.model import Flow


@dataclass(frozen=True, slots=True)
class Source:
    """A flow as a caller sent it."""

    text: str
    """YAML."""
    file: str
    """The name to show in diagnostics."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a flow names: tools, models, and the flows that may run while it waits."""

    tools: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    flows: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """What exists of these names."""

    flows: tuple[str, ...]
    """The names of all flows."""
    endless: dict[str, bool]
    """Those of the named flows that never end: whether "cancel" leads back from them."""
    schemas: dict[str, dict[str, Any]] | None
    """The input schemas of the named tools that exist; None if unknown."""
    models: tuple[str, ...] | None
    """All models; None if unknown."""


@dataclass(frozen=True, slots=True)
class FlowSummary:
    """What a caller reads of a flow."""

    name: str
    version: int
    description: str
    states: tuple[str, ...]
    slots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckedFlow:
    """The outcome."""

    flow: FlowSummary | None
    """None if there is an error."""
    diagnostics: tuple[Diagnostic, ...]
    """In source order."""


class FlowCheck:
    """The check of one source, in two steps: what it names, and what is wrong with it."""

    def __init__(self, source: Source) -> None:
        """Compiles and lints it."""
        self._found = validate_flow(source.text, source.file)
        flow = self._found.flow
        self.names = Names() if flow is None else names_in(flow)

    def result(self, known: Known) -> CheckedFlow:
        """Returns what is wrong with it."""
        flow = self._found.flow
        if flow is None:
            return CheckedFlow(None, self._found.diagnostics)
        others = {name: cancel for name, cancel in known.endless.items() if name != flow.name}
        endless = others | endless_flows({flow.name: flow}, self.names.flows)
        found = {
            *self._found.diagnostics,
            *check_references(flow, {*known.flows, flow.name}, known.schemas, known.models),
            *warn_of_endless_flows(flow, endless),
            *check_arguments(flow, known.schemas or {}),
        }
        return CheckedFlow(
            FlowSummary(flow.name, flow.version, flow.description, tuple(flow.states), tuple(flow.slots)),
            tuple(sorted(found, key=lambda each: (each.line, each.column, each.code))),
        )


def names_in(flow: Flow) -> Names:
    """Returns the tools, models and flows that a flow names, each sorted."""
    states = flow.states.values()
    generations = [state.generation for state in states if state.generation is not None]
    tools = {tool for state in states for tool in state.tools}
    tools |= {tool for generation in generations for tool in generation.tools}
    tools |= {state.call.tool for state in states if state.call is not None}
    models = {state.model for state in states} | {generation.model for generation in generations}
    flows = {*flow.interrupts.flows, *(state.subflow.flow for state in states if state.subflow)}
    return Names(tuple(sorted(tools)), tuple(sorted(models - {""})), tuple(sorted(flows)))


def main() -> None:
    """Checks one source."""
    checks: list[FlowCheck] = []

    def answer(question: bytes) -> bytes:
        if not checks:
            checks.append(FlowCheck(msgspec.json.decode(question, type=Source)))
            return msgspec.json.encode(checks[0].names)
        return msgspec.json.encode(checks[0].result(msgspec.json.decode(question, type=Known)))

    serve_questions(answer)


if __name__ == "__main__":
    main()
