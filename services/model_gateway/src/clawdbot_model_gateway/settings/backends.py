"""The section `model`, and each of `models.backends`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from clawdbot_servicekit.settings import ConfigPath, Number, Seconds, Secret, Section, Whole
from clawdbot_servicekit.settings.values import MAX_COUNT, matching, resolve_path
from clawdbot_servicekit.suggestions import nearest_or_all
from pydantic import ConfigDict, Field, PrivateAttr, field_validator, model_validator

from clawdbot_model_gateway.core.limits.prices import ANY_MODEL
from clawdbot_model_gateway.settings.failures import BreakerSettings, HedgeSettings, RetrySettings
from clawdbot_model_gateway.settings.limits import PriceSettings
from clawdbot_model_gateway.settings.queue import QueueSettings

KEY_ALIASES: Final = {"type": "provider", "model": "name"}
"""Alternative names for keys of a backend."""

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
    """For name resolution, connection, a proxy's tunnel and TLS handshake together."""
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

    @model_validator(mode="after")
    def _check_warm(self) -> HttpSettings:
        if self.warm > self.pool_size:
            raise ValueError(
                f"warm is {self.warm} and pool_size is {self.pool_size}; warm must not be above pool_size"
            )
        return self


class ModelEntry(Section):
    """One model of a backend."""

    name: str
    """The vendor's name."""
    context_length: Annotated[Whole, Field(ge=0, le=MAX_COUNT)] = 0
    """Tokens of a request and its reply together; 0: unknown."""


class KeySettings(Section):
    """One of several keys; the key alone may stand for it."""

    key: Secret
    concurrency: Annotated[Whole, Field(ge=1, le=65_536)] | None = None
    """Requests that it is used for at the same time; omitted: http.pool_size."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, values: Any) -> Any:
        return {"key": values} if isinstance(values, str) else values


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
        if "api_keys" in self.model_fields_set and not self.api_keys:
            raise ValueError("api_keys is an empty list; give at least one key, or remove it")
        first: dict[str, int] = {}
        for number, each in enumerate(self.api_keys):
            earlier = first.setdefault(each.key.get_secret_value(), number)
            if earlier != number:
                raise ValueError(f"api_keys[{number}] is the same key as api_keys[{earlier}]; remove one")
        return self

    @model_validator(mode="after")
    def _check_prices(self) -> BackendSettings:
        """The price of a name that is misspelled would never be charged."""
        listed = {each.name for each in self.models}
        unknown = [each for each in self.prices if each not in listed and each != ANY_MODEL]
        if listed and unknown:
            raise ValueError(f"prices: there is no model {unknown[0]}{nearest_or_all(unknown[0], listed)}")
        return self

    @field_validator("models", mode="before")
    @classmethod
    def _names_to_entries(cls, models: Any) -> Any:
        if not isinstance(models, list | tuple):
            return models
        return tuple({"name": each} if isinstance(each, str) else each for each in models)
