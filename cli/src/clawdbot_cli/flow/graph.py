"""`clawdbot flow graph`: draws a flow as text for other tools, or as a picture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from clawdbot_dialogue.flow_toolkit import (
    Flow,
    GraphvizRenderer,
    InvalidFlowError,
    RendererFailed,
    RendererMissing,
    load_flow,
    render_diagram,
    shipped_flows,
)
from clawdbot_servicekit.errors import StartupError

from clawdbot_cli.flow.file_discovery import SourceFile, find_files, read_file

GraphFormat = Literal["mermaid", "dot", "svg", "png"]


def draw_flow(target: str, output_format: GraphFormat, states: Sequence[str]) -> bytes:
    """The diagram of a flow.

    Args:
        target: A flow's file, "-" for standard input, or the name of a shipped flow.
        output_format: svg and png need Graphviz.
        states: States to highlight.

    Raises:
        StartupError: the flow or a state does not exist, the flow has errors, or Graphviz fails.
    """
    flow = _load(target)
    for state in states:
        if state not in flow.states:
            raise StartupError(f"{flow.name} has no state {state}. Its states are: {', '.join(flow.states)}.")
    if output_format == "mermaid" or output_format == "dot":  # noqa: PLR1714 - mypy narrows the type below
        return render_diagram(flow, output_format, frozenset(states)).encode()
    try:
        return asyncio.run(
            GraphvizRenderer().render(render_diagram(flow, "dot", frozenset(states)), output_format)
        )
    except RendererFailed as error:
        raise StartupError(str(error)) from None
    except RendererMissing as error:
        raise StartupError(f"{error} The formats mermaid and dot work without it.") from None


def _load(target: str) -> Flow:
    source = _read(target)
    try:
        return load_flow(source.content, source.file)
    except InvalidFlowError as error:
        lines = source.text.splitlines()
        errors = [each.render_with_lines(lines) for each in error.diagnostics if each.severity == "error"]
        raise StartupError("\n".join(errors)) from None


def _read(target: str) -> SourceFile:
    if target == "-":
        return next(iter(find_files(["-"])))
    if Path(target).exists():
        return read_file(Path(target))
    for file, text in shipped_flows():
        if file == f"{target}.yaml":
            return SourceFile(file, text.encode())
    raise StartupError(f"{target}: there is no such file, and no shipped flow of that name.")
