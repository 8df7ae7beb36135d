"""The model gateway's settings: the shared sections, `model` or `models`, and its own limits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

from clawdbot_servicekit.settings import (
    Bytes,
    ConfigPath,
    Number,
    Seconds,
    Secret,
    Section,
    SharedSettings,
    Whole,
)
from clawdbot_servicekit.settings.media import MediaSettings
from clawdbot_servicekit.settings.suite import PORTS
from clawdbot_servicekit.settings.values import MAX_COUNT, matching, resolve_path
from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator
from typing_extensions import override

from clawdbot_model_gateway.breaker_settings import BreakerSettings
from clawdbot_model_gateway.key_settings import KeySettings
from clawdbot_model_gateway.limits_settings import LimitsSettings, PriceSettings
from clawdbot_model_gateway.redis_url import redis_url
from clawdbot_model_gateway.retry_settings import HedgeSettings, RetrySettings
from clawdbot_model_gateway.routing_settings import AliasSettings, BalanceSettings, RuleSettings
from clawdbot_model_gateway.semantic_settings import SemanticCacheSettings

KEY_ALIASES: Final = {"type": "provider", "model": "name"}
"""Alternative names for keys of a backend."""

Name = Annotated[
    str,
    matching(
        r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}",
        "a name of at most 128 letters, digits, dots, colons, hyphens and underscores, such as vllm-2",
    ),
]
"""Of a backend or an alias: without a slash, which separates a backend from its model."""

Endpoint = Annotated[
    str,
    matching(
        r"https?://[^\s/?#@]+(/[^\s?#]*)?",
        "a URL such as http://localhost:8000/v1, without credentials and parameters",
    ),
]


class HttpSettings(Section):
    """Network settings of a backend."""

    connect_timeout: Annotated[Seconds, Field(gt=0)] = 10.0
    """For name resolution, connection and TLS handshake together."""
    read_timeout: Annotated[Seconds, Field(gt=0)] = 300.0
    """Time without data before the reply begins. Models that reason before they answer need a long one."""
    first_content_timeout: Annotated[Seconds, Field(gt=0)] | None = None
    """Time until the reply has content: waiting, connecting and signs of life included. Omitted: no limit."""
    idle_timeout: Annotated[Seconds, Field(gt=0)] = 60.0
    """Time without content in the middle of a reply; before its first content, time without data."""
    pool_size: Annotated[Whole, Field(ge=1, le=65_536)] = 500
    """Requests that are sent at the same time, each on its connection; more wait, up to their deadline."""
    keep_alive: Seconds | None = None
    """How long an idle connection is kept; omitted: 4 s, or 30 s for https. A server's own limit is kept."""
    warm: Annotated[Whole, Field(ge=0, le=1000)] = 1
    """Connections that are made before the backend gets requests: when it is added, or switched to."""
    dns_ttl: Seconds = 30.0
    """How long a resolved address is cached."""
    ca_file: ConfigPath | None = None
    """PEM file of the CA that signed the endpoint's certificate; omitted: the system's CAs."""


class AdaptiveConcurrency(Section):
    """Bounds between which the gateway finds out how many requests a backend takes at a time."""

    min: Annotated[Whole, Field(ge=1, le=65_536)] = 1
    max: Annotated[Whole, Field(ge=1, le=65_536)]

    @model_validator(mode="after")
    def _check_order(self) -> AdaptiveConcurrency:
        if self.min > self.max:
            raise ValueError(f"min is {self.min} and max is {self.max}; min must not be above max")
        return self


class ClassShares(Section):
    """What each priority class gets of a backend while several of them wait."""

    interactive: Annotated[Number, Field(ge=0, le=1)] = 0.6
    standard: Annotated[Number, Field(ge=0, le=1)] = 0.3
    batch: Annotated[Number, Field(ge=0, le=1)] = 0.1

    @model_validator(mode="after")
    def _check_sum(self) -> ClassShares:
        total = self.interactive + self.standard + self.batch
        if total > 1 + 1e-9:
            raise ValueError(f"the shares add up to {total:g}; at most 1 is allowed")
        return self


class QueueSettings(Section):
    """How requests wait for a backend that is busy."""

    size: Annotated[Whole, Field(ge=0, le=1_000_000)] = 1000
    """Requests that wait at a time; 0: none does."""
    timeout: Annotated[Seconds, Field(gt=0)] = 300.0
    """How long a request waits at most; the call's deadline may end the wait earlier."""
    shares: ClassShares = ClassShares()
    concurrency: Annotated[Whole, Field(ge=1, le=65_536)] | AdaptiveConcurrency | None = None
    """Requests that are sent at the same time, by all workers together; omitted: http.pool_size, by each."""


class ModelEntry(Section):
    """One model of a backend."""

    name: str
    """The vendor's name."""
    context_length: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] = 0
    """Tokens of a request and its reply together; 0: unknown."""


class BackendSettings(Section):
    """One backend. Any other keys are options of its provider."""

    model_config = ConfigDict(extra="allow")

    provider: str
    """Name of a provider, such as "openai_compatible"; `type` is an alternative name for this key."""
    name: str | None = None
    """The model to use first, by the vendor's name; `model` is an alternative name for this key."""
    models: tuple[ModelEntry, ...] = ()
    """All models to offer; omitted: those that the backend lists."""
    endpoint: Endpoint | None = None
    """URL including the version: "http://localhost:8000/v1". Must not contain credentials."""
    api_key: Secret | None = None
    api_keys: tuple[KeySettings, ...] = ()
    """Several keys instead: a request goes to another one where the vendor refuses a key."""
    tokenizer: ConfigPath | None = None
    """File to count its models' tokens locally: a tokenizer.json, or a .tiktoken vocabulary."""
    headers: Mapping[str, Secret] = Field(default_factory=dict)
    """Additional headers of each request."""
    http: HttpSettings = HttpSettings()
    queue: QueueSettings = QueueSettings()
    prices: Mapping[str, PriceSettings] = Field(default_factory=dict)
    """By the vendor's name of the model; "*" is any other model."""
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    hedge: HedgeSettings | None = None

    max_tokens: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] | None = None
    """Default for requests that do not set it; so are the fields below."""
    temperature: Annotated[Number, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    top_k: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] | None = None
    presence_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Number, Field(ge=-2, le=2)] | None = None
    seed: Annotated[Whole, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: tuple[str, ...] = ()

    _config_folder: Path = PrivateAttr()

    def model_post_init(self, context: Any, /) -> None:
        """Keeps the base of relative paths for the provider's options, which are parsed later."""
        del context
        self._config_folder = resolve_path(Path())

    @property
    def config_folder(self) -> Path:
        """Folder of the configuration file, or the working directory where there is no file."""
        return self._config_folder

    @property
    def provider_options(self) -> Mapping[str, Any]:
        """The keys that belong to the provider."""
        return self.model_extra or {}

    @model_validator(mode="before")
    @classmethod
    def _resolve_key_aliases(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        resolved = dict(values)
        for other, key in KEY_ALIASES.items():
            if other in resolved and key in resolved:
                raise ValueError(f"set {key} or {other}, not both")
            if other in resolved:
                resolved[key] = resolved.pop(other)
        return resolved

    @model_validator(mode="after")
    def _check_keys(self) -> BackendSettings:
        if self.api_key is not None and self.api_keys:
            raise ValueError("set api_key or api_keys, not both")
        return self

    @field_validator("models", mode="before")
    @classmethod
    def _names_to_entries(cls, models: Any) -> Any:
        if not isinstance(models, list | tuple):
            return models
        return tuple({"name": each} if isinstance(each, str) else each for each in models)


class ModelsSettings(Section):
    """Several backends, and the aliases that callers use."""

    backends: Annotated[Mapping[Name, BackendSettings], Field(min_length=1)]
    aliases: Mapping[Name, AliasSettings] = Field(default_factory=dict)
    """Alias → targets. `chat` and `default` are added where they are missing."""
    balance: BalanceSettings = BalanceSettings()
    """Of the aliases that have none of their own."""
    rules: tuple[RuleSettings, ...] = ()
    """Which requests go to another model than they ask for; the first rule that holds is followed."""

    @field_validator("aliases")
    @classmethod
    def _check_targets(cls, aliases: Mapping[str, AliasSettings]) -> Mapping[str, AliasSettings]:
        for alias, settings in aliases.items():
            names = [each.target for each in settings.targets]
            if not names:
                raise ValueError(f"the alias {alias} has no targets")
            if len(set(names)) < len(names):
                raise ValueError(f"the alias {alias} lists a target twice")
        return aliases


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


class CacheSettings(Section):
    """The cache of replies."""

    enabled: bool = True
    default: Literal["never", "deterministic", "always"] = "deterministic"
    """Which requests without a policy of their own use it; deterministic: those with temperature 0."""
    ttl: Annotated[Seconds, Field(gt=0)] = 300.0
    """How long a reply is served, where the request does not say."""
    max_ttl: Annotated[Seconds, Field(gt=0)] = 86_400.0
    """Limit for what requests say."""
    memory: Annotated[Bytes, Field(ge=0)] = 32 * 1024 * 1024
    """Replies in the memory of one worker."""
    redis: Secret | None = None
    """URL of a Redis or Valkey that replicas share: redis://, rediss:// or unix://."""
    semantic: SemanticCacheSettings | None = None

    _redis_url = field_validator("redis")(redis_url)


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
