"""Finds arguments of calls that the tool's JSON Schema rejects, before anything is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clawdbot_dialogue.core.flow.cel.expressions import Expression
from clawdbot_dialogue.core.flow.diagnostics import MAX_PER_SEVERITY, Diagnostic, DiagnosticCollector, suggest
from clawdbot_dialogue.core.flow.model import Call, Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Path, parse_yaml
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.tree import document_path

_SCALAR_TYPES: Mapping[str, str] = {
    "int": "integer",
    "double": "number",
    "bool": "boolean",
    "string": "string",
}
"""CEL's types, and the JSON Schema types that their values certainly have."""
_CONTAINER_TYPES: Mapping[str, str] = {"list<": "array", "map<": "object", "flow.": "object"}
"""The same, by the beginning of CEL's name; a structure is named after its message."""


@dataclass(frozen=True, slots=True)
class _ArgumentError:
    path: Path
    """Within the arguments."""
    message: str
    hint: str = ""


def check_arguments(flow: Flow, schemas: Mapping[str, Mapping[str, Any]]) -> tuple[Diagnostic, ...]:
    """Warns of arguments that a tool does not accept; warnings only, since the tool may change.

    Checks types, names, required arguments and enums; the rest of a schema is left to the tool. An expression
    whose type is known only at run time is not checked.

    Args:
        flow: The flow.
        schemas: The JSON Schema of each tool's arguments, by the tool's name, as far as it is known.
    """
    errors = (
        (state.name, error)
        for state in flow.states.values()
        if state.call and state.call.tool in schemas
        for error in _call_errors(state.call, schemas[state.call.tool])
    )
    found = [*islice(errors, MAX_PER_SEVERITY + 1)]
    diagnostics = DiagnosticCollector(flow.file)
    document = parse_yaml(flow.source, diagnostics) if found else None
    if document is not None:
        for name, error in found:
            at = (*document_path(flow.states, name), "call")
            mark = document.at((*at, "args", *error.path)) if error.path else document.key_at(at)
            diagnostics.warning("tool-argument", error.message, mark, error.hint)
    return diagnostics.sorted()


def _call_errors(call: Call, schema: Mapping[str, Any]) -> Iterator[_ArgumentError]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in call.arguments:
            message = f'The tool {call.tool} requires the argument "{name}".'
            yield _ArgumentError((), message, f"Add {name} to `args`.")
    for name, argument in call.arguments.items():
        if name in known:
            yield from _value_errors(argument.tree, known[name], schema, (name,))
        elif schema.get("additionalProperties") is False:
            message = f'The tool {call.tool} has no argument "{name}".'
            yield _ArgumentError((name,), message, suggest(name, known))


def _value_errors(tree: object, schema: Any, root: Mapping[str, Any], path: Path) -> Iterator[_ArgumentError]:
    schema = _resolved(schema, root)
    accepted = _accepted_types(schema, root)
    given = _json_type(tree)
    what = f'"{path[-1]}"' if isinstance(path[-1], str) else f"The item at index {path[-1]}"
    if given and accepted and not _is_accepted(given, accepted):
        yield _ArgumentError(path, f"{what} must be {' or '.join(sorted(accepted))}; this is {given}.")
    elif isinstance(tree, str) and "enum" in schema and tree not in schema["enum"]:
        hint = suggest(tree, [each for each in schema["enum"] if isinstance(each, str)])
        yield _ArgumentError(path, f'{what} cannot be "{tree}".', hint)
    elif isinstance(tree, dict):
        for key, each in tree.items():
            yield from _value_errors(each, schema.get("properties", {}).get(key, {}), root, (*path, key))
    elif isinstance(tree, list):
        for index, each in enumerate(tree):
            yield from _value_errors(each, schema.get("items", {}), root, (*path, index))


def _is_accepted(given: str, accepted: frozenset[str]) -> bool:
    return given in accepted or (given == "integer" and "number" in accepted)


def _json_type(tree: object) -> str:
    """The JSON type that a value will have; empty if it is not known yet."""
    if isinstance(tree, Expression):
        container = (name for start, name in _CONTAINER_TYPES.items() if tree.return_type.startswith(start))
        return _SCALAR_TYPES.get(tree.return_type) or next(container, "")
    if isinstance(tree, bool):
        return "boolean"
    names: tuple[tuple[type, str], ...] = (
        (Template, "string"), (str, "string"), (int, "integer"), (float, "number"),
        (dict, "object"), (list, "array"), (type(None), "null"),
    )  # fmt: skip
    return next((name for kind, name in names if isinstance(tree, kind)), "")


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference within the document points to; empty for an unknown one."""
    if not isinstance(schema, Mapping):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    found: Any = root
    for key in reference[2:].split("/"):
        found = found.get(key, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _accepted_types(schema: Mapping[str, Any], root: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that a schema accepts; empty for any, or if it is not obvious."""
    if "type" in schema:
        named = schema["type"]
        return frozenset([named] if isinstance(named, str) else named)
    branches = [_resolved(each, root) for each in schema.get("anyOf") or schema.get("oneOf") or ()]
    # Nested alternatives are left to the tool; a schema may refer to itself.
    types = [_accepted_types({"type": each["type"]}, root) for each in branches if "type" in each]
    return frozenset().union(*types) if types and len(types) == len(branches) else frozenset()
