"""Loads a flow: parses, validates, compiles and lints a source, and reports everything that it finds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from clawdbot_dialogue.core.flow.cel.expressions import ExpressionCompiler
from clawdbot_dialogue.core.flow.compile.flows import FlowCompiler
from clawdbot_dialogue.core.flow.compile.linker import DeclaredNames
from clawdbot_dialogue.core.flow.compile.states import KINDS
from clawdbot_dialogue.core.flow.diagnostics import (
    MAX_PER_SEVERITY,
    Diagnostic,
    DiagnosticCollector,
    InvalidFlowError,
    Mark,
    TooManyErrors,
    suggest,
)
from clawdbot_dialogue.core.flow.lint.linter import lint
from clawdbot_dialogue.core.flow.model import Flow, State
from clawdbot_dialogue.core.flow.parse.localization import split_by_locale
from clawdbot_dialogue.core.flow.parse.schema_validation import validate
from clawdbot_dialogue.core.flow.parse.source_model import MAX_SLOTS, FlowSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path, parse_yaml
from clawdbot_dialogue.core.flow.tree import document_path, iter_states

__all__ = [
    "InvalidFlowError",
    "ValidationResult",
    "check_references",
    "compile_flow",
    "load_flow",
    "validate_flow",
]

_Linter: TypeAlias = Callable[[Flow, FlowSource, Document, DiagnosticCollector], None]


@dataclass(frozen=True, slots=True)
class ValidationResult:
    """The flow and the diagnostics of one source."""

    flow: Flow | None
    """None if there is an error."""
    diagnostics: tuple[Diagnostic, ...]
    """In source order."""


def validate_flow(source: str | bytes, file: str) -> ValidationResult:
    """Compiles and lints a flow's source; reports its mistakes as diagnostics, and never raises for them.

    Args:
        source: YAML; bytes must be UTF-8.
        file: The name to show in diagnostics.
    """
    return _load(source, file, lint)


def compile_flow(source: str, file: str) -> ValidationResult:
    """Like validate_flow, for a source that was valid once: does not lint, which can take the most time."""
    return _load(source, file, lambda *_: None)


def _load(source: str | bytes, file: str, linter: _Linter) -> ValidationResult:
    collector = DiagnosticCollector(file)
    flow: Flow | None = None
    with suppress(TooManyErrors):
        text = source if isinstance(source, str) else _decode(source, collector)
        flow = None if text is None else _compile(text, file, collector, linter)
    diagnostics = collector.sorted()
    if flow is None or collector.has_errors:
        return ValidationResult(None, diagnostics)
    return ValidationResult(dataclasses.replace(flow, warnings=diagnostics), diagnostics)


def _decode(source: bytes, diagnostics: DiagnosticCollector) -> str | None:
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        before = source[: error.start].decode()
        mark = Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))
        message = f"The byte 0x{source[error.start]:02x} is not UTF-8."
        diagnostics.error("not-utf8", message, mark, "Save the file as UTF-8.")
        return None


def _compile(source: str, file: str, diagnostics: DiagnosticCollector, linter: _Linter) -> Flow | None:
    document = parse_yaml(source, diagnostics)
    expressions: ExpressionCompiler | None = None
    compiled: list[tuple[Flow, FlowSource, Document]] = []
    for language, variant in split_by_locale(document, diagnostics) if document else ():
        validated = validate(variant, diagnostics)
        if validated is None:
            return None
        model, remainder = validated
        if model.locales:
            model = model.model_copy(update={"locale": language})
        names = _declared_names(variant)
        if len(names.slots) > MAX_SLOTS:  # reported by the validation
            return None
        compiler = FlowCompiler(model, remainder, names, diagnostics, expressions)
        expressions = compiler.expressions
        compiled.append((compiler.compile(source, file), model, remainder))
    # With invalid parts left out, the rest would look unreachable or unfinished.
    for flow, model, remainder in compiled if not diagnostics.has_errors else ():
        linter(flow, model, remainder, diagnostics)
    if not compiled:
        return None
    first, *others = (flow for flow, _, _ in compiled)
    return dataclasses.replace(first, variants={flow.locale.name: flow for flow in others})


def _declared_names(document: Document) -> DeclaredNames:
    data: Any = document.data
    slots = data.get("slots")
    return DeclaredNames(
        slots=frozenset(slots if isinstance(slots, dict) else ()),
        states={
            path: frozenset(declaration if isinstance(declaration, dict) else KINDS)
            for path, declaration, _ in iter_states(data.get("states"))
        },
    )


def load_flow(source: str | bytes, file: str) -> Flow:
    """Compiles a flow's source; its warnings are in `Flow.warnings`.

    Args:
        source: YAML; bytes must be UTF-8.
        file: The name to show in diagnostics.

    Raises:
        InvalidFlowError: with every diagnostic.
    """
    result = validate_flow(source, file)
    if result.flow is None:
        raise InvalidFlowError(result.diagnostics)
    return result.flow


def check_references(
    flow: Flow,
    flows: Collection[str],
    tools: Collection[str] | None = None,
    models: Collection[str] | None = None,
) -> tuple[Diagnostic, ...]:
    """Warns of flows, tools and models that a flow names and that do not exist: they may be added later.

    Args:
        flow: The flow.
        flows: The names of all flows.
        tools: The names of all tools; None if unknown, and then they are not checked.
        models: The aliases of all models; None if unknown. A name "backend/model" is left to the gateway.
    """
    known: Mapping[str, Collection[str] | None] = {"flow": flows, "tool": tools, "model": models}
    missing = [
        (kind, name, path)
        for kind, name, path in _references(flow)
        if (names := known[kind]) is not None and name not in names and not (kind == "model" and "/" in name)
    ]
    diagnostics = DiagnosticCollector(flow.file)
    # Most flows name nothing that is missing, so they need not be parsed again for positions.
    needs_positions = bool(missing) or not {*flow.interrupts.flows} <= {*flows}
    document = parse_yaml(flow.source, diagnostics) if needs_positions else None
    if document is None:
        return diagnostics.sorted()
    data: Any = document.data
    for index, name in enumerate(data.get("interrupts", {}).get("allow", [])):
        if name != "cancel":
            mark = document.at(("interrupts", "allow", index))
            _warn_if_unknown("flow", name, flows, mark, diagnostics)
    for kind, name, path in missing[: MAX_PER_SEVERITY + 1]:
        _warn_if_unknown(kind, name, known[kind] or (), document.at(path), diagnostics)
    return diagnostics.sorted()


def _references(flow: Flow) -> Iterator[tuple[str, str, Path]]:
    """The flows, tools and models that a flow's states name: kind, name, path in the document."""
    for state in flow.states.values():
        path = document_path(flow.states, state.name)
        for at, tools, model in (
            (path, state.tools, state.model),
            ((*path, "generate"), *_generation_references(state)),
        ):
            yield from (("tool", tool, (*at, "tools", index)) for index, tool in enumerate(tools))
            if model:
                yield "model", model, (*at, "model")
        if state.call:
            yield "tool", state.call.tool, (*path, "call", "tool")
        if state.subflow:
            yield "flow", state.subflow.flow, (*path, "subflow", "flow")


def _generation_references(state: State) -> tuple[tuple[str, ...], str]:
    return (state.generation.tools, state.generation.model) if state.generation else ((), "")


_CODES = {"flow": "unknown-flow", "tool": "unknown-tool", "model": "unknown-model"}


def _warn_if_unknown(
    kind: str, name: str, known: Collection[str], mark: Mark, diagnostics: DiagnosticCollector
) -> None:
    if name not in known:
        diagnostics.warning(_CODES[kind], f'There is no {kind} "{name}".', mark, suggest(name, known))
