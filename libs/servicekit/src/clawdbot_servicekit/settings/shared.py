"""The sections that every service has, with their defaults, and who owns the others.

A service's settings class derives from SharedSettings and adds its own sections; nothing is read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal

import platformdirs
from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from clawdbot_servicekit.settings.source import DocumentSource
from clawdbot_servicekit.settings.values import Bytes, ConfigPath, Seconds, Secret, Section

SECTIONS: Final = {
    "dialogue": ("flows", "stores", "dialogue"),
    "model_gateway": ("model", "models", "gateway"),
    "plugins": ("plugins", "tools", "hooks"),
}
"""Service → the top-level keys it owns. A service run alone ignores the others' keys, and only those."""

PORTS: Final = {"suite": 8080, "dialogue": 8081, "model_gateway": 8082, "plugins": 8083}
"""The default port of each service when it runs alone, and the suite's."""

METRICS_OFFSET: Final = 9464 - 8080
"""9464 is the usual port of OpenTelemetry's Prometheus exporter; a service alone uses the ones after it."""


Scope = Literal[
    "dialogue", "dialogue.admin", "models", "models.admin", "plugins", "plugins.admin", "tools", "hooks"
]
"""What a key may be limited to; the contracts say which methods need which (clawdbot.common.v1.scope)."""

Port = Annotated[int, Field(ge=0, le=65535)]
"""0 means any free port."""


class ServerSettings(Section):
    """Where and how the server listens, and how much it takes in."""

    host: str = "127.0.0.1"
    port: Port = PORTS["suite"]
    """0 for any free port. The default differs from service to service: PORTS."""
    socket: ConfigPath | None = None
    """Also listen on this Unix socket (mode 0600 for whoever runs the server), without TLS."""
    workers: Annotated[int, Field(ge=1, le=512)] = 1
    """Processes that share the port."""
    grace: Seconds = 30.0
    """How long calls in flight may go on after SIGTERM."""
    settle: Seconds = 0.0
    """How long to go on serving while not ready, so that load balancers notice; in Kubernetes 5s."""
    stuck_after: Annotated[Seconds, Field(ge=1)] = 15.0
    """A worker whose loop shows no sign of life for so long is replaced."""
    reflection: bool | None = None
    """Whether the server describes itself (grpcurl list); left out: only when listening on loopback."""
    max_message: Annotated[Bytes, Field(ge=1024)] = 4 * 1024 * 1024
    """Largest request or reply; gRPC's own default."""
    max_metadata: Annotated[Bytes, Field(ge=1024)] = 16 * 1024
    """Largest block of headers."""
    max_concurrent_calls: Annotated[int, Field(ge=1)] = 20_000
    """Calls let in at once, per process; more get RESOURCE_EXHAUSTED with a time to wait."""
    default_deadline: Seconds = 60.0
    """For callers that gave none."""
    max_deadline: Seconds = 600.0
    """For callers that gave more."""
    max_connection_age: Seconds = 180.0
    """Connections are renewed after this long, so that new replicas get traffic. 0: never."""


class ApiKeySettings(Section):
    """One key that a caller may show. Exactly one of key, key_file and sha256."""

    id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
    """Public name, for logs."""
    tenant: Annotated[str, Field(min_length=1, max_length=128)] = "default"
    scopes: frozenset[Scope] = frozenset()
    """What it may do; empty: everything. "models.admin" contains "models"."""
    key: Secret | None = None
    """The key itself; better give its file (key_file) or its SHA-256."""
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = None
    """SHA-256 of the key, in hex: all that the server needs to know."""

    @model_validator(mode="after")
    def _exactly_one(self) -> ApiKeySettings:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give exactly one of key, key_file and sha256")
        if self.key is not None and len(self.key.get_secret_value()) < 16:
            raise ValueError("the key is too short to be a secret: use at least 16 characters")
        return self


class AuthSettings(Section):
    """Who may call. With neither keys nor a service token everybody may, as the default tenant."""

    keys: tuple[ApiKeySettings, ...] = ()
    service_token: Secret | None = None
    """What the services of one installation show each other; whoever has it speaks for any tenant."""

    @field_validator("keys")
    @classmethod
    def _distinct(cls, keys: tuple[ApiKeySettings, ...]) -> tuple[ApiKeySettings, ...]:
        ids = [each.id for each in keys]
        twice = sorted({each for each in ids if ids.count(each) > 1})
        if twice:
            raise ValueError(f"two keys have the id {twice[0]}")
        return keys


class TlsSettings(Section):
    """Certificates, as PEM files; changed files are taken up without a restart."""

    cert_file: ConfigPath | None = None
    """Certificate chain. The server speaks TLS when it is set; peers that ask for one are shown it."""
    key_file: ConfigPath | None = None
    client_ca_file: ConfigPath | None = None
    """Callers must show a certificate that this CA signed (mTLS)."""
    peer_ca_file: ConfigPath | None = None
    """Peers are called over TLS and must show a certificate that this CA signed."""

    @model_validator(mode="after")
    def _whole(self) -> TlsSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        if self.client_ca_file and not self.cert_file:
            raise ValueError("client_ca_file needs cert_file and key_file")
        return self


class TelemetrySettings(Section):
    """What the process tells about itself."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: for people on a terminal, JSON lines elsewhere."""
    metrics_port: Port | None = 9464
    """Prometheus endpoint on server.host; null: none, 0: any free port. 9465 to 9467 for a service alone."""


class PeerSettings(Section):
    """Where the others listen when they are not in this process: host:port, dns:///name:port, unix:/path."""

    dialogue: str = f"127.0.0.1:{PORTS['dialogue']}"
    model_gateway: str = f"127.0.0.1:{PORTS['model_gateway']}"
    plugins: str = f"127.0.0.1:{PORTS['plugins']}"

    @field_validator("*")
    @classmethod
    def _address(cls, address: str) -> str:
        if not re.fullmatch(
            r"unix:\S+|(dns:///)?[^\s:/]+:\d{1,5}|(dns:///)?\[[0-9a-fA-F:]+\]:\d{1,5}", address
        ):
            raise ValueError("expected an address such as 127.0.0.1:8082, dns:///name:8082 or unix:/path")
        return address


class SharedSettings(Section, BaseSettings):
    """What every service is told. Derive one class from it per service; `load` makes the instance."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    default_port: ClassVar[int] = PORTS["suite"]
    """server.port where nobody says otherwise; a service's class overrides it."""
    borrowed: ClassVar[Mapping[str, str]] = {}
    """Dotted key → a variable known from elsewhere ("OPENAI_API_KEY") that sets it where nothing else
    does."""

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    tls: TlsSettings = TlsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    peers: PeerSettings = PeerSettings()
    state_dir: ConfigPath = Field(default_factory=lambda: Path(platformdirs.user_state_dir("clawdbot")))
    """Where what must outlive the process is kept; made when it is missing."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given in code, then what `load` has read; the environment is part of that."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, DocumentSource(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _own_ports(cls, values: Any) -> Any:
        """Fills in the ports that depend on the class."""
        if not isinstance(values, dict):
            return values
        server = _filled(values.get("server", {}), "port", cls.default_port)
        port = server.get("port") if isinstance(server, dict) else getattr(server, "port", None)
        metrics = 0 if str(port) == "0" else cls.default_port + METRICS_OFFSET
        telemetry = _filled(values.get("telemetry", {}), "metrics_port", metrics)
        return {**values, "server": server, "telemetry": telemetry}


def _filled(section: Any, key: str, default: int) -> Any:
    """The section with a default for one key, unless it says something itself."""
    if isinstance(section, dict):
        return {key: default, **section}
    if isinstance(section, Section) and key not in section.model_fields_set:
        return section.model_copy(update={key: default})
    return section
