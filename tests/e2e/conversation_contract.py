"""What a caller of a running suite can do, in one process or in three. Each topology inherits it."""

from __future__ import annotations

import grpc.aio
import pytest
from clawdbot.common.v1 import message_pb2
from clawdbot.dialogue.v1 import dialogue_service_pb2 as pb
from clawdbot.dialogue.v1.dialogue_service_pb2_grpc import DialogueServiceStub
from clawdbot.dialogue.v1.session_pb2 import SESSION_STATUS_ENDED, SESSION_STATUS_HANDED_OFF
from clawdbot.dialogue.v1.turn_pb2 import TURN_STATUS_DONE
from clawdbot.model_gateway.v1 import generation_pb2, model_admin_service_pb2
from clawdbot.model_gateway.v1.model_admin_service_pb2_grpc import ModelAdminServiceStub
from clawdbot.model_gateway.v1.model_gateway_service_pb2_grpc import ModelGatewayServiceStub
from clawdbot.plugins.v1 import plugin_service_pb2, tool_service_pb2
from clawdbot.plugins.v1.plugin_service_pb2_grpc import PluginServiceStub
from clawdbot.plugins.v1.tool_service_pb2_grpc import ToolServiceStub
from clawdbot_servicekit.error_table import remote_error

from tests.support.commands import clawdbot
from tests.support.dialogue_client import kinds, said, talk
from tests.support.foreign import Grpcurl, node_conversation

BOOKING = "a table for 4 tomorrow at 7pm"
DIALOGUE = "clawdbot.dialogue.v1.DialogueService"


def question(text: str) -> generation_pb2.GenerateRequest:
    """A request to the default model."""
    message = message_pb2.Message(role=message_pb2.ROLE_USER, parts=[message_pb2.Part(text=text)])
    return generation_pb2.GenerateRequest(messages=[message])


class Conversations:
    """Inherited with a fixture `topology`: the running services."""

    # Conversations

    async def test_a_table_is_booked(self, topology):
        async with talk(topology.dialogue, "book_table") as booking:
            assert booking.opening == "For how many people?"
            asked = await booking.say(BOOKING)
            assert said(asked).startswith("Shall I book a table for 4 on ")
            assert booking.session.state == "confirm"
            done = await booking.say("yes")
        assert done.status == TURN_STATUS_DONE
        assert said(done).startswith("Booked. Reference ")
        assert [record.call.name for record in done.tool_calls] == ["tables.reserve"]
        assert booking.session.status == SESSION_STATUS_ENDED

    async def test_a_turn_is_streamed_as_events_in_order(self, topology):
        async with talk(topology.dialogue, "book_table") as booking:
            await booking.say(BOOKING)
            events = await booking.stream("yes")
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        order = kinds(events)
        assert order[0] == "turn_started"
        assert order[-1] == "turn_finished"
        assert (
            order.index("tool_call_started") < order.index("tool_call_finished") < order.index("text_delta")
        )
        text = "".join(event.text_delta.text for event in events)
        assert text == said(events[-1].turn_finished.turn)

    async def test_a_retried_turn_is_the_same_turn(self, topology):
        async with talk(topology.dialogue, "book_table") as booking:
            await booking.say(BOOKING)
            first = await booking.stream("yes", "only-once")
            again = await booking.stream("yes", "only-once")
            turn = await booking.say("yes", "only-once")
        assert first[-1].turn_finished.turn == again[-1].turn_finished.turn == turn

    async def test_a_digression_is_answered_and_the_booking_goes_on(self, topology):
        async with talk(topology.dialogue, "book_table") as booking:
            await booking.say("for 4 people")
            aside = await booking.say("when do you open?")
            assert "11:00 to 22:00" in said(aside)
            assert said(aside).endswith("For which day?")
            assert booking.session.state == "details"

    async def test_a_model_replies_in_the_chat(self, topology):
        """The echo model repeats the message."""
        async with talk(topology.dialogue, "chat") as chat:
            events = await chat.stream("hello there")
        assert "hello there" in said(events[-1].turn_finished.turn)
        assert events[-1].turn_finished.turn.usage.output_tokens > 0

    async def test_a_person_takes_over(self, topology):
        async with talk(topology.dialogue, "support") as support:
            await support.say("I want to talk to a human")
            assert support.session.status == SESSION_STATUS_HANDED_OFF
            assert support.session.handoff_queue == "support"

    # Models and tools

    async def test_a_reply_is_returned_or_streamed(self, topology):
        async with grpc.aio.insecure_channel(topology.model_gateway) as channel:
            gateway = ModelGatewayServiceStub(channel)
            whole = await gateway.Generate(question("one two three"))
            request = generation_pb2.StreamGenerateRequest(request=question("one two three"))
            events = [event async for event in gateway.StreamGenerate(request)]
        text = "".join(part.text for part in whole.message.parts)
        assert "one two three" in text
        assert "".join(event.text_delta.text for event in events) == text
        assert events[0].WhichOneof("event") == "started"
        assert events[-1].finished.finish_reason == whole.finish_reason

    async def test_an_alias_can_be_switched_to_another_model(self, topology):
        async with grpc.aio.insecure_channel(topology.model_gateway) as channel:
            admin = ModelAdminServiceStub(channel)
            models = (await admin.ListModels(model_admin_service_pb2.ListModelsRequest())).models
            before = next(model for model in models if model.name == "chat")
            target = before.targets[0].target
            request = model_admin_service_pb2.SwitchModelRequest(
                alias="chat", targets=[model_admin_service_pb2.Target(target=target)]
            )
            switched = await admin.SwitchModel(request)
        assert [each.target for each in switched.previous_targets] == [target]
        assert switched.elapsed.ToNanoseconds() > 0

    async def test_a_tool_is_called(self, topology):
        request = tool_service_pb2.InvokeToolRequest(tool="calculator.evaluate")
        request.arguments.update({"expression": "6 * 7"})
        async with grpc.aio.insecure_channel(topology.plugins) as channel:
            events = [event async for event in ToolServiceStub(channel).InvokeTool(request)]
        assert "42" in str(events[-1].result)

    # Foreign clients

    async def test_grpcurl_lists_describes_and_calls(self, topology):
        """As the README shows it."""
        grpcurl = Grpcurl(topology.dialogue)
        assert DIALOGUE in await grpcurl.lines("list")
        assert any("rpc SendTurn" in line for line in await grpcurl.lines("describe", DIALOGUE))
        described = await grpcurl.lines("describe", f"{DIALOGUE}.SendTurn")
        assert described[0] == f"{DIALOGUE}.SendTurn is a method:"
        created = await grpcurl.call(f"{DIALOGUE}/CreateSession", {"flow": "book_table"})
        request = {"session_id": created["session"]["id"], "text": BOOKING}
        answer = await grpcurl.call(f"{DIALOGUE}/SendTurn", request)
        assert answer["session"]["state"] == "confirm"
        assert answer["session"]["slots"]["party_size"] == 4
        assert answer["turn"]["sessionId"] == created["session"]["id"]

    async def test_grpcurl_shows_why_a_call_failed(self, topology):
        code, _, errors = await Grpcurl(topology.dialogue).attempt(
            f"{DIALOGUE}/CreateSession", {"flow": "book_tabel"}
        )
        assert code != 0
        assert "NotFound" in errors
        assert "FLOW_NOT_FOUND" in errors
        assert "book_table" in errors

    async def test_node_streams_a_conversation(self, topology):
        events = await node_conversation(topology.dialogue, "book_table", BOOKING, "yes")
        last = events[-1]["turnFinished"]
        assert last["session"]["status"] == "SESSION_STATUS_ENDED"
        assert last["turn"]["replies"][0]["parts"][0]["text"].startswith("Booked. Reference ")

    async def test_the_chat_command_books_a_table(self, topology, tmp_path):
        arguments = ("chat", "--flow", "book_table", "--addr", topology.dialogue)
        ended = await clawdbot(*arguments, state=tmp_path, lines=f"{BOOKING}\nyes\n")
        assert ended.code == 0, ended.err
        assert "Booked. Reference" in ended.out

    # Errors

    @pytest.mark.parametrize(
        ("method", "request_", "code", "reason"),
        [
            ("CreateSession", pb.CreateSessionRequest(flow="nonesuch"), "NOT_FOUND", "FLOW_NOT_FOUND"),
            ("CreateSession", pb.CreateSessionRequest(), "INVALID_ARGUMENT", "INVALID_REQUEST"),
            (
                "SendTurn",
                pb.SendTurnRequest(session_id="nobody", text="hi"),
                "NOT_FOUND",
                "SESSION_NOT_FOUND",
            ),
            ("SendTurn", pb.SendTurnRequest(text="hi"), "INVALID_ARGUMENT", "INVALID_REQUEST"),
            ("GetSession", pb.GetSessionRequest(session_id="nobody"), "NOT_FOUND", "SESSION_NOT_FOUND"),
        ],
    )
    async def test_an_error_has_a_status_a_reason_and_a_sentence(
        self, topology, method, request_, code, reason
    ):
        async with grpc.aio.insecure_channel(topology.dialogue) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await getattr(DialogueServiceStub(channel), method)(request_)
        error = remote_error(caught.value)
        assert (error.code, error.reason, error.domain) == (code, reason, "clawdbot.dev")
        assert error.message.endswith((".", "?"))

    @pytest.mark.parametrize(
        ("text", "code"), [("", "INVALID_ARGUMENT"), ("  \n", "INVALID_ARGUMENT"), ("x" * 5_000_000, None)]
    )
    async def test_an_empty_or_oversize_text_is_refused_and_the_session_goes_on(self, topology, text, code):
        """5 MB exceed gRPC's limit for a message: the transport refuses them."""
        async with talk(topology.dialogue, "book_table") as booking:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await booking.say(text)
            assert caught.value.code().name == (code or "RESOURCE_EXHAUSTED")
            await booking.say(BOOKING)
            assert booking.session.state == "confirm"

    async def test_a_text_over_the_limit_is_refused_by_its_field(self, topology):
        async with talk(topology.dialogue, "book_table") as booking:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await booking.say("x" * 1_000_000)
        assert remote_error(caught.value).violations[0].field == "text"

    async def test_text_that_is_not_utf8_is_refused(self, topology):
        """No generated client can send it, so it is encoded by hand: field 3, two bytes."""
        async with talk(topology.dialogue, "book_table") as booking:
            session_id = booking.session.id.encode()
            request = b"\x0a" + bytes([len(session_id)]) + session_id + b"\x1a\x02\xff\xfe"
            async with grpc.aio.insecure_channel(topology.dialogue) as channel:
                call = channel.unary_unary(f"/{DIALOGUE}/SendTurn")
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call(request)
            assert remote_error(caught.value).reason == "MALFORMED_MESSAGE"
            assert said(await booking.say(BOOKING)).startswith("Shall I book")

    async def test_the_same_request_id_with_another_text_is_refused(self, topology):
        async with talk(topology.dialogue, "book_table") as booking:
            await booking.say(BOOKING, "one")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await booking.say("something else", "one")
        assert remote_error(caught.value).reason == "REQUEST_ID_REUSED"

    async def test_an_unknown_model_is_not_found(self, topology):
        request = question("hi")
        request.model = "nonesuch"
        async with grpc.aio.insecure_channel(topology.model_gateway) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ModelGatewayServiceStub(channel).Generate(request)
        assert (caught.value.code().name, remote_error(caught.value).reason) == (
            "NOT_FOUND",
            "MODEL_NOT_FOUND",
        )

    async def test_an_unknown_tool_and_an_unknown_plugin_are_not_found(self, topology):
        async with grpc.aio.insecure_channel(topology.plugins) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as tool:
                await anext(
                    aiter(
                        ToolServiceStub(channel).InvokeTool(
                            tool_service_pb2.InvokeToolRequest(tool="calculator.nonesuch")
                        )
                    )
                )
            with pytest.raises(grpc.aio.AioRpcError) as plugin:
                await PluginServiceStub(channel).GetPlugin(
                    plugin_service_pb2.GetPluginRequest(name="nonesuch")
                )
        assert remote_error(tool.value).reason == "TOOL_NOT_FOUND"
        assert remote_error(plugin.value).reason == "PLUGIN_NOT_FOUND"

    async def test_an_rpc_of_a_later_version_is_unimplemented(self, topology):
        async with grpc.aio.insecure_channel(topology.model_gateway) as channel:
            request = model_admin_service_pb2.VerifyModelRequest()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ModelAdminServiceStub(channel).VerifyModel(request)
        assert caught.value.code().name == "UNIMPLEMENTED"
        assert "later version" in (caught.value.details() or "")
