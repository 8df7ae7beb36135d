"""The settings sections that every service has, with their defaults.

A service's settings class derives from SharedSettings and adds its own sections. Nothing is read here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import platformdirs
from pydantic import AfterValidator, Field, PrivateAttr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from typing_extensions import override

from clawdbot_servicekit.caller import DEFAULT_TENANT, TENANT, TENANT_PATTERN
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.accepted import AcceptedConfiguration, Reading
from clawdbot_servicekit.settings.document import Document
from clawdbot_servicekit.settings.source import DocumentSource
from clawdbot_servicekit.settings.suite import DEFAULT_SCOPES, PORTS, PeerSettings, Scope
from clawdbot_servicekit.settings.values import (
    MAX_COUNT,
    Bytes,
    ConfigPath,
    Seconds,
    Secret,
    Section,
    Wait,
    Whole,
    matching,
)

METRICS_OFFSET: Final = 9464 - 8080
"""9464 is the default port of OpenTelemetry's Prometheus exporter; a service alone uses one of the next."""

MIN_SECRET_LENGTH: Final = 24
"""Characters of a key or service token: 96 bits if they are hexadecimal digits."""

KEY_ID: Final = "1 to 64 letters, digits, dots, hyphens and underscores, such as ann or ci-2"
SHA256_PATTERN: Final = r"[0-9a-fA-F]{64}"
SHA256: Final = "64 hexadecimal digits, as `sha256sum` prints"

Port = Annotated[Whole, Field(ge=0, le=65535)]
"""0 means any free port."""


_HOST_NAME: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-)){0,31}")
_NUMBER: Final = re.compile(r"\d+|0[xX][0-9a-fA-F]*", re.ASCII)


def listening_host(host: str) -> str:
    """An address, or the name of one, that a server can listen on.

    Raises:
        ValueError: for any other text, such as * or a number, which resolvers read as an address.
    """
    try:
        address = ip_address(host)
    except ValueError:
        if _HOST_NAME.fullmatch(host) and not _NUMBER.fullmatch(host.rpartition(".")[2]):
            return host
    else:
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        if mapped is None and not address.is_multicast:
            return host
    raise ValueError(
        "expected an address such as 127.0.0.1 or ::1, or a name such as localhost; "
        "0.0.0.0 and :: are all addresses of the machine"
    )


class ServerSettings(Section):
    """Where the server listens, and its limits."""

    host: Annotated[str, AfterValidator(listening_host)] = "127.0.0.1"
    port: Port = PORTS["suite"]
    """0 for any free port. Each service has its own default: PORTS."""
    socket: ConfigPath | None = None
    """Also listen on this Unix socket (mode 0600, for the user who runs the server), without TLS."""
    engine: Literal["auto", "native", "grpcio"] = "auto"
    """What serves gRPC; auto: the native engine where it can do what is configured (server_engine.py)."""
    workers: Annotated[Whole, Field(ge=1, le=512)] = 1
    """Processes that share the port."""
    grace: Wait = 30.0
    """How long calls in flight may continue after SIGTERM."""
    settle: Wait = 0.0
    """How long to keep serving while not ready, so that load balancers notice; in Kubernetes 5s."""
    stuck_after: Annotated[Wait, Field(ge=1)] = 15.0
    """A worker without a heartbeat for this long is replaced."""
    reflection: bool | None = None
    """Whether to serve reflection (grpcurl list). If not set: only when listening on loopback."""
    max_message: Annotated[Bytes, Field(ge=1024)] = 4 * 1024 * 1024
    """Maximum size of a request or a reply; gRPC's own default."""
    max_metadata: Annotated[Bytes, Field(ge=1024)] = 16 * 1024
    """Maximum size of a call's headers."""
    max_concurrent_calls: Annotated[Whole, Field(ge=1, le=1_000_000)] = 20_000
    """Maximum number of calls at a time, per process; more get RESOURCE_EXHAUSTED with RetryInfo."""
    max_streams: Annotated[Whole, Field(ge=1, le=MAX_COUNT)] = 256
    """Maximum number of calls at a time on one connection, including those that the caller has reset."""
    default_deadline: Seconds = 60.0
    """For callers that set none; max_deadline where that is shorter."""
    max_deadline: Seconds = 600.0
    """The longest that a call may take."""
    max_connection_age: Seconds = 180.0
    """Connections are closed after this long, so that new replicas get traffic. 0: never. The native engine
    closes none: to set it selects grpcio."""

    @model_validator(mode="after")
    def _check_deadlines(self) -> ServerSettings:
        both_set = {"default_deadline", "max_deadline"} <= self.model_fields_set
        if both_set and self.default_deadline > self.max_deadline:
            raise ValueError(
                f"default_deadline is {self.default_deadline:g} s and max_deadline is "
                f"{self.max_deadline:g} s; default_deadline must not be above max_deadline"
            )
        return self


def strong_secret(name: str, secret: Secret | None) -> Secret | None:
    """The key or token, if there is one, that callers will have to send.

    Args:
        name: what to call it in the error.
        secret: its text.

    Raises:
        ValueError: if it can be guessed, or cannot be sent as a header.
    """
    if secret is None:
        return None
    text = secret.get_secret_value()
    if len(text) < MIN_SECRET_LENGTH:
        raise ValueError(
            f"the {name} is too short to be a secret: use at least {MIN_SECRET_LENGTH} characters, "
            "for example those that `openssl rand -hex 24` prints"
        )
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(f"the {name} cannot be sent: use printable ASCII without spaces")
    return secret


def secret_digest(text: str) -> bytes:
    """SHA-256 of a key or token, as configured or as received in a header."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


class ApiKeySettings(Section):
    """One API key. Exactly one of key, key_file and sha256."""

    id: Annotated[str, matching(r"[A-Za-z0-9_.-]{1,64}", KEY_ID)]
    """Public name, for logs."""
    tenant: Annotated[str, matching(TENANT_PATTERN, TENANT)] = DEFAULT_TENANT
    scopes: frozenset[Scope] = DEFAULT_SCOPES
    """What it may do; empty: nothing. "models.admin" contains "models"."""
    key: Secret | None = None
    """The key itself; prefer a file (key_file) or its SHA-256."""
    sha256: Annotated[str, matching(SHA256_PATTERN, SHA256)] | None = None
    """SHA-256 of the key, in hex: the server needs to know no more."""

    @field_validator("key")
    @classmethod
    def _strong(cls, key: Secret | None) -> Secret | None:
        return strong_secret("key", key)

    @model_validator(mode="after")
    def _exactly_one(self) -> ApiKeySettings:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give exactly one of key, key_file and sha256")
        if self.digest() == secret_digest(""):
            raise ValueError("the sha256 is that of an empty key")
        return self

    def digest(self) -> bytes:
        """SHA-256 of the key."""
        if self.key is not None:
            return secret_digest(self.key.get_secret_value())
        return bytes.fromhex(self.sha256 or "")


class AuthSettings(Section):
    """Who may call. Without keys and a service token everybody may, as the default tenant.

    Admin calls are then answered only from this machine.
    """

    keys: tuple[ApiKeySettings, ...] = ()
    service_token: Secret | None = None
    """Shared by the services of one installation. Anyone who has it can call for any tenant."""

    @field_validator("keys")
    @classmethod
    def _distinct(cls, keys: tuple[ApiKeySettings, ...]) -> tuple[ApiKeySettings, ...]:
        ids = [each.id for each in keys]
        duplicates = sorted({each for each in ids if ids.count(each) > 1})
        if duplicates:
            raise ValueError(f"two keys have the id {duplicates[0]}")
        return keys

    @field_validator("service_token")
    @classmethod
    def _strong(cls, token: Secret | None) -> Secret | None:
        return strong_secret("service token", token)

    @model_validator(mode="after")
    def _no_secret_twice(self) -> AuthSettings:
        owners = {} if self.service_token is None else {self.token_digest(): "the service token"}
        for key in self.keys:
            owner = owners.setdefault(key.digest(), f"the key {key.id}")
            if owner != f"the key {key.id}":
                raise ValueError(f"the key {key.id} is the same as {owner}; give each a secret of its own")
        return self

    def token_digest(self) -> bytes | None:
        """SHA-256 of the service token; None if there is none."""
        token = self.service_token
        return None if token is None else secret_digest(token.get_secret_value())

    def requires_key(self) -> bool:
        """Whether callers must send a key."""
        return bool(self.keys) or self.service_token is not None


class TlsSettings(Section):
    """Certificates, as PEM files. Changed files are used without a restart."""

    cert_file: ConfigPath | None = None
    """Certificate chain. If set, the server uses TLS, and sends it to peers that request a certificate."""
    key_file: ConfigPath | None = None
    client_ca_file: ConfigPath | None = None
    """Callers must present a certificate that this CA signed (mTLS)."""
    peer_ca_file: ConfigPath | None = None
    """Peers are called over TLS and must present a certificate that this CA signed."""

    @model_validator(mode="after")
    def _complete(self) -> TlsSettings:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together")
        if self.client_ca_file and not self.cert_file:
            raise ValueError("client_ca_file needs cert_file and key_file")
        return self


class TelemetrySettings(Section):
    """Logs and metrics of the process."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "json", "console"] = "auto"
    """auto: readable on a terminal, JSON lines elsewhere."""
    log_content: bool = False
    """Also log what errors say, which may repeat prompts, replies and arguments; else only its length."""
    metrics_port: Port | None = 9464
    """Prometheus endpoint on server.host; null: none, 0: any free port. 9465 to 9467 for a service alone."""
    metrics_tls: bool = False
    """Whether the endpoint uses TLS, with the server's certificates, and with client_ca_file mTLS."""
    metrics_key: Secret | None = None
    """What Prometheus must send as its bearer token; without it everybody may read the metrics."""

    @field_validator("metrics_key")
    @classmethod
    def _strong(cls, key: Secret | None) -> Secret | None:
        return strong_secret("metrics key", key)


class SharedSettings(Section, BaseSettings):
    """The settings of every service. Derive one class from it per service; `load` makes the instance."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, validate_default=True
    )

    default_port: ClassVar[int] = PORTS["suite"]
    """server.port if not set; a service's class overrides it."""
    fallback_variables: ClassVar[Mapping[str, str]] = {}
    """Dotted key → the environment variable of another tool ("OPENAI_API_KEY") to use if nothing else sets
    the key."""

    server: ServerSettings = ServerSettings()
    auth: AuthSettings = AuthSettings()
    tls: TlsSettings = TlsSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    peers: PeerSettings = PeerSettings()
    state_dir: ConfigPath = Field(default_factory=lambda: Path(platformdirs.user_state_dir("clawdbot")))
    """Directory for everything that outlives the process; created if it is missing."""

    _reading: Reading | None = PrivateAttr(None)
    _source: Callable[[Reading | None], SharedSettings] | None = PrivateAttr(None)
    """Makes them of a reading; None: of file and environment as they are now."""
    _accepted: AcceptedConfiguration | None = PrivateAttr(None)
    _on_read: Callable[[SharedSettings], None] | None = PrivateAttr(None)

    @property
    def reading(self) -> Reading | None:
        """What they were made from; None for settings that were made in code."""
        return self._reading

    def read_again(self, *, accepted: bool = False) -> Self:
        """The settings as file and environment are now; these where they came from neither.

        Args:
            accepted: where there are several workers, as one of them accepted them last.

        Raises:
            StartupError: they are invalid now.
        """
        if self._source is None:
            return self
        new = self._source(self._accepted.read() if accepted and self._accepted is not None else None)
        if not isinstance(new, type(self)):
            raise TypeError(f"the source of {type(self).__name__} gives {type(new).__name__}")
        if self._on_read is not None:
            self._on_read(new)
        return new

    def come_from(
        self,
        reading: Reading,
        source: Callable[[Reading | None], SharedSettings],
        configuration: AcceptedConfiguration | None,
    ) -> None:
        """Says what they were made from, how to read them again, and where workers keep what they accept."""
        self._reading, self._source, self._accepted = reading, source, configuration

    def accept(self, new: SharedSettings, sections: Collection[str]) -> None:
        """Says that these sections are in use as they were read again; workers that start later have them."""
        if self._accepted is not None and self._reading is not None and new.reading is not None:
            self._accepted.write(self._reading.with_sections(new.reading, sections))

    @contextmanager
    def locating_errors(self) -> Iterator[None]:
        """Inside the block a StartupError about a key of these settings also says where that is.

        It is for what is found after they were read: each line that begins with a key gets its file and line,
        or its variable.
        """
        try:
            yield
        except StartupError as error:
            if self._reading is None:
                raise
            located = [_located(line, self._reading.document) for line in str(error).splitlines()]
            raise StartupError("\n".join(located)) from error.__cause__

    def on_read(self, observer: Callable[[SharedSettings], None]) -> None:
        """Has an observer called with what `read_again` reads."""
        self._on_read = observer

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Constructor arguments first, then what `load` has read, which includes the environment."""
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, DocumentSource(settings_cls)

    @model_validator(mode="after")
    def _metrics_have_certificates(self) -> SharedSettings:
        if self.telemetry.metrics_tls and self.tls.cert_file is None:
            raise ValueError("telemetry.metrics_tls needs tls.cert_file and tls.key_file")
        return self

    @model_validator(mode="before")
    @classmethod
    def _default_ports(cls, values: Any) -> Any:
        """Fills in the ports that depend on the class."""
        if not isinstance(values, dict):
            return values
        server = _with_default(values.get("server", {}), "port", cls.default_port)
        port = server.get("port") if isinstance(server, dict) else getattr(server, "port", None)
        metrics = 0 if str(port) == "0" else cls.default_port + METRICS_OFFSET
        telemetry = _with_default(values.get("telemetry", {}), "metrics_port", metrics)
        return {**values, "server": server, "telemetry": telemetry}


def _located(line: str, document: Document) -> str:
    origin = document.origin_of(line.removeprefix("unknown key "))
    return f"{origin}: {line}" if origin else line


def _with_default(section: Any, key: str, default: int) -> Any:
    """The section with a default for one key, unless the key is set."""
    if isinstance(section, dict):
        return {key: default, **section}
    if isinstance(section, Section) and key not in section.model_fields_set:
        return section.model_copy(update={key: default})
    return section
