"""Finds arguments of calls that the tool's JSON Schema does not take, before anything is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from clawdbot_dialogue.core.flow.cel.expressions import Expression
from clawdbot_dialogue.core.flow.diagnostics import MOST_FINDINGS, Diagnostic, Findings, nearest
from clawdbot_dialogue.core.flow.model import Call, Flow
from clawdbot_dialogue.core.flow.parse.yaml_parser import Path, read
from clawdbot_dialogue.core.flow.templates import Template
from clawdbot_dialogue.core.flow.tree import written_at

_OF_CEL: Mapping[str, str] = {"int": "integer", "double": "number", "bool": "boolean", "string": "string"}
"""CEL's types that are one of JSON Schema's for certain."""
_MADE_IN_CEL: Mapping[str, str] = {"list<": "array", "map<": "object", "flow.": "object"}
"""The same by how a name begins; that of a structure is the name of its message."""


@dataclass(frozen=True, slots=True)
class _Misfit:
    path: Path
    """Within the arguments."""
    message: str
    hint: str = ""


def check_arguments(flow: Flow, schemas: Mapping[str, Mapping[str, Any]]) -> tuple[Diagnostic, ...]:
    """What calls give their tools and the tools do not take, as warnings: a tool may be another one later.

    Types, names, required arguments and enums are held to the schema; what else it says, the tool itself
    holds them to. An expression whose type is not known before it runs is left alone.

    Args:
        flow: The flow.
        schemas: The JSON Schema of each tool's arguments, by the tool's name, where it is known.
    """
    misfits = (
        (state.name, misfit)
        for state in flow.states.values()
        if state.call and state.call.tool in schemas
        for misfit in _misfits(state.call, schemas[state.call.tool])
    )
    found = [*islice(misfits, MOST_FINDINGS + 1)]
    findings = Findings(flow.file)
    document = read(flow.source, findings) if found else None
    if document is not None:
        for name, misfit in found:
            place = (*written_at(flow.states, name), "call")
            mark = document.at((*place, "args", *misfit.path)) if misfit.path else document.key_at(place)
            findings.warning("tool-argument", misfit.message, mark, misfit.hint)
    return findings.sorted()


def _misfits(call: Call, schema: Mapping[str, Any]) -> Iterator[_Misfit]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in call.arguments:
            yield _Misfit((), f"{call.tool} needs the argument {name}.", f"Add {name} to `args`.")
    for name, argument in call.arguments.items():
        if name in known:
            yield from _value(argument.build, known[name], schema, (name,))
        elif schema.get("additionalProperties") is False:
            message = f"{call.tool} takes no argument {name}."
            yield _Misfit((name,), message, nearest(name, known))


def _value(build: object, schema: Any, root: Mapping[str, Any], path: Path) -> Iterator[_Misfit]:
    schema = _resolved(schema, root)
    kinds = _kinds(schema, root)
    given = _kind(build)
    if given and kinds and not _fits(given, kinds):
        yield _Misfit(path, f"{path[-1]} is {' or '.join(sorted(kinds))}; this is {given}.")
    elif isinstance(build, str) and "enum" in schema and build not in schema["enum"]:
        hint = nearest(build, [each for each in schema["enum"] if isinstance(each, str)])
        yield _Misfit(path, f'{path[-1]} is never "{build}".', hint)
    elif isinstance(build, dict):
        for key, each in build.items():
            yield from _value(each, schema.get("properties", {}).get(key, {}), root, (*path, key))
    elif isinstance(build, list):
        for at, each in enumerate(build):
            yield from _value(each, schema.get("items", {}), root, (*path, at))


def _fits(given: str, kinds: frozenset[str]) -> bool:
    return given in kinds or (given == "integer" and "number" in kinds)


def _kind(build: object) -> str:
    """The JSON type that a value will have; empty where it is not known yet."""
    if isinstance(build, Expression):
        made = (name for start, name in _MADE_IN_CEL.items() if build.returns.startswith(start))
        return _OF_CEL.get(build.returns) or next(made, "")
    if isinstance(build, bool):
        return "boolean"
    names: tuple[tuple[type, str], ...] = (
        (Template, "string"), (str, "string"), (int, "integer"), (float, "number"),
        (dict, "object"), (list, "array"), (type(None), "null"),
    )  # fmt: skip
    return next((name for kind, name in names if isinstance(build, kind)), "")


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema that a reference within the document names; an unknown one says nothing."""
    if not isinstance(schema, Mapping):
        return {}
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#/"):
        return schema
    found: Any = root
    for key in reference[2:].split("/"):
        found = found.get(key, {}) if isinstance(found, Mapping) else {}
    return found if isinstance(found, Mapping) else {}


def _kinds(schema: Mapping[str, Any], root: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types that a schema takes; empty for any, or where that is not plain."""
    if "type" in schema:
        named = schema["type"]
        return frozenset([named] if isinstance(named, str) else named)
    branches = [_resolved(each, root) for each in schema.get("anyOf") or schema.get("oneOf") or ()]
    # Alternatives of alternatives are left to the tool; a schema may refer to itself.
    kinds = [_kinds({"type": each["type"]}, root) for each in branches if "type" in each]
    return frozenset().union(*kinds) if kinds and len(kinds) == len(branches) else frozenset()
