"""Tool calls as vendors send them: shared ids and indexes, cut names, half characters, large numbers."""

from __future__ import annotations

import json

import pytest

from tests.support.fake_openai import Answer, chunk, sse
from tests.support.generate_requests import asks, finish_of
from tests.support.wires import RPCS, TOOLS, WIRES, answer, calls, parts, replies, served

BIG = 2512292042121000001
BIGGER = 2**70 + 1


@pytest.fixture(params=WIRES)
def wire(request):
    return WIRES[request.param]


@pytest.mark.parametrize("rpc", RPCS)
async def test_half_a_surrogate_pair_in_arguments_is_joined_or_replaced(tmp_path, wire, rpc):
    arguments = {"joined": "\ud83d\ude00", "alone": "\ud83d", "low": "\ude00."}
    pieces = ['{"joined": "\ud83d', '\ude00", "alone": "\\ud8', '3d", "low": "\ude00."}']
    async with served(tmp_path, wire) as (backend, client):
        records = wire.calls(("c1", "tables_reserve", pieces))
        backend.will(answer(wire, rpc, records, wire.whole("", ("c1", "tables_reserve", arguments))))
        reply = await replies(client, rpc)
    assert calls(reply) == [("tables.reserve", {"joined": "😀", "alone": "�", "low": "�."})]
    assert dict(parts(reply, "tool_call")[0].arguments.items())["joined"] == "😀"


# Parallel calls

ONE, TWO = ("tables.reserve", {"people": 4}), ("clock.now", {"zone": "UTC"})


@pytest.mark.parametrize("rpc", RPCS)
async def test_two_calls_with_one_id_are_two_calls_with_two_ids(tmp_path, wire, rpc):
    given = [("same", "tables_reserve", {"people": 4}), ("same", "clock_now", {"zone": "UTC"})]
    records = wire.calls(*((each, name, [json.dumps(args)]) for each, name, args in given))
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, records, wire.whole("", *given)))
        reply = await replies(client, rpc)
    assert calls(reply) == [ONE, TWO]
    assert len({each.id for each in parts(reply, "tool_call")}) == 2


def fragment(index, call_id=None, name=None, arguments=None):
    function = {key: each for key, each in (("name", name), ("arguments", arguments)) if each is not None}
    return {"function": function, **({"id": call_id} if call_id else {}), "index": index}


@pytest.mark.parametrize(
    "fragments",
    [
        # One id under two indexes, the arguments by index.
        [
            fragment(0, "same", "tables_reserve"),
            fragment(1, "same", "clock_now"),
            fragment(0, arguments='{"people": 4}'),
            fragment(1, arguments='{"zone": "UTC"}'),
        ],
        # A name in two fragments, also one that is a tool's name already.
        [
            fragment(0, "c1", "tables_"),
            fragment(0, None, "reserve", '{"people":'),
            fragment(0, arguments=" 4}"),
            fragment(1, "c2", "clock"),
            fragment(1, "c2", "_now"),
            fragment(1, arguments='{"zone": "UTC"}'),
        ],
        # The name again with every fragment.
        [
            fragment(0, "c1", "tables_reserve", '{"people"'),
            fragment(0, "c1", "tables_reserve", ": 4}"),
            fragment(1, "c2", "clock_now", '{"zone": '),
            fragment(1, "c2", "clock_now", '"UTC"}'),
        ],
        # All calls numbered 0, without ids.
        [
            fragment(0, None, "tables_reserve", '{"people": 4}'),
            fragment(0, None, "clock_now", '{"zone": "UTC"}'),
        ],
    ],
)
async def test_fragments_of_two_calls_are_told_apart(tmp_path, fragments):
    chunks = [chunk({"tool_calls": [each]}) for each in fragments]
    async with served(tmp_path, WIRES["chat"]) as (backend, client):
        backend.will(Answer([sse(*chunks, chunk({}, "tool_calls"))]))
        reply = await replies(client, "stream")
    assert calls(reply) == [ONE, TWO]


async def test_a_name_that_another_name_begins_with_is_kept(tmp_path):
    for name, rest in (("tables_reserve", ""), ("tables_reserve", "_all")):
        pieces = [
            fragment(0, "c1", name),
            *([fragment(0, None, rest)] if rest else []),
            fragment(0, arguments="{}"),
        ]
        async with served(tmp_path, WIRES["chat"]) as (backend, client):
            backend.will(
                Answer([sse(*(chunk({"tool_calls": [each]}) for each in pieces), chunk({}, "tool_calls"))])
            )
            assert calls(await replies(client, "stream")) == [(f"tables.reserve{rest}", {})]


@pytest.mark.parametrize(
    "fragments",
    [
        # Arguments under indexes that no call has.
        [
            fragment(0, "c1", "tables_reserve"),
            fragment(1, "c2", "clock_now"),
            fragment(2, arguments='{"people": 4}'),
            fragment(3, arguments='{"zone": "UTC"}'),
        ],
        # Arguments that seem to be the only call's, before the name of another comes under their index.
        [
            fragment(0, "c1", "tables_reserve"),
            fragment(1, arguments='{"zone": "UTC"}'),
            fragment(1, "c2", "clock_now"),
        ],
        # A name that stays cut.
        [fragment(0, "c1", "tables_res"), fragment(0, arguments='{"people": 4}')],
    ],
)
async def test_calls_that_cannot_be_told_apart_are_a_model_error(tmp_path, fragments):
    chunks = [chunk({"tool_calls": [each]}) for each in fragments]
    async with served(tmp_path, WIRES["chat"]) as (backend, client):
        backend.will(Answer([sse(*chunks, chunk({}, "tool_calls"))]))
        events = await client.run(asks(tools=TOOLS), "stream")
    assert finish_of(events) == "model_error"
    assert not any(each.HasField("tool_call_done") for each in events)


# Whole numbers


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("number", [BIG, -BIG, BIGGER])
async def test_whole_numbers_in_arguments_are_exact_and_go_back_exact(tmp_path, wire, rpc, number):
    arguments = {"order": number, "inside": [{"order": number}], "half": 0.5}
    records = wire.calls(("c1", "tables_reserve", [json.dumps(arguments)]))
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, records, wire.whole("", ("c1", "tables_reserve", arguments))))
        reply = await replies(client, rpc)
        call = parts(reply, "tool_call")[0]
        assert json.loads(call.arguments_json) == arguments
        assert dict(call.arguments.items())["order"] == float(number)
        again = asks("Book it.", reply.message, tools=TOOLS)
        again.messages.add(role=4).parts.add().tool_result.call_id = call.id
        backend.will(answer(wire, "stream", wire.text("Done."), None))
        await client.run(again, "stream")
        sent = json.dumps(next(each.body for each in reversed(backend.asked) if each.body is not None))
    assert str(number) in sent


@pytest.mark.parametrize("invalid", ["{", "[]", '{"x": NaN}', "4", "[" * 100_000])
async def test_arguments_json_that_is_no_object_is_refused(tmp_path, invalid):
    request = asks("Book it.")
    call = request.messages.add(role=3).parts.add().tool_call
    call.id, call.name, call.arguments_json = "c1", "tables.reserve", invalid
    async with served(tmp_path, WIRES["chat"]) as (_, client):
        error = await client.fault(request)
    assert "messages[1].parts[0].tool_call.arguments_json" in str(error)


@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("number", [BIG, -BIGGER])
async def test_whole_numbers_in_a_results_data_go_to_the_vendor_exact(tmp_path, wire, rpc, number):
    request = asks("Find it.", tools=TOOLS)
    call = request.messages.add(role=3).parts.add().tool_call
    call.id, call.name = "c1", "clock.now"
    result = request.messages.add(role=4).parts.add().tool_result
    result.call_id, result.structured_json = "c1", json.dumps({"order": number})
    result.structured.update({"order": float(number)})
    async with served(tmp_path, wire) as (backend, client):
        backend.will(answer(wire, rpc, wire.text("Done."), wire.whole("Done.")))
        await client.run(request, rpc)
        sent = json.dumps(next(each.body for each in reversed(backend.asked) if each.body is not None))
    assert str(number) in sent


async def test_structured_json_that_is_no_object_is_refused(tmp_path):
    request = asks("Book it.")
    result = request.messages.add(role=4).parts.add().tool_result
    result.call_id, result.structured_json = "c1", "[]"
    async with served(tmp_path, WIRES["chat"]) as (_, client):
        error = await client.fault(request)
    assert "messages[1].parts[0].tool_result.structured_json" in str(error)
