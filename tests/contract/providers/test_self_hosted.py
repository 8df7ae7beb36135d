"""The provider that adapts to its endpoint, against a fake of either kind."""

from __future__ import annotations

from typing import ClassVar

import pytest

from tests.contract.providers.test_ollama import TestOllama as OllamaContract
from tests.contract.providers.test_openai_compatible import TestOpenAICompatible as CompatibleContract
from tests.support.fake_openai import KEY
from tests.support.providers import make


class TestWithOllama(OllamaContract):
    kind: ClassVar = "self_hosted"


class TestWithOpenAICompatible(CompatibleContract):
    kind: ClassVar = "self_hosted"

    @pytest.fixture
    def unstarted(self, backend):
        return make(provider=self.kind, endpoint=backend.url, api_key=KEY)
