"""The servicer context of an in-process call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn

import grpc
import grpc.aio
from typing_extensions import override

from clawdbot_servicekit.caller import Caller
from clawdbot_servicekit.inprocess.metadata import Metadata, to_metadata
from clawdbot_servicekit.inprocess.rpc import Rpc, Status, unchanged
from clawdbot_servicekit.pipeline.types import TrustedContext

PEER: Final = "inprocess"
"""The result of `peer`."""
CODE_BY_NUMBER: Final = {each.value[0]: each for each in grpc.StatusCode}


class InProcessContext(TrustedContext, grpc.aio.ServicerContext[Any, Any]):
    """The context of one call, with the interface of grpc.aio."""

    def __init__(
        self,
        rpc: Rpc,
        caller: Caller,
        deserialize: Callable[[bytes], Any] | None,
        serialize: Callable[[Any], bytes] | None,
    ) -> None:
        self.caller = caller
        self.decode = deserialize or unchanged
        self.encode = serialize or unchanged
        self._rpc = rpc
        self._code: Any = None
        self._details = ""
        self._trailing: Metadata = ()
        self._aborted: grpc.aio.AbortError | None = None
        self._callbacks: list[Callable[[Any], object]] = []

    @override
    async def read(self) -> Any:
        """The next request; grpc.aio.EOF after the last one."""
        self.check()
        message = await self._rpc.requests.get()
        if message is None:
            self.check()
            return grpc.aio.EOF
        return self.decode(message)

    @override
    async def write(self, message: Any) -> None:
        """Sends a response; waits while the caller does not keep up."""
        self.check()
        await self._rpc.send_response(self.encode(message))

    @override
    async def send_initial_metadata(self, initial_metadata: Any) -> None:
        """Sends them now; without this call, empty ones are sent with the first response."""
        self.check()
        if self._rpc.initial is not None and self._rpc.status is None:
            raise grpc.aio.UsageError("Send initial metadata failed: already sent")
        self._rpc.send_initial_metadata(to_metadata(initial_metadata))

    @override
    async def abort(self, code: grpc.StatusCode, details: str = "", trailing_metadata: Any = ()) -> NoReturn:
        if self._aborted is not None:
            raise grpc.aio.UsageError("Abort already called!")
        self._aborted = grpc.aio.AbortError("Locally aborted.")
        self._code = code
        self._details = details or self._details
        if trailing_metadata:
            self._trailing = to_metadata(trailing_metadata)
        self._rpc.finish(self.status())
        raise self._aborted

    @override
    async def abort_with_status(self, status: grpc.Status) -> NoReturn:
        await self.abort(status.code, status.details, status.trailing_metadata)

    @override
    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        self._trailing = to_metadata(trailing_metadata)

    @override
    def trailing_metadata(self) -> Any:
        return self._trailing

    @override
    def invocation_metadata(self) -> Any:
        return self._rpc.metadata

    @override
    def set_code(self, code: grpc.StatusCode) -> None:
        self._code = code

    @override
    def code(self) -> Any:
        """The code that was set; None if none was."""
        return self._code

    @override
    def set_details(self, details: str) -> None:
        self._details = details

    @override
    def details(self) -> str:
        return self._details

    @override
    def set_compression(self, compression: grpc.Compression) -> None:
        """Does nothing: there is no wire."""

    @override
    def disable_next_message_compression(self) -> None:
        """Does nothing: there is no wire."""

    @override
    def peer(self) -> str:
        """Always PEER."""
        return PEER

    @override
    def peer_identities(self) -> Iterable[bytes] | None:
        """None: there are no certificates in process."""
        return None

    @override
    def peer_identity_key(self) -> str | None:
        """None: there are no certificates in process."""
        return None

    @override
    def auth_context(self) -> Mapping[str, Iterable[bytes]]:
        """Empty: there are no certificates in process."""
        return {}

    @override
    def time_remaining(self) -> Any:
        """Seconds to the caller's deadline; None if it set none."""
        return self._rpc.remaining()

    @override
    def add_done_callback(self, callback: Any) -> None:
        """Calls something with this context when the servicer has ended."""
        self._callbacks.append(callback)

    @override
    def cancelled(self) -> bool:
        """Whether the servicer has set CANCELLED; a caller that disconnects cancels the servicer's task."""
        return self._code is grpc.StatusCode.CANCELLED

    @override
    def done(self) -> bool:
        """Whether the status was sent."""
        return self._rpc.server_status is not None

    # For run_handler

    def check(self) -> None:
        """Raises if the call has ended, as a servicer may have caught AbortError."""
        if self._aborted is not None:
            raise self._aborted
        if self._rpc.server_status is not None:
            raise grpc.aio.UsageError("RPC already finished.")

    def status(self, default: grpc.StatusCode = grpc.StatusCode.OK) -> Status:
        """The status that the servicer has set; `default` if it has set no code."""
        code = default if self._code is None else CODE_BY_NUMBER.get(self._code, self._code)
        return Status(code, self._details, self._trailing)

    def run_done_callbacks(self) -> None:
        """Calls what add_done_callback has registered."""
        for each in self._callbacks:
            each(self)
