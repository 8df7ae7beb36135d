"""The body of a POST, which knows whether any of it was sent."""

from __future__ import annotations

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override


class RequestBody(aiohttp.BytesPayload):
    """Bytes that are written at once, together with the headers."""

    sent = False
    """Whether the backend may have received anything."""

    @override
    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        # aiohttp checks the connection before it writes, and fails with this error where it is closed.
        self.sent = True
        try:
            await super().write_with_length(writer, content_length)
        except aiohttp.ClientConnectionResetError:
            self.sent = False
            raise
