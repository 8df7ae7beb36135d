"""No message to an operator, an author or a caller holds a regular expression or a validator's wording."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from clawdbot_cli.settings import SuiteSettings
from clawdbot_dialogue.core.flow.diagnostics import InvalidFlowError
from clawdbot_dialogue.core.flow.loader import load_flow
from clawdbot_model_gateway.core.structured_output.validator_process import InvalidSchema, validation_errors
from clawdbot_model_gateway.provider_registry import installed_providers
from clawdbot_plugins.core.schemas import Schema
from clawdbot_plugins.discovery import installed_plugins
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings import load
from clawdbot_servicekit.validation_words import section_errors
from pydantic import BaseModel, ValidationError

WRONG = [
    *(True, -1, 0, 3.5, 10**30, float("inf"), "", "(((", "x y", "a\nb", "0x", "é" * 300, "https://", "null"),
    *([], [[]], [5, None], ["", "("], {}, {"zz": {}}, {"zz": 5}, {"": None}, {"a b": ["("]}),
]
"""Values that few keys accept, of every kind that YAML has."""

VALIDATORS_WORDS = re.compile(
    r"Input |Value error|Assertion|Extra inputs|Field required|Expecting|validation error|pydantic|"
    r"does not match '|is not of type|non-empty|is a required|is not one of|is not valid under|"
    r"(was|were) unexpected|is (less|greater) than the|is too (long|short)'?\.|should be|[Tt]uple|frozenset|"
    r"\bunion\b|[\[ (]None[,\])]|\bdict\b|\bstr\b|\bint\b"
)
REGEX = re.compile(r"\^|\(\?|\[[^\]\s]*-[^\]\s]*\]|\\[dwsSWDAZ]|\]\{|\}\$|[\])][+*]|\.\*|\$[\"']")


def check(message: str) -> None:
    assert not VALIDATORS_WORDS.search(message), message
    assert not REGEX.search(message), message
    assert all(line.endswith((".", "?")) for line in message.splitlines()), message


def keys(annotation: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every key of a settings class; in lists and mappings, of one entry."""
    origin = get_origin(annotation)
    if path:
        yield path
    if len(path) > 6:
        return
    if origin is Annotated:
        yield from keys(get_args(annotation)[0], path)
    elif origin in (Union, types.UnionType):
        for each in get_args(annotation):
            yield from keys(each, path)
    elif origin in (list, tuple, frozenset):
        yield from keys(get_args(annotation)[0], (*path, 0))
    elif isinstance(origin, type) and issubclass(origin, Mapping):
        yield from keys(get_args(annotation)[1], (*path, "entry"))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from keys(field.annotation, (*path, name))


def nested(path: tuple[str | int, ...], value: Any) -> Any:
    for part in reversed(path):
        value = [value] if isinstance(part, int) else {part: value}
    return value


KEYS = sorted(set(keys(SuiteSettings)), key=str)


@pytest.mark.parametrize("section", sorted({str(path[0]) for path in KEYS}))
def test_a_wrong_value_of_any_setting_gets_a_plain_sentence(tmp_path, section):
    file, refused = tmp_path / "clawdbot.yaml", 0
    for path in (each for each in KEYS if each[0] == section):
        for value in WRONG:
            file.write_text(json.dumps(nested(path, value), ensure_ascii=False).replace("Infinity", ".inf"))
            try:
                load(SuiteSettings, file, {})
            except StartupError as error:
                check(str(error).replace(str(file), "clawdbot.yaml"))
                refused += 1
    assert refused > 5


def models() -> Iterator[Any]:
    for name, point in installed_providers().items():
        yield pytest.param(point.load().options, id=f"provider {name}")
    for name, point in installed_plugins().items():
        loaded = point.load()
        settings = (loaded if hasattr(loaded, "settings") else loaded()).settings
        if settings is not None:
            yield pytest.param(settings, id=f"plugin {name}")


@pytest.mark.parametrize("model", list(models()))
def test_a_wrong_option_of_a_provider_or_a_plugin_gets_a_plain_sentence(model):
    for path in set(keys(model)) | {("unknown",)}:
        for value in WRONG:
            values = nested(path, value)
            try:
                model.model_validate(values)
            except ValidationError as error:
                check(section_errors("section", values, error))
            except StartupError as error:
                check(str(error))


FLOW = {
    "flow": "f",
    "version": 1,
    "description": "d",
    "slots": {"n": {"type": "string", "ask": "n?", "pattern": "[a-z]+", "min_length": 1}},
    "interrupts": {"allow": ["cancel"]},
    "states": {
        "a": {"collect": ["n"], "timeout": {"after": "1s", "to": "b"}, "next": [{"if": "true", "to": "b"}]},
        "c": {"call": {"tool": "t.x", "args": {"a": "1"}, "effect": "once"}, "next": [{"to": "b"}]},
        "g": {"generate": {"instructions": "i", "tools": ["t.x"], "model": "m"}, "next": [{"to": "b"}]},
        "b": {"say": "bye", "end": True},
    },
}


def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key)
            yield from places(inner, (*path, key))


@pytest.mark.parametrize("path", list(places(FLOW)), ids=".".join)
def test_a_wrong_value_in_a_flow_gets_a_plain_sentence(path):
    for value in WRONG:
        flow = json.loads(json.dumps(FLOW))
        inner = flow
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        try:
            load_flow(json.dumps(flow, ensure_ascii=False).replace("Infinity", ".inf"), "f.yaml")
        except InvalidFlowError as error:
            for each in error.diagnostics:
                text = f"{each.message} {each.hint}".strip()
                assert not VALIDATORS_WORDS.search(text), text
                assert not REGEX.search(text.replace("(((", "").replace('"("', "")), text


BROKEN_YAML = [
    *(
        "a: b: c",
        "a: [1",
        "a: {b",
        "a: 'x",
        'a: "\\q"',
        "\ta: 1",
        "a: *b",
        "a: &",
        "- a\nb: c",
        "a:\n - b\n  c: d",
    ),
    *(
        "a: @x",
        "a: `x",
        "%x\na: 1",
        "a: !<",
        "a: |x\n b",
        "? a\n: b\n c",
        "a: 1\n b: 2",
        "a\nb: c",
        "a: }",
        "a: ]",
    ),
    *(
        "a: [1}",
        "a: {b: 1]",
        "\x07",
        "a: 'b' c",
        "&a &b c",
        "a: - b",
        "'a: 1",
        '"',
        "--- a\n--- b",
        "{a: 1}} b",
    ),
]


@pytest.mark.parametrize("text", BROKEN_YAML)
def test_broken_yaml_gets_a_plain_sentence(tmp_path, text):
    library = re.compile(
        r"did not find|could not find|while (parsing|scanning)|token|not allowed in this context"
    )
    file = tmp_path / "clawdbot.yaml"
    file.write_text(text)
    with pytest.raises(StartupError) as refused:
        load(SuiteSettings, file, {})
    check(str(refused.value))
    assert not library.search(str(refused.value))


SCHEMAS = [
    *({"type": each} for each in ("string", "integer", "number", "boolean", "array", "object", "null")),
    *({"type": ["string", "null"]}, {"enum": ["a", 1, None]}, {"const": "a"}, {"pattern": "^[a-z]{3}$"}),
    *(
        {"pattern": "^[a-z]+$", "examples": ["abc"]},
        {"pattern": "^a", "description": "An a."},
        {"format": "date"},
    ),
    *({"minimum": 7}, {"exclusiveMinimum": 7}, {"maximum": -7}, {"exclusiveMaximum": -7}, {"multipleOf": 7}),
    *(
        {"minLength": 400},
        {"minLength": 1},
        {"maxLength": 0},
        {"minItems": 3},
        {"maxItems": 0},
        {"uniqueItems": True},
    ),
    *(
        {"contains": {"const": 99}},
        {"prefixItems": [{"const": 9}]},
        {"items": {"type": "string"}},
        {"items": False},
    ),
    *({"required": ["z"]}, {"additionalProperties": False}, {"propertyNames": {"pattern": "^[A-Z]+$"}}),
    *({"minProperties": 5}, {"maxProperties": 0}, {"patternProperties": {"^z+$": {"type": "array"}}}),
    *(
        {"dependentRequired": {"zz": ["y"]}},
        {"unevaluatedProperties": False},
        {"not": {}},
        {"if": {}, "then": False},
    ),
    *(
        {"anyOf": [{"const": 1}, {"pattern": "^[0-9]+$"}]},
        {"oneOf": [{}, {}]},
        {"allOf": [{"type": "array"}]},
    ),
    *(
        {"$ref": "#/properties/value/$defs/a", "$defs": {"a": {"pattern": "^[0-9]$"}}},
        {"properties": {"zz": False}},
    ),
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
def test_a_value_that_misses_a_schema_gets_a_plain_sentence(schema):
    values = [each for each in WRONG if each != float("inf") and each != 10**30] + [None, [1, 1], "zzz"]
    inner = {"type": "object", "properties": {"value": schema}}
    found = 0
    for value in values:
        for each in Schema(inner).violations({"value": value}, "arguments"):
            check(each.description)
            found += 1
        reply = validation_errors(inner, json.dumps({"value": value}))
        check(reply.replace("a b", ""))
        found += bool(reply)
    assert found


@pytest.mark.parametrize(
    "schema",
    [
        *({"type": "strin"}, {"type": 5}, {"pattern": "("}, {"pattern": "(?=a)[a-z]+"}, {"minimum": "a"}),
        *({"$ref": "http://example.com/x"}, {"$ref": "#/$defs/a"}, {"properties": []}, {"required": "a"}),
        *({"properties": {"a": {"enum": 5}}}, {"minLength": -1}, {"$schema": "nowhere"}),
    ],
    ids=json.dumps,
)
def test_an_invalid_schema_gets_a_plain_sentence(schema):
    try:
        validation_errors(schema, None)
    except InvalidSchema as error:
        check(str(error))


@pytest.mark.parametrize("text", ["", "{", "[1,]", "nul", '{"a" 1}', "\x00", "NaN"])
def test_a_reply_that_is_not_json_gets_a_plain_sentence(text):
    check(validation_errors({"type": "object"}, text))
