"""A model file that all gateways of a machine share: loaded once, kept while any of them uses it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.support.conditions import until
from tests.support.generate_requests import asks, text_of
from tests.support.providers import make
from tests.support.tiny_model import REPLY, write_tiny_model


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


def shared(path, unload_after=60, **more):
    return make(provider="llama_cpp", path=str(path), threads=1, unload_after=unload_after, **more)


def endless():
    request = asks()
    request.provider_options.update({"ignore_eos": True})
    return request


def folder_of(provider):
    return Path(provider._process._spec.socket).parent


def process_ids(*providers):
    return [each._process.pid for each in providers if each._process.pid is not None]


async def stop_all(*providers):
    for each in providers:
        await each.stop()


async def test_a_model_that_comes_and_goes_is_loaded_once_for_a_machine(file):
    first, second, third = (shared(file) for _ in range(3))
    for each in (first, second, third):
        await each.start()
    try:
        assert process_ids(first, second, third) == []
        replies = await asyncio.gather(*(each.generate(asks(), "tiny") for each in (first, second, third)))
        assert {text_of(each) for each in replies} == {REPLY}
        assert len(process_ids(first, second, third)) == 1
    finally:
        await stop_all(first, second, third)


async def test_another_gateway_loads_the_model_when_the_one_that_ran_it_has_ended(file):
    first, second = shared(file), shared(file)
    for each in (first, second):
        await each.start()
        await each.generate(asks(), "tiny")
    try:
        await first.stop()
        assert process_ids(first, second) == []
        assert text_of(await second.generate(asks(), "tiny")) == REPLY
        assert len(process_ids(second)) == 1
    finally:
        await stop_all(first, second)


async def test_a_model_that_another_gateway_uses_is_not_let_go(file):
    first, second = shared(file, unload_after=0.2), shared(file, unload_after=0.2)
    for each in (first, second):
        await each.start()
        await each.generate(asks(), "tiny")
    try:
        async with aclosing(second.stream(endless(), "tiny")) as events:
            await anext(events)
            await asyncio.sleep(1)
            assert len(process_ids(first, second)) == 1

        async def let_go():
            return not process_ids(first, second)

        await until(let_go)
        assert text_of(await second.generate(asks(), "tiny")) == REPLY
    finally:
        await stop_all(first, second)


async def test_a_model_with_other_settings_is_another_model(file):
    first, second = shared(file), shared(file, context_length=512)
    for each in (first, second):
        await each.start()
        await each.generate(asks(), "tiny")
    try:
        assert len(process_ids(first, second)) == 2
    finally:
        await stop_all(first, second)


async def test_a_shared_model_stays_when_the_gateway_that_did_not_load_it_stops(file):
    first, second = shared(file), shared(file)
    for each in (first, second):
        await each.start()
        await each.generate(asks(), "tiny")
    try:
        await second.stop()
        assert text_of(await first.generate(asks(), "tiny")) == REPLY
        assert first._process._spec.socket == second._process._spec.socket
        assert folder_of(first).stat().st_mode & 0o077 == 0
    finally:
        await first.stop()
    assert not folder_of(first).exists()
