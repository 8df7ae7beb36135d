"""The model gateway's settings: the shared sections, `model` or `models`, `limits`, and `gateway`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from clawdbot_servicekit.settings import Bytes, Secret, Section, SharedSettings, Whole
from clawdbot_servicekit.settings.media import MediaSettings
from clawdbot_servicekit.settings.suite import PORTS
from clawdbot_servicekit.settings.values import matching
from pydantic import Field, model_validator
from typing_extensions import override

from clawdbot_model_gateway.settings.backends import BackendSettings, Endpoint
from clawdbot_model_gateway.settings.cache import CacheSettings
from clawdbot_model_gateway.settings.limits import LimitsSettings
from clawdbot_model_gateway.settings.routing import ModelsSettings


class VendorSettings(Section):
    """A vendor's environment variables, for its backends that have no endpoint of their own."""

    base_url: Endpoint | None = None
    """Base URL as the vendor's own library expects it; omitted: the vendor's public endpoint."""
    api_key: Secret | None = None
    model: str | None = None

    @property
    def key_fields(self) -> tuple[str, ...]:
        """The fields that may contain the key, in order of precedence."""
        return ("api_key",)


class GeminiVendorSettings(VendorSettings):
    """The same for Gemini, whose key may also be in Google's general variable."""

    google_api_key: Secret | None = None

    @property
    @override
    def key_fields(self) -> tuple[str, ...]:
        return ("api_key", "google_api_key")


class GatewaySection(Section):
    """The gateway's own limits, and where it discovers models."""

    max_request: Annotated[Bytes, Field(ge=1024)] = 16 * 1024 * 1024
    """Largest request, media included; server.max_message is a limit as well."""
    max_messages: Annotated[Whole, Field(ge=1, le=1_000_000)] = 10_000
    max_texts: Annotated[Whole, Field(ge=1, le=1_000_000)] = 2048
    """Maximum number of texts in one Embed request."""
    cache: CacheSettings = CacheSettings()
    switching: bool = True
    """Whether SwitchModel works. Turn it off where replicas share no state_dir, as it reaches one only."""
    openai: VendorSettings = VendorSettings()
    anthropic: VendorSettings = VendorSettings()
    gemini: GeminiVendorSettings = GeminiVendorSettings()
    ollama: Annotated[str, matching(r"https?://.+", "a URL such as http://127.0.0.1:11434")] | None = (
        "http://127.0.0.1:11434"
    )
    """Where to look for Ollama where no model is configured; null: do not look."""
    local_model: bool = True
    """Whether the small model of local_model.py answers where nothing else is found."""


class GatewaySettings(SharedSettings):
    """The model gateway's settings."""

    default_port: ClassVar[int] = PORTS["model_gateway"]
    fallback_variables: ClassVar[Mapping[str, str]] = {
        "gateway.openai.base_url": "OPENAI_BASE_URL",
        "gateway.openai.api_key": "OPENAI_API_KEY",
        "gateway.openai.model": "OPENAI_MODEL",
        "gateway.anthropic.base_url": "ANTHROPIC_BASE_URL",
        "gateway.anthropic.api_key": "ANTHROPIC_API_KEY",
        "gateway.anthropic.model": "ANTHROPIC_MODEL",
        "gateway.gemini.base_url": "GOOGLE_GEMINI_BASE_URL",
        "gateway.gemini.api_key": "GEMINI_API_KEY",
        "gateway.gemini.google_api_key": "GOOGLE_API_KEY",
        "gateway.gemini.model": "GEMINI_MODEL",
    }

    model: BackendSettings | None = None
    """A single backend, for the aliases `chat` and `default`."""
    models: ModelsSettings | None = None
    """Several backends, with aliases. With neither, the gateway discovers one: backend_config.py."""
    gateway: GatewaySection = GatewaySection()
    limits: LimitsSettings = LimitsSettings()
    media: MediaSettings = MediaSettings()

    @model_validator(mode="after")
    def _check_model_or_models(self) -> GatewaySettings:
        if self.model is not None and self.models is not None:
            raise ValueError("set model or models, not both")
        return self
