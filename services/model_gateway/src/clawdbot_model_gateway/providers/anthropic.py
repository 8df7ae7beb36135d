"""The provider for Anthropic's Messages API, and for other servers that speak it.

It always streams: only in a stream can silence be distinguished from a long reply, and the vendor recommends
it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, ClassVar, Final, Literal

from clawdbot.model_gateway.v1.generation_pb2 import GenerateRequest
from clawdbot_servicekit.settings import Section
from clawdbot_servicekit.settings.values import matching
from typing_extensions import override

from clawdbot_model_gateway.core.errors import ModelError, ProtocolViolation
from clawdbot_model_gateway.core.provider import LimitedFormats, TokenCounter, VendorModel
from clawdbot_model_gateway.formats.anthropic.models import ModelProfile, decode_model, decode_page
from clawdbot_model_gateway.formats.anthropic.request import RequestDefaults, RequestEncoder
from clawdbot_model_gateway.formats.anthropic.response import ResponseDecoder
from clawdbot_model_gateway.formats.anthropic.thinking import needs_profile
from clawdbot_model_gateway.formats.reply_decoder import ReplyDecoder
from clawdbot_model_gateway.formats.think_tags import ThinkTagModes
from clawdbot_model_gateway.formats.token_count import decode_token_count
from clawdbot_model_gateway.formats.vendor_profile import vendor_profile
from clawdbot_model_gateway.http import Response
from clawdbot_model_gateway.providers.http_provider import HttpProvider
from clawdbot_model_gateway.providers.sampling_defaults import sampling_defaults
from clawdbot_model_gateway.settings import BackendSettings

MESSAGES_PATH: Final = "messages"
COUNT_PATH: Final = "messages/count_tokens"
MODELS_PATH: Final = "models"

ANTHROPIC: Final = "https://api.anthropic.com"
VERSION_PATH: Final = "/v1"
"""Paths begin with it. ANTHROPIC_BASE_URL ends before it, other vendors' endpoints after it."""
SAMPLING_REMOVED_IN: Final = "2026-10-21"
"""The API version that removed temperature, top_p and top_k. Versions are dates and compare as strings."""
REMOVED_SAMPLING: Final = frozenset({"sampling.temperature", "sampling.top_p", "sampling.top_k"})
PAGE_SIZE: Final = "1000"
"""Models a page; the most that the API allows."""
MAX_PAGES: Final = 10
"""A longer list is treated as endless."""
_MODEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
"""Model names that are safe in a path; a caller may send any name."""


class AnthropicSettings(Section):
    """The keys that an anthropic backend adds to those of every backend."""

    api_version: Annotated[str, matching(r"\d{4}-\d\d-\d\d", "a date such as 2023-06-01")] = (
        SAMPLING_REMOVED_IN
    )
    """The `anthropic-version` header. 2023-06-01 takes temperature, top_p and top_k, if the model does."""
    key_header: str = "x-api-key"
    """The header of the key: as a bearer token in authorization, bare in any other."""
    prompt_cache: Literal["5m", "1h"] | None = None
    """How long the vendor caches the prompt, which makes the next request of the same conversation cheaper
    and this one dearer; left out: not at all."""


class AnthropicProvider(HttpProvider, LimitedFormats, TokenCounter):
    """A backend that speaks the Messages API."""

    options: ClassVar[type[Section]] = AnthropicSettings
    always_streams = True

    def __init__(self, settings: BackendSettings, options: AnthropicSettings) -> None:
        """Raises StartupError for what an operator can fix."""
        super().__init__(
            settings,
            f"{(settings.endpoint or ANTHROPIC).rstrip('/').removesuffix(VERSION_PATH)}{VERSION_PATH}",
            key_header=options.key_header,
            headers={"anthropic-version": options.api_version},
        )
        self._think_tags = ThinkTagModes(vendor_profile(self.endpoint).think_tags)
        self._encoder = RequestEncoder(
            settings.provider,
            _request_defaults(settings, options),
            unsupported=REMOVED_SAMPLING if options.api_version >= SAMPLING_REMOVED_IN else frozenset(),
        )
        self._profiles: dict[str, ModelProfile] = {}

    @override
    async def list_models(self) -> Sequence[VendorModel]:
        """The newest model comes first."""
        profiles: dict[str, ModelProfile] = {}
        after_id = ""
        for _ in range(MAX_PAGES):
            query = {"limit": PAGE_SIZE, **({"after_id": after_id} if after_id else {})}
            page = decode_page(await self._pool.get(MODELS_PATH, query))
            profiles.update(page.models)
            if not page.after_id:
                self._profiles = profiles
                return [VendorModel(name, profile.context_length) for name, profile in profiles.items()]
            after_id = page.after_id
        raise ProtocolViolation(f"its list of models did not end after {MAX_PAGES} pages")

    @override
    def native_formats(self, request: GenerateRequest, model: str, /) -> frozenset[str]:
        return self._encoder.native_formats(request, self._profiles.get(model, ModelProfile()))

    @override
    async def count_tokens(self, request: GenerateRequest, model: str) -> int:
        """The vendor calls its count an estimate and does not bill for it."""
        body = self._encoder.encode_count(request, model, await self._profile(request, model))
        response = await self._pool.post(COUNT_PATH, body)
        return decode_token_count(await self._pool.read(response), "input_tokens", f"POST {COUNT_PATH}")

    @override
    async def _send(
        self, request: GenerateRequest, model: str, *, stream: bool
    ) -> tuple[Response, ReplyDecoder]:
        encoded = self._encoder.encode(request, model, await self._profile(request, model))
        response = await self._pool.post(MESSAGES_PATH, encoded.body)
        return response, ResponseDecoder(
            model, encoded.warnings, encoded.names, self._errors, self._think_tags
        )

    async def _profile(self, request: GenerateRequest, model: str) -> ModelProfile:
        """The model's profile: from the list, or asked for if the request depends on it."""
        profile = self._profiles.get(model)
        if profile is not None or not needs_profile(request) or not _MODEL_NAME.fullmatch(model):
            return profile or ModelProfile()
        try:
            profile = decode_model(await self._pool.get(f"{MODELS_PATH}/{model}"))
        except ModelError:
            # Servers that imitate the API may lack the path. Any other cause will fail the request as well.
            return ModelProfile()
        self._profiles[model] = profile
        return profile


def _request_defaults(settings: BackendSettings, options: AnthropicSettings) -> RequestDefaults:
    ttl = options.prompt_cache
    return RequestDefaults(
        sampling=sampling_defaults(settings),
        body={"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {},
    )
