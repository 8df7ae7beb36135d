"""A tool's types and docstring describe it to a model; mistakes raise where the tool is defined."""

from __future__ import annotations

import datetime as dt
import enum
from typing import Annotated, Literal

import pytest
from clawdbot_plugin_sdk import Attachment, Context, InvalidArguments, InvalidResult, Plugin, ToolError
from pydantic import BaseModel, Field


class Guest(BaseModel):
    name: str
    children: list[Guest] = []


class Course(enum.Enum):
    soup = "soup"
    fish = "fish"


class Booking(BaseModel):
    day: dt.date
    guests: list[Guest]


@pytest.fixture
def plugin():
    return Plugin("trial", version="1.0.0")


def define(plugin, function, **options):
    assert plugin.tool(**options)(function) is function
    return plugin.tools[function.__name__]


async def test_the_schema_comes_from_the_types(plugin):
    async def book(
        party_size: Annotated[int, Field(ge=1, description="How many people.")],
        day: dt.date,
        ctx: Context,
        course: Course | None = None,
        smoking: Literal["yes", "no"] = "no",
    ) -> Booking:
        """Book a table.

        In a restaurant.
        """
        return Booking(day=day, guests=[])

    tool = define(plugin, book)
    assert tool.description == "Book a table.\n\nIn a restaurant."
    schema = tool.input_schema
    assert schema["properties"]["party_size"] == {
        "type": "integer",
        "minimum": 1,
        "description": "How many people.",
    }
    assert schema["properties"]["day"] == {"type": "string", "format": "date"}
    assert schema["properties"]["smoking"] == {"type": "string", "enum": ["yes", "no"], "default": "no"}
    assert schema["required"] == ["party_size", "day"]
    assert schema["additionalProperties"] is False
    assert "ctx" not in schema["properties"]
    assert tool.output_schema["properties"].keys() == {"day", "guests"}


async def test_a_tool_receives_its_own_types_and_the_context(plugin):
    seen = []

    async def book(
        day: dt.date, guests: list[Guest], ctx: Context[str], course: Course = Course.soup
    ) -> None:
        """Book."""
        seen.append((day, guests, ctx.state, course))

    tool = define(plugin, book)
    returned = await tool.invoke(
        {"day": "2026-11-25", "guests": [{"name": "Ada"}], "course": "fish"}, Context(state="s")
    )
    assert seen == [(dt.date(2026, 11, 25), [Guest(name="Ada")], "s", Course.fish)]
    assert (returned.text, returned.structured, tool.output_schema) == ("", None, None)


async def test_parameters_can_have_any_name(plugin):
    async def odd(json: int, copy: int, model_config: int, schema: int, context: Context) -> list[int]:
        """Take odd names."""
        return [json, copy, model_config, schema]

    returned = await define(plugin, odd).invoke(
        {"json": 1, "copy": 2, "model_config": 3, "schema": 4}, Context()
    )
    assert returned.structured == {"result": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("hint", "value", "text", "structured"),
    [
        (str, "words", "words", {"result": "words"}),
        (int, 4, "4", {"result": 4}),
        (list[int], (1, 2), "[1,2]", {"result": [1, 2]}),
        (dt.date, dt.date(2026, 1, 2), '"2026-01-02"', {"result": "2026-01-02"}),
        (dict[str, int], {"a": 1}, '{"a":1}', {"a": 1}),
        (Guest, Guest(name="Ada"), '{"name":"Ada","children":[]}', {"name": "Ada", "children": []}),
        (int | None, None, "null", {"result": None}),
    ],
)
async def test_a_result_is_text_for_a_model_and_an_object_for_programs(plugin, hint, value, text, structured):
    async def answer():
        """Answer."""
        return value

    answer.__annotations__["return"] = hint
    returned = await define(plugin, answer).invoke({}, Context())
    assert (returned.text, returned.structured) == (text, structured)


async def test_invalid_arguments_are_reported_with_their_paths(plugin):
    async def book(guests: list[Guest], party_size: int = 1) -> None:
        """Book."""
        raise AssertionError("must not run")

    tool = define(plugin, book)
    with pytest.raises(InvalidArguments) as caught:
        await tool.invoke({"guests": [{"name": "Ada"}, {"name": 7}], "partysize": 2}, Context())
    assert [path for path, _ in caught.value.problems] == ["guests[1].name", "partysize"]


async def test_a_result_that_does_not_match_the_return_type_raises(plugin):
    async def answer() -> Guest:
        """Answer."""
        return {"nome": "Ada"}

    with pytest.raises(InvalidResult, match="name"):
        await define(plugin, answer).invoke({}, Context())


async def test_a_tool_error_passes_through(plugin):
    async def answer() -> None:
        """Answer."""
        raise ToolError("No.")

    with pytest.raises(ToolError, match=r"No\."):
        await define(plugin, answer).invoke({}, Context())


def test_the_function_is_returned_unchanged_and_the_limits_are_kept(plugin):
    async def pay() -> None:
        """Pay."""

    tool = define(plugin, pay, effect="once", timeout="250ms", max_in_flight=2, recognises_repeats=True)
    assert (tool.effect, tool.timeout, tool.max_in_flight, tool.recognises_repeats) == ("once", 0.25, 2, True)


async def _documented() -> None:
    """Do nothing."""


def _blocking() -> None:
    """Block."""


async def _undocumented() -> None:
    pass


async def _untyped_parameter(x) -> None:
    """Take anything."""


async def _no_return_type():
    """Return anything."""


async def _var_positional(*names: str) -> None:
    """Take many."""


async def _undefined_type(x: Nowhere) -> None:  # noqa: F821 - that is the mistake
    """Take something undefined."""


async def _no_json_type(x: type) -> None:
    """Take what JSON does not have."""


async def _undefined_return_type() -> asyncio_lock:  # noqa: F821 - that is the mistake
    """Return something undefined."""


@pytest.mark.parametrize(
    ("function", "options", "sentence"),
    [
        (_blocking, {}, "must be `async def`"),
        (_undocumented, {}, "needs a docstring"),
        (_untyped_parameter, {}, "the parameter x needs a type (example: `x: int`)"),
        (_no_return_type, {}, "needs a return type. Write `-> None`"),
        (_var_positional, {}, "Name each parameter"),
        (_undefined_type, {}, "the type 'Nowhere' is not defined at run time"),
        (_undefined_return_type, {}, "the type 'asyncio_lock' is not defined at run time"),
        (_documented, {"effect": "twice"}, "expected one of none, repeatable, once"),
        (_documented, {"recognises_repeats": True}, "recognises_repeats requires effect='once'"),
        (_documented, {"timeout": "soon"}, "expected a duration such as '5s'"),
        (_documented, {"timeout": 0}, "expected a finite duration of more than 0"),
        (_documented, {"max_in_flight": 0}, "expected at least 1"),
        (_documented, {"max_in_flight": True}, "expected an integer"),
    ],
)
def test_a_mistake_raises_at_the_definition_of_the_tool(plugin, function, options, sentence):
    function.__name__ = function.__name__.removeprefix("_")
    with pytest.raises(TypeError) as caught:
        plugin.tool(**options)(function)
    assert sentence in str(caught.value)


def test_a_type_without_a_json_schema_cannot_be_a_parameter(plugin):
    _no_json_type.__name__ = "no_json_type"
    with pytest.raises(TypeError, match="JSON Schema"):
        plugin.tool()(_no_json_type)


def test_two_tools_of_one_plugin_cannot_have_the_same_name(plugin):
    async def twice() -> None:
        """Once."""

    plugin.tool()(twice)
    with pytest.raises(TypeError, match="two tools called twice"):
        plugin.tool()(twice)


async def test_attachments_belong_to_the_run_that_attached_them(plugin):
    async def draw(ctx: Context, paper: bool = False) -> str:
        """Draw a map."""
        ctx.attach(b"png", "image/png")
        if paper:
            ctx.attach(b"pdf", "application/pdf; version=2", title="Map")
        return "here"

    tool, context = define(plugin, draw), Context()
    both = await tool.invoke({"paper": True}, context)
    assert both.attachments == (
        Attachment(b"png", "image/png"),
        Attachment(b"pdf", "application/pdf; version=2", "Map"),
    )
    assert (await tool.invoke({}, context)).attachments == both.attachments[:1]
    assert context.attached == []


@pytest.mark.parametrize(("data", "media_type"), [(b"", "image/png"), (b"x", "png"), (b"x", "image/p\nng")])
def test_invalid_attachments_are_refused(data, media_type):
    with pytest.raises(ValueError, match=r"needs data|is not a media type"):
        Context().attach(data, media_type)
