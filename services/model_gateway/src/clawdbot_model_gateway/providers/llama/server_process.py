"""Starts the process that runs the model, waits until it is loaded, and restarts it after it has died.

Why a process and not a thread: docs/decisions/0005-a-model-file-has-a-process-of-its-own.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from clawdbot_servicekit.child_input import feed
from clawdbot_servicekit.log_content import Content

from clawdbot_model_gateway.core.errors import BackendFailed, ModelError, ModelMissing
from clawdbot_model_gateway.providers.llama.machine_share import MachineShare

SERVER_MODULE: Final = "clawdbot_model_gateway.providers.llama.server_main"
LOAD_RETRY_INTERVAL: Final = 30.0
"""Seconds after a failed load before a request may start another one."""
EXIT_TIMEOUT: Final = 5.0
"""Seconds for a terminated process to exit; meanwhile the system frees its memory."""
REASON_TIMEOUT: Final = 5.0
"""Seconds for llama.cpp to write why a model did not load; a thread of its own does so."""
MAX_STDERR_LINES: Final = 20
"""Lines of the process's error output that are kept."""

_ERROR_LINE: Final = re.compile(r" E \s*(?:[\w ]+: )?(?:error loading model: )?(.+)")
"""An error in llama.cpp's output: time, level, function, message."""

CAUSES: Final[tuple[tuple[re.Pattern[str], type[ModelError], str], ...]] = (
    (
        re.compile(r"not within the file bounds|failed to read|incomplete"),
        ModelMissing,
        "the file is truncated: download it again, and configure its sha256",
    ),
    (
        re.compile(r"invalid magic"),
        ModelMissing,
        "the file is not a GGUF file: give the .gguf file of the model",
    ),
    (re.compile(r"failed to open"), ModelMissing, "check path and permissions"),
    (
        re.compile(r"unknown (model architecture|pre-tokenizer)|unsupported"),
        ModelMissing,
        "the model is newer than the library: pip install --upgrade xllamacpp",
    ),
    (
        re.compile(r"alloc|out of memory"),
        BackendFailed,
        "not enough memory: lower context_length or slots, or use a smaller quantization",
    ),
)
"""Pattern of llama.cpp's message → error and advice."""


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What the process is to run; server_main.py reads it."""

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

    def to_json_line(self) -> bytes:
        """As one line of JSON."""
        return json.dumps({name: getattr(self, name) for name in self.__slots__}).encode() + b"\n"


class LlamaServerProcess:
    """At most one process, which runs the model of the spec."""

    def __init__(
        self, spec: LaunchSpec, unload_after: float | None = None, share: MachineShare | None = None
    ) -> None:
        """A process that has not started yet.

        Args:
            spec: what it is to run.
            unload_after: seconds without a request after which it ends; None: it stays.
            share: another process of this machine may run the model instead; None: it is this one's alone.
        """
        self._share = share
        self._spec = spec
        self._unload_after = unload_after
        self._requests = 0
        self._idle_since = 0.0
        self._unloading: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        """Held while a process starts or ends."""
        self._open = False
        self._file = Path(spec.path).name
        self._process: asyncio.subprocess.Process | None = None
        self._loading: asyncio.Task[ModelError | None] | None = None
        self._stderr_reader: asyncio.Task[None] | None = None
        self._load_ended_at = 0.0
        self._stderr: deque[str] = deque(maxlen=MAX_STDERR_LINES)
        self._told = asyncio.Event()
        """Set when there is more of it."""
        self._log = structlog.get_logger(__name__)

    @property
    def pid(self) -> int | None:
        """The process id, while the process runs."""
        process, reader = self._process, self._stderr_reader
        if process is None or process.returncode is not None:
            return None
        # Its output ends when it exits, and the reader learns that sooner than asyncio learns of the exit.
        return None if reader is not None and reader.done() else process.pid

    def start(self) -> None:
        """Begins to load the model, and does not wait for it; with `unload_after`, waits for a request."""
        self._open = True
        if self._unload_after is None:
            self._load_if_needed()

    @property
    def is_unloaded(self) -> bool:
        """Whether the model waits for a request before it is loaded."""
        return self._unload_after is not None and self.pid is None

    @asynccontextmanager
    async def in_use(self) -> AsyncIterator[None]:
        """The model is loaded, and stays so inside the block. Raises as `ready`."""
        self._requests += 1
        try:
            if self._share is not None:
                await self._share.enter()
            await self.ready()
            yield
        finally:
            self._requests -= 1
            if self._share is not None and not self._requests:
                self._share.leave()
            self._idle_since = time.monotonic()

    def _load_if_needed(self) -> None:
        """Loads the model, unless it is loaded, is being loaded, or has just failed to load."""
        loading = self._loading
        if loading is not None:
            if not loading.done():
                return
            if loading.result() is None and self.pid is not None:
                return
            if loading.result() is not None and time.monotonic() - self._load_ended_at < LOAD_RETRY_INTERVAL:
                return
        self._loading = asyncio.create_task(self._load())

    async def ready(self) -> None:
        """Waits until the model is loaded; loads it if the process has died or the last failure is old.

        Raises:
            ModelError: it cannot be loaded.
        """
        if self._open:
            self._load_if_needed()
        loading = self._loading
        if loading is not None and not loading.done():
            # Not awaited directly: a cancelled caller must not cancel the load for the others.
            await asyncio.wait([loading])
        if loading is None or loading.cancelled():
            raise BackendFailed("the model process has been stopped")
        error = loading.result()
        if error is not None:
            # A new one for each caller, which adds its target to it.
            raise type(error)(error.summary, retry_after=LOAD_RETRY_INTERVAL)

    async def stop(self) -> None:
        """Ends the process and waits until it is gone. Safe without a start, and twice."""
        # First, so that no request starts another process that nobody would stop.
        self._open = False
        loading, self._loading = self._loading, None
        if loading is not None:
            loading.cancel()
            await asyncio.gather(loading, return_exceptions=True)
        async with self._changing:
            # Under the lock: to cancel it while it ends the process would leave that to nobody.
            unloading, self._unloading = self._unloading, None
            if unloading is not None:
                unloading.cancel()
            await self._terminate()
        if unloading is not None:
            await asyncio.gather(unloading, return_exceptions=True)

    async def _load(self) -> ModelError | None:
        """Why the model is not loaded; None if it is."""
        started_at = time.monotonic()
        async with self._changing:
            await self._terminate()
            try:
                if self._share is not None and not await self._share.claim_or_join():
                    return None
                error = await self._wait_until_loaded(await self._launch())
            except OSError as os_error:
                error = BackendFailed(f"could not start a process for {self._file}: {os_error.strerror}")
        self._load_ended_at = time.monotonic()
        if error is None:
            seconds = round(self._load_ended_at - started_at, 3)
            self._log.info("model_loaded", file=self._file, seconds=seconds)
            if self._unload_after is not None and (self._unloading is None or self._unloading.done()):
                self._unloading = asyncio.create_task(self._unload_when_idle(self._unload_after))
        else:
            self._log.warning("model_not_loaded", file=self._file, reason=error.summary)
            await self._terminate()
        return error

    async def _unload_when_idle(self, after: float) -> None:
        """Ends the process once no request has used it for a while."""
        self._idle_since = time.monotonic()
        kept_out = None
        while kept_out is None:
            left = self._time_until_unload(after)
            # Each request moves the end, and others may use the model that this process runs.
            await asyncio.sleep(left)
            if not left:
                kept_out = self._share.keep_out() if self._share is not None else -1
                self._idle_since = time.monotonic()
        # Forgotten first, so that a request from now on loads the model again.
        self._loading = None
        try:
            async with self._changing:
                await self._terminate()
        finally:
            if kept_out >= 0:
                os.close(kept_out)
        self._log.info("model_unloaded", file=self._file)

    def _time_until_unload(self, after: float) -> float:
        """Seconds at least; 0: now."""
        return after if self._requests else max(0.0, self._idle_since + after - time.monotonic())

    async def _launch(self) -> asyncio.subprocess.Process:
        folder = Path(self._spec.socket).parent
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        claim = self._share.claim if self._share is not None else None
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            SERVER_MODULE,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            # Ctrl-C in a terminal is for the gateway, which drains before it ends its models.
            start_new_session=True,
            pass_fds=() if claim is None else (claim,),
        )
        self._process = process
        self._stderr.clear()
        self._stderr_reader = asyncio.create_task(self._read_stderr(process))
        return process

    async def _wait_until_loaded(self, process: asyncio.subprocess.Process) -> ModelError | None:
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process was started without pipes")
        await feed(process, self._spec.to_json_line())
        line = await process.stdout.readline()
        problem: str = json.loads(line)["problem"] if line else "ended"
        if problem == "failed":
            await self._wait_for_reason()
        if problem:
            process.stdin.close()
            await process.wait()
            if self._stderr_reader is not None:
                # Its last lines may not have been read yet.
                await self._stderr_reader
        if problem == "ended":
            return self._diagnose(f"llama.cpp exited while loading {self._file} ({_exit_status(process)})")
        if problem == "failed":
            return self._diagnose(f"{self._file} was not loaded")
        return ModelMissing(f"{self._file} was not loaded: {problem}; download it again") if problem else None

    async def _wait_for_reason(self) -> None:
        """Returns once llama.cpp has written why it failed, or will not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REASON_TIMEOUT):
                while not self._reason:
                    self._told.clear()
                    await self._told.wait()

    @property
    def _reason(self) -> str:
        """The first error in llama.cpp's output."""
        return next((match[1] for line in self._stderr if (match := _ERROR_LINE.search(line))), "")

    def _diagnose(self, summary: str) -> ModelError:
        """The error that llama.cpp's output explains."""
        reason = self._reason.replace(self._spec.path, self._file)
        detail = f"{summary}: {reason}" if reason else summary
        for pattern, error_class, advice in CAUSES:
            if pattern.search(reason):
                return error_class(f"{detail} ({advice})")
        return BackendFailed(detail)

    async def _read_stderr(self, process: asyncio.subprocess.Process) -> None:
        """Reads the error output, so that the process never blocks on a full pipe."""
        if process.stderr is None:
            return
        rest = b""
        while data := await process.stderr.read(65_536):
            *complete, rest = (rest + data).split(b"\n")
            lines = [line.decode("utf-8", "replace") for line in complete]
            self._stderr.extend(lines)
            self._told.set()
            for line in lines:
                self._log.debug("llama_cpp_output", file=self._file, line=Content(line))

    async def _terminate(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.terminate()
            try:
                async with asyncio.timeout(EXIT_TIMEOUT):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            folder = Path(self._spec.socket).parent
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        reader, self._stderr_reader = self._stderr_reader, None
        if reader is not None:
            await reader
        if self._share is not None:
            self._share.release()


def _exit_status(process: asyncio.subprocess.Process) -> str:
    code = process.returncode or 0
    return f"signal {-code}" if code < 0 else f"code {code}"
