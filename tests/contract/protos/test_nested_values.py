"""A value of MAX_DEPTH levels can be read from every message that the dialogue service stores or sends."""

from __future__ import annotations

import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.explanation_pb2 import Explanation
from clawdbot_servicekit.structs import MAX_DEPTH, fill_struct, fill_value, path_too_deep
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct

DIALOGUE = pb.DESCRIPTOR.services_by_name["DialogueService"]
MESSAGES = {
    each.full_name: each
    for each in (
        *(method.output_type for method in DIALOGUE.methods),
        *(method.input_type for method in DIALOGUE.methods),
        Explanation.DESCRIPTOR,
    )
}
MEASURED = 31
"""Levels that the deepest of these messages leaves to a value."""


def places(descriptor, above=()):
    """The paths to every Struct and Value in a message. A tool's result contains no calls or results."""
    for field in descriptor.fields:
        inner = field.message_type
        if inner is None or inner.GetOptions().map_entry or inner.full_name in above:
            continue
        if inner.full_name in ("google.protobuf.Struct", "google.protobuf.Value"):
            yield (field,)
        else:
            for rest in places(inner, (*above, inner.full_name)):
                yield (field, *rest)


def nested(levels, innermost="x"):
    value = innermost
    for _ in range(levels):
        value = {"a": value}
    return value


def can_be_read(descriptor, path, levels):
    message = GetMessageClass(descriptor)()
    into = message
    for field in path:
        into = getattr(into, field.name).add() if field.is_repeated else getattr(into, field.name)
    if isinstance(into, Struct):
        fill_struct(into, nested(levels), 100)
    else:
        fill_struct(into.struct_value, nested(levels), 100)
    try:
        type(message).FromString(message.SerializeToString())
    except DecodeError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_a_value_at_the_bound_can_be_read_in_every_place(name):
    for path in places(MESSAGES[name]):
        assert can_be_read(MESSAGES[name], path, MAX_DEPTH + 1), [field.name for field in path]


def test_the_deepest_place_leaves_as_many_levels_as_the_bound_says():
    everywhere = [(each, path) for each in MESSAGES.values() for path in places(each)]
    assert len(everywhere) > 20
    assert all(can_be_read(*place, MEASURED) for place in everywhere)
    assert not all(can_be_read(*place, MEASURED + 1) for place in everywhere)


def test_a_value_that_the_bound_admits_is_one_that_can_be_made_and_the_other_way_round():
    for levels in (MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1, MAX_DEPTH + 5):
        for innermost in ("x", {}, [], [1]):
            struct = Struct()
            fill_struct(struct, nested(levels, innermost), 100)
            try:
                fill_value(Struct().fields["a"], nested(levels, innermost)["a"])
            except ValueError:
                assert path_too_deep(struct, "root")
            else:
                assert path_too_deep(struct, "root") is None


def test_the_path_names_objects_and_lists():
    struct = Struct()
    fill_struct(struct, {"fine": 1, "list": [0, nested(MAX_DEPTH)]}, 100)
    assert path_too_deep(struct, "event.data") == "event.data.list[1]" + ".a" * (MAX_DEPTH - 1)
