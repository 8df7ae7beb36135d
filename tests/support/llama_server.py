"""llama.cpp's own HTTP server in a separate process: a model server that this project did not write.

Not in the test's process: its constructor holds the interpreter's lock while it loads, and a failed assertion
in llama.cpp ends the process.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

SLOTS = 4
CONTEXT = 8192
"""Tokens of each slot."""


@asynccontextmanager
async def llama_server(model: Path, name: str = "tiny") -> AsyncIterator[str]:
    """Serves the file under the name and yields the root of its URLs. The model chats and embeds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        str(model),
        name,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            address = (await process.stdout.readline()).decode().strip()
        assert address.startswith("http://"), f"the server ended: {address}"
        yield address
    finally:
        process.kill()
        await process.wait()
        process._transport.close()


def main(model: str, name: str) -> None:
    """Serves on any free port, prints its address, and ends when its input does."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.model_alias = {name}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_parallel = SLOTS
    params.n_ctx = CONTEXT * SLOTS
    params.n_threads_http = 64
    # Its threads spin while they wait for each other, which on a busy machine takes most of the time.
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.kv_unified = False
    params.endpoint_slots = True
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.verbosity = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
