"""What every provider of a backend behind HTTP does with what vendors refuse, whatever its protocol."""

from __future__ import annotations

import json

import pytest
from clawdbot.common.v1.message_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_TOOL,
    ROLE_USER,
    Message,
    Part,
    Reasoning,
    ToolCall,
    ToolResult,
)
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    ContentFiltered,
    ContextTooLong,
    LimitTooSmall,
    MediaRefused,
    NoEndpoint,
    QuotaExhausted,
    RateLimited,
)

from tests.contract.providers.provider_contract import BackendContract, run
from tests.support.fake_openai import DROP, Answer, whole
from tests.support.generate_requests import asks, calling, says, text_of


def result(call_id: str, text: str) -> Message:
    """A tool's result."""
    part = Part(tool_result=ToolResult(call_id=call_id, content=[Part(text=text)]))
    return Message(role=ROLE_TOOL, parts=[part])


TOO_LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
FILTERED = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
LIMIT = "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 42084."
USED_UP = "Rate limit reached for model `x` on tokens per minute (TPM): Limit 6000, Used 5900, Requested 420."

FOREIGN_SIGNATURES = (b"\xff\x00", b"another:vendor's")
BETWEEN = (
    "Hi",
    Message(
        role=ROLE_ASSISTANT,
        parts=[Part(tool_call=ToolCall(id=each, name="clock.now")) for each in ("c1", "c2")],
    ),
    result("c1", "first result"),
    "hurry up",
    result("c2", "second result"),
)

METHODS = pytest.mark.parametrize("method", ["stream", "generate"])


class VendorContract(BackendContract):
    """For providers whose fixture `backend` is a fake server with a script."""

    @staticmethod
    def refused(status: int, message: str) -> Answer:
        """An error as the vendor sends it."""
        return whole({"error": {"message": message, "type": "invalid_request_error"}}, status)

    @pytest.mark.parametrize(
        ("refusal", "error"),
        [
            ((400, TOO_LONG), ContextTooLong),
            ((413, "Prompt is too long"), ContextTooLong),
            ((400, FILTERED), ContentFiltered),
            ((404, "No endpoints found that support image input"), NoEndpoint),
            ((400, "Unsupported image url: data: URLs are not supported"), MediaRefused),
            ((429, LIMIT), LimitTooSmall),
            ((429, USED_UP), RateLimited),
            ((429, "You exceeded your current quota, please check your plan"), QuotaExhausted),
            ((401, "who are you?"), BackendAuth),
        ],
    )
    async def test_a_refusal_has_its_class(self, provider, model, backend, refusal, error):
        for method in ("stream", "generate"):
            backend.will(self.refused(*refusal))
            with pytest.raises(error) as raised:
                await run(provider, asks(), model, method)
            assert type(raised.value) is error
            assert raised.value.advice

    @METHODS
    async def test_a_request_that_may_have_been_worked_on_is_not_sent_again(
        self, provider, model, backend, method
    ):
        await run(provider, asks(), model, method)
        backend.asked.clear()
        backend.will(DROP)
        with pytest.raises(BackendFailed):
            await run(provider, asks(), model, method)
        assert len([each for each in backend.asked if each.body]) == 1
        assert text_of(await run(provider, asks(), model, method))

    async def test_a_message_between_two_results_comes_after_them(self, provider, model, backend):
        sent = await self.sent(provider, model, backend, *BETWEEN)
        assert sent.index("first result") < sent.index("second result") < sent.index("hurry up")

    @pytest.mark.parametrize("blank", ["", "  ", "\n"])
    async def test_a_blank_text_is_not_sent(self, provider, model, backend, blank):
        reply = Message(role=ROLE_ASSISTANT, parts=[Part(text=blank)])
        parts = [Part(text=" "), Part(text="Bye")]
        sent = await self.sent(provider, model, backend, "Hi", reply, Message(role=ROLE_USER, parts=parts))
        texts = [*texts_in(json.loads(sent))]
        assert {"Hi", "Bye"} <= set(texts)
        assert all(each.strip() for each in texts)

    @pytest.mark.parametrize("said", [[], [Part(text=" \n")]])
    async def test_a_tool_that_failed_and_said_nothing_is_said_to(self, provider, model, backend, said):
        result = Part(tool_result=ToolResult(call_id="c1", content=said, is_error=True))
        answer = Message(role=ROLE_TOOL, parts=[result])
        sent = await self.sent(provider, model, backend, "Hi", calling("c1"), answer)
        assert "The tool failed and said nothing." in sent
        assert json.dumps(" \n") not in sent

    async def test_a_person_who_says_nothing_is_answered(self, provider, model, backend):
        sent = await self.sent(provider, model, backend, says("Be brief.", ROLE_SYSTEM), says(" "))
        assert "(empty message)" in sent

    async def test_instructions_alone_are_answered(self, provider, model, backend):
        sent = json.loads(
            await self.sent(provider, model, backend, Message(role=ROLE_SYSTEM, parts=[Part(text="Say hi.")]))
        )
        conversation = sent.get("messages") or sent.get("contents") or sent.get("input")
        assert [each["role"] for each in conversation] in (["user"], ["developer"])

    @pytest.mark.parametrize("signature", FOREIGN_SIGNATURES)
    async def test_thoughts_of_another_vendor_are_left_out_with_a_warning(
        self, provider, model, backend, signature
    ):
        thought = Part(reasoning=Reasoning(text="a secret thought", signature=signature))
        reply = Message(role=ROLE_ASSISTANT, parts=[thought, Part(text="Hi.")])
        request = asks("Hello", reply, "Bye", strict=True)
        events = await provider.generate(request, model)
        (warning,) = events[0].started.warnings
        assert (warning.code, warning.field) == ("REASONING_LEFT_OUT", "messages[1].parts[0].reasoning")
        assert "secret" not in json.dumps(backend.last)

    async def test_a_calls_signature_of_another_vendor_is_left_out_with_a_warning(
        self, provider, model, backend
    ):
        call = ToolCall(id="call_1", name="clock.now", signature=b"a secret signature")
        made = Message(role=ROLE_ASSISTANT, parts=[Part(tool_call=call)])
        events = await provider.generate(asks("Hello", made, result("call_1", "noon"), strict=True), model)
        (warning,) = events[0].started.warnings
        field = "messages[1].parts[0].tool_call.signature"
        assert (warning.code, warning.field) == ("REASONING_LEFT_OUT", field)
        assert "secret" not in json.dumps(backend.last)

    @staticmethod
    async def sent(provider, model, backend, *messages):
        """The body of a request with these messages, as text."""
        await provider.generate(asks(*messages), model)
        return json.dumps(backend.last, ensure_ascii=False)


def texts_in(value):
    """All texts of messages in a body, whatever its format."""
    if isinstance(value, dict):
        for key, each in value.items():
            if key in {"text", "content"} and isinstance(each, str):
                yield each
            else:
                yield from texts_in(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_in(each)
