"""The provider for a GGUF file, with llama.cpp itself behind it.

It does not run BackendContract, which needs a backend whose errors can be scripted. What can go wrong with a
file and its process is tested in tests/integration/model_gateway/test_llama_cpp.py.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contract.providers.provider_contract import ProviderContract
from tests.support.generate_requests import asks
from tests.support.providers import make, started
from tests.support.tiny_model import write_tiny_model


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny.gguf")


class TestLlamaCpp(ProviderContract):
    kind: ClassVar = "llama_cpp"

    @pytest.fixture
    def unstarted(self, file):
        return make(provider=self.kind, path=str(file), threads=1)

    @pytest.fixture
    async def provider(self, unstarted):
        async for each in started(unstarted):
            yield each

    @pytest.fixture
    def model(self):
        return "tiny"

    async def test_generate_returns_what_the_stream_accumulates_to(self, provider, model):
        # The first reply fills llama.cpp's prompt cache, and usage reports what came from there.
        await provider.generate(asks(), model)
        await super().test_generate_returns_what_the_stream_accumulates_to(provider, model)
