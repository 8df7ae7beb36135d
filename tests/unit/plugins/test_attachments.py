"""Images, audio and documents that a tool attaches to its result, as callers get them."""

from __future__ import annotations

import pytest
from clawdbot.common.v1.message_pb2 import Document, Media
from clawdbot_plugin_sdk import Context, Plugin

from tests.support.plugin_service import serving


@pytest.fixture
async def client(tmp_path):
    plugin = Plugin("trial", version="1.0.0")

    @plugin.tool(effect="once")
    async def show(ctx: Context, size: int = 3) -> None:
        """Show everything."""
        ctx.attach(b"x" * size, "image/png")
        ctx.attach(b"abc", "Audio/wav")
        ctx.attach(b"abc", "application/pdf", title="menu")

    async with serving(tmp_path, plugin) as served:
        yield served.client


async def test_the_media_type_decides_the_kind_of_part(client):
    content = (await client.result("trial.show")).content
    assert [part.WhichOneof("content") for part in content] == ["image", "audio", "document"]
    assert content[0].image == Media(data=b"xxx", media_type="image/png")
    assert content[2].document == Document(data=b"abc", media_type="application/pdf", title="menu")


async def test_a_replayed_call_has_its_attachments(client):
    first = await client.result("trial.show", "r-1")
    assert await client.result("trial.show", "r-1") == first
    assert first.content[0].image.data == b"xxx"


async def test_attachments_count_towards_the_size_of_the_result(client):
    large = await client.result("trial.show", size=300_000)
    assert large.is_error
    assert "too large: it has 300006 bytes" in large.content[0].text
