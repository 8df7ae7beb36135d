"""What a channel and a server are to each other, as grpc.aio over TCP shows it.

Each test class inherits this and brings a `connect` fixture: a factory of channels to a servicer, given its
generic handlers and the largest message in bytes.
"""

from __future__ import annotations

import pytest

from tests.contract.channel.ends_contract import Cancellation, Closing, Deadlines
from tests.contract.channel.far import Far, Stub
from tests.contract.channel.single_contract import Limits, Metadata, Statuses, Unary
from tests.contract.channel.stream_contract import BackPressure, ReplyStreams, RequestStreams, Talks

LARGEST = 100_000
"""Bytes."""


class ChannelContract(
    Unary,
    Metadata,
    Statuses,
    Limits,
    ReplyStreams,
    RequestStreams,
    Talks,
    BackPressure,
    Deadlines,
    Cancellation,
    Closing,
):
    """All of it."""

    @pytest.fixture
    async def far(self):
        return Far()

    @pytest.fixture
    async def channel(self, connect, far):
        async with connect((far.handler(),), LARGEST) as channel:
            yield channel

    @pytest.fixture
    async def stub(self, channel):
        return Stub(channel)
