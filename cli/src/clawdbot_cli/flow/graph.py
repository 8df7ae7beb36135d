"""`clawdbot flow graph`: a flow as a diagram, as text for other tools or as a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from clawdbot_dialogue.clients.graphviz import GraphvizRenderer, RendererBroken, RendererMissing
from clawdbot_dialogue.core.flow.diagrams.formats import draw
from clawdbot_dialogue.core.flow.flow_registry import FlowNotFound, shipped_flows
from clawdbot_dialogue.core.flow.loader import FlowInvalid, load_flow
from clawdbot_dialogue.core.flow.model import Flow
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.file_discovery import Source, read, sources

Form = Literal["mermaid", "dot", "svg", "png"]
FORMS: Final[Sequence[Form]] = ("mermaid", "dot", "svg", "png")


def drawn(what: str, form: Form, states: Sequence[str]) -> bytes:
    """The diagram.

    Args:
        what: A flow's file, "-" for standard input, or the name of a flow that ships.
        form: In which form; pictures need Graphviz.
        states: States to stress.

    Raises:
        StartupError: there is no such flow or state, it is broken, or Graphviz is missing.
    """
    flow = _flow(what)
    for state in states:
        if state not in flow.states:
            raise StartupError(f"{flow.name} has no state {state}; it has: {', '.join(flow.states)}.")
    if form == "mermaid" or form == "dot":  # noqa: PLR1714 - what is left of `form` is a picture's
        return draw(flow, form, frozenset(states)).encode()
    try:
        return asyncio.run(GraphvizRenderer().render(draw(flow, "dot", frozenset(states)), form))
    except RendererBroken as error:
        raise StartupError(str(error)) from None
    except RendererMissing as error:
        raise StartupError(f"{error} The forms mermaid and dot need none.") from None


def _flow(what: str) -> Flow:
    source = _source(what)
    try:
        return load_flow(source.content, source.file)
    except FlowInvalid as error:
        lines = source.text.splitlines()
        told = [each.beside(lines) for each in error.diagnostics if each.severity == "error"]
        raise StartupError("\n".join(told)) from None


def _source(what: str) -> Source:
    if what == "-":
        return next(iter(sources(["-"])))
    if Path(what).exists():
        return read(Path(what))
    for file, text in shipped_flows():
        if file == f"{what}.yaml":
            return Source(file, text.encode())
    raise StartupError(f"{FlowNotFound(what)}, and no such file".capitalize() + ".")
