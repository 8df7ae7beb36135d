"""The baseline of the gateway: grpc.aio, aiohttp and the JSON in between, and nothing else.

It serves Generate and StreamGenerate, so that one load generator drives both. As a script with the
backend's URL and a provider's name it prints its port and serves until it is killed.
"""

from __future__ import annotations

import asyncio
import sys

import aiohttp
import grpc.aio
import orjson
import uvloop
from clawdbot.common.v1 import finish_reason_pb2, message_pb2, usage_pb2
from clawdbot.model_gateway.v1 import generation_pb2, model_gateway_service_pb2_grpc

from tests.bench.canned_streams import CANNED_STREAMS, CannedStream

ROLES = {
    message_pb2.ROLE_SYSTEM: "system",
    message_pb2.ROLE_USER: "user",
    message_pb2.ROLE_ASSISTANT: "assistant",
}


class Relay(model_gateway_service_pb2_grpc.ModelGatewayServiceServicer):
    """Generate and StreamGenerate, written by hand."""

    def __init__(self, session: aiohttp.ClientSession, url: str, stream: CannedStream) -> None:
        self._session = session
        self._stream = stream
        self._url = f"{url}{stream.base}{stream.path}"

    async def Generate(self, request, context):
        body = {
            "model": request.model,
            "messages": [
                {"role": ROLES[message.role], "content": message.parts[0].text}
                for message in request.messages
            ],
        }
        headers = {"content-type": "application/json"}
        async with self._session.post(self._url, data=orjson.dumps(body), headers=headers) as response:
            reply = orjson.loads(await response.read())
        choice = reply["choices"][0]
        usage = reply["usage"]
        return generation_pb2.GenerateResponse(
            message=message_pb2.Message(
                role=message_pb2.ROLE_ASSISTANT, parts=[message_pb2.Part(text=choice["message"]["content"])]
            ),
            finish_reason=finish_reason_pb2.FINISH_REASON_STOP,
            raw_finish_reason=choice["finish_reason"],
            usage=usage_pb2.Usage(
                input_tokens=usage["prompt_tokens"], output_tokens=usage["completion_tokens"]
            ),
            model=reply["model"],
        )

    async def StreamGenerate(self, request, context):
        body = orjson.dumps({"model": "mock", "messages": [], "stream": True})
        stream, rest = self._stream, b""
        boundary = b"\n" if stream.lines else b"\n\n"
        async with self._session.post(self._url, data=body) as response:
            async for chunk in response.content.iter_any():
                *events, rest = (rest + chunk).split(boundary)
                for event in events:
                    data = event if stream.lines else event[event.index(b"data: ") + 6 :]
                    if data == b"[DONE]":
                        continue
                    text = stream.text(orjson.loads(data))
                    if text:
                        yield generation_pb2.StreamGenerateResponse(
                            text_delta=generation_pb2.TextDelta(text=text)
                        )


async def main(url: str, provider: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        server = grpc.aio.server()
        model_gateway_service_pb2_grpc.add_ModelGatewayServiceServicer_to_server(
            Relay(session, url, CANNED_STREAMS[provider]), server
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        print(port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
