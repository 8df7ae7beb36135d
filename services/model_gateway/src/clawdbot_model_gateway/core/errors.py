"""Why a backend could not answer, by kind and not by status code: vendors use one code for many things.

    ModelError
    ├── BackendAuth             the backend rejected our key
    ├── RateLimited             too many requests; retry later
    ├── LimitTooSmall           the request alone is larger than a limit per minute; retrying does not help
    ├── QuotaExhausted          the account is empty; retrying does not help
    ├── BackendOverloaded       the backend has no capacity
    ├── BackendFailed           the backend broke
    ├── BackendUnreachable      no connection
    │   ├── NameNotResolved     the host name has no address
    │   ├── ProxyFailed         the proxy did not let us through
    │   └── TlsFailed           the certificate is not trusted, or the endpoint does not speak TLS
    ├── BackendTimeout          connected, then no data
    ├── ProtocolViolation       the response is not what this kind of backend sends
    ├── ResponseFormatMissed    the reply does not match the requested format
    ├── RequestRefused          the backend rejected the request
    │   ├── ContextTooLong      the conversation does not fit the model's context
    │   ├── ContentFiltered     the vendor's filter stopped the request
    │   ├── MediaRefused        an image, audio clip or document was not taken as it was sent
    │   └── FeatureRefused      the model lacks tools or formats that others have
    ├── ModelMissing            the backend does not have this model
    │   └── NoEndpoint          a router of vendors has nobody who may answer this request
    ├── QueueFull               no more requests may wait for the backend
    ├── QueueTimeout            the request waited for too long
    ├── DeadlineUnreachable     its deadline is before its turn
    ├── BreakerOpen             the backend kept failing, and is not asked at present
    ├── BackendDraining         an operator has taken the backend out of service
    ├── BackendRemoved          a reload of the configuration has removed it
    └── CannotEmbed             the provider does not support embeddings

    UnknownModel                the gateway itself has no such name
    UnknownBackend              nor such a backend
    ConfigurationInvalid        it was asked to reload a broken one

No text in here may contain a key: providers build `quote` from text that they have redacted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final, TypeAlias

from clawdbot_servicekit.log_content import Content
from clawdbot_servicekit.suggestions import did_you_mean, nearest_or_all


class ModelError(Exception):
    """One backend could not answer one request."""

    reason: ClassVar[str] = "BACKEND_FAILED"
    """The code that callers see, in UPPER_SNAKE."""
    advice: ClassVar[str] = ""
    """One sentence for the operator or the caller: what to try."""
    retry_elsewhere: ClassVar[bool] = True
    """Whether the same request may succeed on another backend."""
    transient: ClassVar[bool] = False
    """Whether the same request may succeed on this backend later."""
    answered: ClassVar[bool] = True
    """False: the request was sent, and nobody knows what the backend has done with it, and charges for it."""
    may_resend: ClassVar[bool] = False
    """Whether the backend has certainly not worked on the request, so that it may be sent to it once more."""

    def __init__(self, summary: str, *, quote: str = "", retry_after: float | None = None) -> None:
        """An error of a backend.

        Args:
            summary: what happened, in our words.
            quote: what the backend said, which may repeat the prompt; for the caller, not for the log.
            retry_after: seconds after which a retry may help, if the backend said so.
        """
        self.summary = summary
        self.quote = quote
        self.detail = f"{summary}: {quote}" if quote else summary
        self.target = ""
        """The target that failed; empty until it is known."""
        self.worked_on = False
        """Whether the backend had begun its reply, or said what it cost, before it failed."""
        self.other_attempts = ""
        """A sentence that lists the other targets that were tried."""
        self.stated_wait = retry_after
        """What the backend said, in seconds; None: nothing."""
        if self.transient:
            self.retry_after = 1.0 if retry_after is None else retry_after
        super().__init__(self.detail)

    @property
    def label(self) -> str:
        """Target and reason, for the error of another target."""
        return f"{self.target} ({self.reason})"

    @property
    def statement(self) -> str:
        """The detail as a sentence; what a backend said often ends like one already."""
        text = self.detail.rstrip()
        return text if text.endswith((".", "!", "?", "…", "。", "！", "？")) else f"{text}."

    @property
    def log_fields(self) -> dict[str, object]:
        """What the log may say about it."""
        quoted = {"quote": Content(self.quote)} if self.quote else {}
        return {"reason": self.reason, "detail": self.summary, **quoted}

    def set_target(self, target: str) -> None:
        """Notes the target that failed; `str()` then includes it."""
        self.target = target
        self.args = (f"{target}: {self.detail}",)


class BackendAuth(ModelError):
    """The backend rejected our key."""

    reason = "BACKEND_AUTH"
    advice = "Check the backend's api_key and its permissions."


class RateLimited(ModelError):
    """We sent more requests or tokens per minute than the backend allows."""

    reason = "BACKEND_RATE_LIMITED"
    advice = "Try again later, or add a fallback target."
    transient = True
    may_resend = True


class LimitTooSmall(ModelError):
    """The request alone has more tokens than a limit of the account allows per minute."""

    reason = "BACKEND_LIMIT_TOO_SMALL"
    advice = (
        "Waiting does not help: send fewer messages, lower max_tokens, or have the vendor raise the limit."
    )


class QuotaExhausted(ModelError):
    """The account has no credit or quota left. Vendors report it with 402, 403 or 429."""

    reason = "BACKEND_QUOTA"
    advice = "Check the account's billing with the vendor."

    def __init__(self, summary: str, *, quote: str = "", retry_after: float | None = None) -> None:
        super().__init__(summary, quote=quote, retry_after=retry_after)
        self.quota_subject = "backend account"


class BackendOverloaded(ModelError):
    """The backend has no capacity at the moment."""

    reason = "BACKEND_OVERLOADED"
    advice = "Try again later, or add a fallback target."
    transient = True
    may_resend = True


class BackendFailed(ModelError):
    """The backend, or the connection to it, broke during the request."""

    reason = "BACKEND_FAILED"
    advice = "Try again. If it persists, check the backend's log (out of memory, CUDA, batch too large)."
    transient = True


class ConnectionBroken(BackendFailed):
    """The connection broke before the whole response was there."""

    answered = False


class BackendUnreachable(ModelError):
    """No connection to the backend could be made."""

    reason = "BACKEND_UNREACHABLE"
    advice = "Check that it runs and that the endpoint's host, port and scheme are correct."
    transient = True
    may_resend = True


class NameNotResolved(BackendUnreachable):
    """The endpoint's host name has no address."""

    reason = "BACKEND_NAME_NOT_RESOLVED"
    advice = "Check the spelling of the endpoint's host, and that this machine's DNS can resolve it."


class ProxyFailed(BackendUnreachable):
    """The proxy of HTTP_PROXY or HTTPS_PROXY cannot be reached, or refuses to connect to the backend."""

    reason = "BACKEND_PROXY"
    advice = (
        "Check HTTP_PROXY and HTTPS_PROXY, with their credentials, or name the backend's host in NO_PROXY."
    )
    transient = False


class TlsFailed(BackendUnreachable):
    """The endpoint answers, but no secure connection can be established."""

    reason = "BACKEND_TLS"
    advice = "Check that the endpoint speaks https; for a private certificate set the backend's ca_file."
    transient = False


class BackendTimeout(ModelError):
    """The backend sent nothing for longer than its settings allow."""

    reason = "BACKEND_TIMEOUT"
    answered = False
    advice = (
        "Give the call a longer deadline, raise the backend's read_timeout, first_content_timeout or "
        "idle_timeout, or ask for fewer tokens."
    )
    transient = True


class ProtocolViolation(ModelError):
    """The response is not what this kind of backend sends."""

    reason = "BACKEND_PROTOCOL"
    advice = (
        "Check that the endpoint's path is correct, that the provider fits the backend, and that nothing in "
        "between answers in its place."
    )


class ResponseFormatMissed(ModelError):
    """The model's reply does not match the requested format, and did not after one retry."""

    reason = "RESPONSE_FORMAT_MISSED"
    advice = "Try a simpler schema, or a model that supports JSON Schema natively."


class RequestRefused(ModelError):
    """The backend rejected the request itself."""

    reason = "BACKEND_REFUSED_REQUEST"
    advice = "Fix the request; retrying it unchanged will fail again."
    retry_elsewhere = False


class ContextTooLong(RequestRefused):
    """The conversation does not fit into the model's context."""

    reason = "CONTEXT_TOO_LONG"
    advice = "Send fewer messages, lower max_tokens, or use a model with a longer context."
    retry_elsewhere = True


class ContentFiltered(RequestRefused):
    """The vendor's content filter stopped the request before the model saw it."""

    reason = "BACKEND_CONTENT_FILTER"
    advice = "Change what the conversation says, or the filter's settings with the vendor."


class MediaRefused(RequestRefused):
    """The backend does not take an image, an audio clip or a document in the form in which it was sent."""

    reason = "BACKEND_MEDIA_REFUSED"
    advice = (
        "Send it as data instead of by URL (or by URL instead of as data), in another media type, "
        "or use a model that takes it."
    )
    retry_elsewhere = True


class FeatureRefused(RequestRefused):
    """The model, or the server as it was started, lacks what the request needs and others have."""

    reason = "BACKEND_FEATURE_REFUSED"
    advice = (
        "Use a model that supports tools and response_format, or start the server with what they need "
        "(vLLM: --enable-auto-tool-choice and --tool-call-parser)."
    )
    retry_elsewhere = True


class ModelMissing(ModelError):
    """The backend does not have the model that the target names."""

    reason = "BACKEND_MODEL_MISSING"
    advice = "Call ListModels to see the available models; load the model in the backend or switch the alias."


class NoEndpoint(ModelMissing):
    """A router of vendors, such as OpenRouter, has no vendor for this model that may answer this request."""

    reason = "BACKEND_NO_ENDPOINT"
    advice = (
        "Check the account's data policy and provider preferences, and whether a provider of this model "
        "takes what the request contains (tools, images, response_format)."
    )


class CannotEmbed(ModelError):
    """The target's provider does not support embeddings."""

    reason = "BACKEND_CANNOT_EMBED"
    advice = (
        "Use a target whose provider supports embeddings, such as openai_compatible or ollama, "
        "or add one as a fallback."
    )


class QueueFull(ModelError):
    """As many requests wait for the backend as may, and none of them gives way to this one."""

    reason = "QUEUE_FULL"
    advice = "Try again later, add a fallback target, or raise the backend's queue.concurrency."
    transient = True
    may_resend = True


class QueueTimeout(ModelError):
    """The request waited for the backend for as long as it may."""

    reason = "QUEUE_TIMEOUT"
    advice = "Try again later, add a fallback target, or raise the backend's queue.concurrency."
    transient = True
    may_resend = True


class DeadlineUnreachable(ModelError):
    """The call's deadline passes before the request has its turn at the backend."""

    reason = "DEADLINE_UNREACHABLE"
    advice = "Try again later or with a longer deadline, or add a fallback target."
    transient = True
    may_resend = True


class BreakerOpen(ModelError):
    """The backend kept failing, so that the gateway does not ask it at present."""

    reason = "BREAKER_OPEN"
    advice = "Single requests find out when it works again. Try again later, or add a fallback target."
    transient = True


class BackendDraining(ModelError):
    """DrainBackend has taken the backend out of service."""

    reason = "BACKEND_DRAINING"
    advice = "Use another model or add a target to the alias; DrainBackend with undo puts the backend back."


class BackendRemoved(ModelError):
    """A reload has removed the backend, after the call had read its targets."""

    reason = "BACKEND_REMOVED"
    advice = "Call again: the model's new targets answer."
    transient = True


Shed: TypeAlias = QueueFull | QueueTimeout | DeadlineUnreachable
"""The gateway did not send the request, because too many wait for the backend."""


OURS: Final = (
    BackendDraining,
    BackendRemoved,
    BreakerOpen,
    CannotEmbed,
    DeadlineUnreachable,
    QueueFull,
    QueueTimeout,
)
"""Errors without a word from the backend: it was not asked. With all others it has failed or answered."""


class ConfigurationInvalid(Exception):
    """The configuration cannot be put in place; what was is still in use."""

    def __init__(self, explanation: str) -> None:
        self.explanation = explanation
        super().__init__(explanation)


class SwitchingOff(Exception):
    """This gateway is configured not to switch aliases."""


class UnknownBackend(Exception):
    """The gateway has no backend of this name."""

    def __init__(self, backend: str, known: Iterable[str]) -> None:
        self.backend = backend
        self.suggestion = nearest_or_all(backend, sorted(known))
        super().__init__(f"no backend {backend}")


class UnknownModel(Exception):
    """The name is neither an alias nor a target of this gateway."""

    def __init__(self, model: str, suggestion: str = "") -> None:
        self.model = model
        self.suggestion = did_you_mean(suggestion) or " ListModels shows the available models."
        super().__init__(f"no model {model}")
