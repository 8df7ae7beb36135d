"""`python -m tests.support.forking_process`: starts programs while gRPC is busy, and says which crashed."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter

from clawdbot_servicekit.process import run

PROGRAMS = 400


async def main() -> None:
    import grpc  # only now: clawdbot_servicekit.process comes before it
    import grpc.aio

    async def echo(request: bytes, _: object) -> bytes:
        return request

    server = grpc.aio.server()
    methods = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("trial.Echo", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    async def call() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            while True:
                await channel.unary_unary("/trial.Echo/Echo")(b"x")

    calling = [asyncio.create_task(call()) for _ in range(4)]
    codes: Counter[int] = Counter()
    for _ in range(PROGRAMS):
        child = await asyncio.create_subprocess_exec("true", stdin=asyncio.subprocess.PIPE)
        codes[await child.wait()] += 1
    for each in calling:
        each.cancel()
    await asyncio.gather(*calling, return_exceptions=True)
    await server.stop(None)
    sys.stdout.write(repr(dict(codes)))


if __name__ == "__main__":
    run(main)
