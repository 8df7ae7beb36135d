"""Why a backend did not answer, by kind and not by status code: vendors use one code for many things.

    ModelFailure
    ├── BackendAuth           our key was refused
    ├── RateLimited           too fast; later is fine
    ├── QuotaExhausted        the account is empty; later is not fine
    ├── BackendOverloaded     the vendor has no room
    ├── BackendFailed         the vendor broke
    ├── BackendUnreachable    no connection
    │   ├── NameNotResolved   its name leads nowhere
    │   └── TlsFailed         no trust in its certificate, or no TLS at all
    ├── BackendTimeout        connected, and then silence
    ├── ProtocolViolation     an answer that is none
    ├── FormMissed            an answer that has not the form that was asked for
    ├── RequestRefused        the vendor finds fault with the request
    │   └── ContextTooLong    it does not fit into the model
    ├── ModelMissing          the backend does not have this model
    └── CannotEmbed           the backend makes no vectors

    UnknownModel              the gateway itself has no such name

No text in here may hold a key: providers build `detail` from what they have cleaned.
"""

from __future__ import annotations

from typing import ClassVar


class ModelFailure(Exception):
    """One backend could not answer one request."""

    reason: ClassVar[str] = "BACKEND_FAILED"
    """UPPER_SNAKE, as the caller sees it."""
    advice: ClassVar[str] = ""
    """One sentence for the operator or the caller: what to try."""
    elsewhere: ClassVar[bool] = True
    """Whether the same request may succeed on another backend."""
    passing: ClassVar[bool] = False
    """Whether the same request may succeed here after a while."""

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        self.detail = detail
        self.target = ""
        """Where it happened."""
        self.before = ""
        """A sentence on the targets that were tried besides this one."""
        if self.passing:
            self.retry_after = 1.0 if retry_after is None else retry_after
        super().__init__(detail)

    def on(self, target: str) -> None:
        """Notes where it happened; `str()` then says so."""
        self.target = target
        self.args = (f"{target}: {self.detail}",)


class BackendAuth(ModelFailure):
    """The backend refused our key."""

    reason = "BACKEND_AUTH"
    advice = "Check the backend's api_key and what the key may do."


class RateLimited(ModelFailure):
    """More requests or tokens a minute than the backend allows us."""

    reason = "BACKEND_RATE_LIMITED"
    advice = "Try again later, or add a fallback target."
    passing = True


class QuotaExhausted(ModelFailure):
    """The account has nothing left; a vendor says so with 402, 403 or 429."""

    reason = "BACKEND_QUOTA"
    advice = "Look at the account's billing with the vendor."

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail, retry_after=retry_after)
        self.quota_subject = "backend account"


class BackendOverloaded(ModelFailure):
    """The backend has no room just now."""

    reason = "BACKEND_OVERLOADED"
    advice = "Try again later, or add a fallback target."
    passing = True


class BackendFailed(ModelFailure):
    """The backend broke while it worked."""

    reason = "BACKEND_FAILED"
    advice = "Try again; if it stays, look at the backend's log (out of memory, CUDA, a batch too large)."
    passing = True


class BackendUnreachable(ModelFailure):
    """No connection to the backend."""

    reason = "BACKEND_UNREACHABLE"
    advice = "Check that it runs and that the endpoint's host, port and scheme are right."
    passing = True


class NameNotResolved(BackendUnreachable):
    """The endpoint's name has no address."""

    reason = "BACKEND_NAME_NOT_RESOLVED"
    advice = "Check the spelling of the endpoint's host, and that this machine's DNS knows it."


class TlsFailed(BackendUnreachable):
    """The endpoint answers, and no safe connection comes about."""

    reason = "BACKEND_TLS"
    advice = "Check that the endpoint speaks https; for a private certificate set the backend's ca_file."
    passing = False


class BackendTimeout(ModelFailure):
    """The backend kept silent for longer than its settings allow."""

    reason = "BACKEND_TIMEOUT"
    advice = "Raise the backend's read_timeout or idle_timeout, or ask for fewer tokens."
    passing = True


class ProtocolViolation(ModelFailure):
    """What came back is not what this kind of backend answers."""

    reason = "BACKEND_PROTOCOL"
    advice = "Check that the endpoint's path is right and that the provider fits the backend."


class FormMissed(ModelFailure):
    """The model's answer does not fit the form that was asked for, and did not when it was asked again."""

    reason = "RESPONSE_FORMAT_MISSED"
    advice = "Try a simpler schema, or a model that keeps to a JSON Schema by itself."


class RequestRefused(ModelFailure):
    """The backend finds fault with the request itself."""

    reason = "BACKEND_REFUSED_REQUEST"
    advice = "Mend the request; sending it again changes nothing."
    elsewhere = False


class ContextTooLong(RequestRefused):
    """The conversation does not fit into the model's context."""

    reason = "CONTEXT_TOO_LONG"
    advice = "Send fewer messages, lower max_tokens, or use a model with a longer context."
    elsewhere = True


class ModelMissing(ModelFailure):
    """The backend does not have the model that the target names."""

    reason = "BACKEND_MODEL_MISSING"
    advice = "Ask ListModels for what there is; load the model in the backend or switch the alias."


class CannotEmbed(ModelFailure):
    """The target's provider has no embeddings at all."""

    reason = "BACKEND_CANNOT_EMBED"
    advice = (
        "Name a target whose provider embeds, such as openai_compatible or ollama, or add one as fallback."
    )


class UnknownModel(Exception):
    """Neither an alias nor a target of this gateway."""

    def __init__(self, model: str, suggestion: str = "") -> None:
        self.model = model
        self.suggestion = f" Did you mean {suggestion}?" if suggestion else " ListModels shows what there is."
        super().__init__(f"no model {model}")
