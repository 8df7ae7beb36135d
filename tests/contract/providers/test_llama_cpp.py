"""The provider for a GGUF file, with llama.cpp itself behind it.

Not held to BackendContract: its faults are scripted, and here is no fake to script. What can go wrong with
a file and its process is in tests/integration/model_gateway/test_llama_cpp.py.
"""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contract.providers.provider_contract import ProviderContract
from tests.support.generating import asks
from tests.support.providing import make, started
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

    async def test_a_whole_reply_is_the_stream_folded(self, provider, model):
        # The first reply fills llama.cpp's prompt cache, and usage tells what came from there.
        await provider.generate(asks(), model)
        await super().test_a_whole_reply_is_the_stream_folded(provider, model)
