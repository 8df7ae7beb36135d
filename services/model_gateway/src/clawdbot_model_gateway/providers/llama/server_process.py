"""Starts the process that holds the model, waits until it is loaded, starts it again when it has died.

Why a process and not a thread: docs/decisions/0005-a-model-file-has-a-process-of-its-own.md.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from clawdbot_model_gateway.core.errors import BackendFailed, ModelFailure, ModelMissing

CHILD: Final = "clawdbot_model_gateway.providers.llama.server_main"
AGAIN: Final = 30.0
"""Seconds after a load that failed, before a request makes it be tried again."""
PATIENCE: Final = 5.0
"""Seconds that an ended process may take to be gone; the system frees its memory meanwhile."""
SAID: Final = 20
"""Lines of its error output that are kept."""

REASON: Final = re.compile(r" E \s*(?:[\w ]+: )?(?:error loading model: )?(.+)")
"""llama.cpp's line of an error: time, level, function, sentence."""

CAUSES: Final[tuple[tuple[re.Pattern[str], type[ModelFailure], str], ...]] = (
    (
        re.compile(r"not within the file bounds|failed to read|incomplete"),
        ModelMissing,
        "the file is cut off: download it again, and give its sha256",
    ),
    (re.compile(r"invalid magic"), ModelMissing, "the file is no GGUF: give the .gguf file of the model"),
    (re.compile(r"failed to open"), ModelMissing, "check path and permissions"),
    (
        re.compile(r"unknown (model architecture|pre-tokenizer)|unsupported"),
        ModelMissing,
        "the model is newer than the library: pip install --upgrade xllamacpp",
    ),
    (
        re.compile(r"alloc|out of memory"),
        BackendFailed,
        "too little memory: lower context_length or slots, or take a smaller quantization",
    ),
)
"""What stands in llama.cpp's sentence → what it means and what to try."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the process is to do; child.py reads it."""

    path: str
    name: str
    sha256: str
    socket: str
    connections: int
    slots: int
    context_length: int
    threads: int | None
    gpu_layers: int | None
    pooling: str | None

    def line(self) -> bytes:
        """As one line of JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}).encode() + b"\n"


class LlamaProcess:
    """At most one process, with the model of the plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._open = False
        self._file = Path(plan.path).name
        self._process: asyncio.subprocess.Process | None = None
        self._loading: asyncio.Task[ModelFailure | None] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._loaded_at = 0.0
        self._said: deque[str] = deque(maxlen=SAID)
        self._log = structlog.get_logger(__name__)

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        process, listening = self._process, self._listening
        if process is None or process.returncode is not None:
            return None
        # Its output ends with it, and is known to have ended sooner than its exit.
        return None if listening is not None and listening.done() else process.pid

    def start(self) -> None:
        """Begins to load the model, and does not wait for it."""
        self._open = True
        self._begin()

    def _begin(self) -> None:
        """Loads the model, unless it is loaded, being loaded, or could not be loaded just now."""
        loading = self._loading
        if loading is not None:
            if not loading.done():
                return
            if loading.result() is None and self.pid is not None:
                return
            if loading.result() is not None and time.monotonic() - self._loaded_at < AGAIN:
                return
        self._loading = asyncio.create_task(self._load())

    async def ready(self) -> None:
        """Waits until the model is loaded; loads it where the process has died, or the last try is long ago.

        Raises:
            ModelFailure: it cannot be loaded.
        """
        if self._open:
            self._begin()
        loading = self._loading
        if loading is not None and not loading.done():
            # Not awaited itself: one caller who leaves does not take the model from the others.
            await asyncio.wait([loading])
        if loading is None or loading.cancelled():
            raise BackendFailed("it has been stopped")
        failure = loading.result()
        if failure is not None:
            # A new one for each caller: it is told where it happened.
            raise type(failure)(failure.detail, retry_after=AGAIN)

    async def stop(self) -> None:
        """Ends the process and waits until it is gone. Safe without a start, and twice."""
        # First: nobody may start another one that nobody would stop.
        self._open = False
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
        await self._end()

    async def _load(self) -> ModelFailure | None:
        """Why the model is not loaded; None when it is."""
        begun = time.monotonic()
        await self._end()
        try:
            failure = await self._answer(await self._start())
        except OSError as error:
            failure = BackendFailed(f"no process for {self._file}: {error.strerror}")
        self._loaded_at = time.monotonic()
        if failure is None:
            self._log.info("model_loaded", file=self._file, seconds=round(self._loaded_at - begun, 3))
        else:
            self._log.warning("model_not_loaded", file=self._file, reason=failure.detail)
            await self._end()
        return failure

    async def _start(self) -> asyncio.subprocess.Process:
        folder = Path(self._plan.socket).parent
        folder.mkdir(mode=0o700)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            CHILD,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            # Ctrl-C in a terminal is for the gateway, which drains before it ends its models.
            start_new_session=True,
        )
        self._process = process
        self._said.clear()
        self._listening = asyncio.create_task(self._listen(process))
        return process

    async def _answer(self, process: asyncio.subprocess.Process) -> ModelFailure | None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("it was started with pipes")
        try:
            process.stdin.write(self._plan.line())
            await process.stdin.drain()
        except ConnectionError:
            pass  # It has died; its output says so below.
        line = await process.stdout.readline()
        problem: str = json.loads(line)["problem"] if line else "ended"
        if problem:
            await process.wait()
            if self._listening is not None:
                # What it said last may not have been read yet.
                await self._listening
        if problem == "ended":
            return self._failure(f"llama.cpp ended while it loaded {self._file} ({_ending(process)})")
        if problem == "failed":
            return self._failure(f"{self._file} was not loaded")
        return ModelMissing(f"{self._file} was not loaded: {problem}; download it again") if problem else None

    def _failure(self, what: str) -> ModelFailure:
        reason = next((found[1] for each in self._said if (found := REASON.search(each))), "")
        reason = reason.replace(self._plan.path, self._file)
        said = f"{what}: {reason}" if reason else what
        for pattern, kind, advice in CAUSES:
            if pattern.search(reason):
                return kind(f"{said} ({advice})")
        return BackendFailed(said)

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        """Takes what it says, so that it never waits for a reader."""
        if process.stderr is None:
            return
        rest = b""
        while piece := await process.stderr.read(65_536):
            *whole, rest = (rest + piece).split(b"\n")
            lines = [each.decode("utf-8", "replace") for each in whole]
            self._said.extend(lines)
            for line in lines:
                self._log.debug("llama_cpp_said", file=self._file, line=line)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.terminate()
            try:
                async with asyncio.timeout(PATIENCE):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        listening, self._listening = self._listening, None
        if listening is not None:
            await listening
        folder = Path(self._plan.socket).parent
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _ending(process: asyncio.subprocess.Process) -> str:
    code = process.returncode or 0
    return f"signal {-code}" if code < 0 else f"code {code}"
