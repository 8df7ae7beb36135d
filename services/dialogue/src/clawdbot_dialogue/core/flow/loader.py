"""The way from a source to a flow, and everything that was found on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from clawdbot_dialogue.core.flow.cel.expressions import ExpressionCompiler
from clawdbot_dialogue.core.flow.compile.flows import FlowCompiler
from clawdbot_dialogue.core.flow.compile.linker import Names
from clawdbot_dialogue.core.flow.compile.states import KINDS
from clawdbot_dialogue.core.flow.diagnostics import (
    MOST_FINDINGS,
    Diagnostic,
    Findings,
    FlowInvalid,
    Mark,
    TooManyErrors,
    nearest,
)
from clawdbot_dialogue.core.flow.lint.linter import lint
from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.flow.parse.localization import documents
from clawdbot_dialogue.core.flow.parse.schema_validation import fit
from clawdbot_dialogue.core.flow.parse.source_model import MOST_SLOTS, FlowSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path, read
from clawdbot_dialogue.core.flow.tree import declared, written_at

__all__ = ["Examination", "FlowInvalid", "check_references", "examine", "load_flow"]


@dataclass(frozen=True, slots=True)
class Examination:
    """What came out of reading a source."""

    flow: Flow | None
    """None where there is an error."""
    diagnostics: tuple[Diagnostic, ...]
    """In source order."""


def examine(source: str | bytes, file: str) -> Examination:
    """Reads a flow's source and tells all that is wrong with it, never raising for it.

    Args:
        source: YAML; as bytes, in UTF-8.
        file: The name to show in diagnostics.
    """
    findings = Findings(file)
    flow: Flow | None = None
    with suppress(TooManyErrors):
        text = source if isinstance(source, str) else _decoded(source, findings)
        flow = None if text is None else _compiled(text, file, findings)
    diagnostics = findings.sorted()
    if flow is None or findings.failed:
        return Examination(None, diagnostics)
    return Examination(dataclasses.replace(flow, warnings=diagnostics), diagnostics)


def _decoded(source: bytes, findings: Findings) -> str | None:
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        before = source[: error.start].decode()
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        message = f"The byte 0x{source[error.start]:02x} is not UTF-8."
        findings.error("not-utf8", message, mark, "Save the file as UTF-8.")
        return None


def _compiled(source: str, file: str, findings: Findings) -> Flow | None:
    document = read(source, findings)
    expressions: ExpressionCompiler | None = None
    compiled: list[tuple[Flow, FlowSource, Document]] = []
    for language, variant in documents(document, findings) if document else ():
        fitted = fit(variant, findings)
        if fitted is None:
            return None
        shape, spoken = fitted
        if shape.locales:
            shape = shape.model_copy(update={"locale": language})
        names = _names(variant)
        if len(names.slots) > MOST_SLOTS:  # told by the shape
            return None
        compiler = FlowCompiler(shape, spoken, names, findings, expressions)
        expressions = compiler.expressions
        compiled.append((compiler.compile(source, file), shape, spoken))
    # With faulty parts left out, the rest would look unreachable or unfinished.
    for flow, shape, spoken in compiled if not findings.failed else ():
        lint(flow, shape, spoken, findings)
    if not compiled:
        return None
    first, *others = (flow for flow, _, _ in compiled)
    return dataclasses.replace(first, variants={flow.locale.name: flow for flow in others})


def _names(document: Document) -> Names:
    data: Any = document.data
    slots = data.get("slots")
    return Names(
        slots=frozenset(slots if isinstance(slots, dict) else ()),
        states={
            path: frozenset(written if isinstance(written, dict) else KINDS)
            for path, written, _ in declared(data.get("states"))
        },
    )


def load_flow(source: str | bytes, file: str) -> Flow:
    """A flow from its source; its warnings are in `Flow.warnings`.

    Args:
        source: YAML; as bytes, in UTF-8.
        file: The name to show in diagnostics.

    Raises:
        FlowInvalid: with every diagnostic.
    """
    examination = examine(source, file)
    if examination.flow is None:
        raise FlowInvalid(examination.diagnostics)
    return examination.flow


def check_references(
    flow: Flow,
    flows: Collection[str],
    tools: Collection[str] | None = None,
    models: Collection[str] | None = None,
) -> tuple[Diagnostic, ...]:
    """What a flow names that is not there, as warnings: flows, tools and models may be brought later.

    Args:
        flow: The flow.
        flows: The names of all flows.
        tools: The names of all tools, where they are known.
        models: The aliases of all models, where they are known; "backend/model" is left to the gateway.
    """
    known: Mapping[str, Collection[str] | None] = {"flow": flows, "tool": tools, "model": models}
    missing = [
        (kind, name, path)
        for kind, name, path in _named(flow)
        if (there := known[kind]) is not None and name not in there and not (kind == "model" and "/" in name)
    ]
    findings = Findings(flow.file)
    # Most flows name nothing that is missing, and need not be read again for its place.
    read_again = bool(missing) or not {*flow.interrupts.flows} <= {*flows}
    document = read(flow.source, findings) if read_again else None
    if document is None:
        return findings.sorted()
    allow: Any = document.data
    for at, name in enumerate(allow.get("interrupts", {}).get("allow", [])):
        if name != "cancel":
            _told_missing("flow", name, flows, document.at(("interrupts", "allow", at)), findings)
    for kind, name, path in missing[: MOST_FINDINGS + 1]:
        _told_missing(kind, name, known[kind] or (), document.at(path), findings)
    return findings.sorted()


def _named(flow: Flow) -> Iterator[tuple[str, str, Path]]:
    """The flows, tools and models that a flow's states name, and where."""
    for state in flow.states.values():
        path = written_at(flow.states, state.name)
        for place, tools, model in (
            (path, state.tools, state.model),
            ((*path, "generate"), *_uses(state)),
        ):
            yield from (("tool", tool, (*place, "tools", at)) for at, tool in enumerate(tools))
            if model:
                yield "model", model, (*place, "model")
        if state.call:
            yield "tool", state.call.tool, (*path, "call", "tool")
        if state.subflow:
            yield "flow", state.subflow.flow, (*path, "subflow", "flow")


def _uses(state: State) -> tuple[tuple[str, ...], str]:
    return (state.generation.tools, state.generation.model) if state.generation else ((), "")


_UNKNOWN = {"flow": "unknown-flow", "tool": "unknown-tool", "model": "unknown-model"}


def _told_missing(kind: str, name: str, known: Collection[str], mark: Mark, findings: Findings) -> None:
    if name not in known:
        findings.warning(_UNKNOWN[kind], f'There is no {kind} "{name}".', mark, nearest(name, known))
