"""Redacts what must not leave the process: keys, passwords, e-mail addresses, phone and card numbers.

One compiled pattern does it, so that every log line can pass through it. It rather hides too much than too
little, and is idempotent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, SecretStr

MARK: Final = "[redacted]"

MAX_CACHED_LENGTH: Final = 128
"""Characters: longer texts are not cached."""
CACHE_SIZE: Final = 4096
"""Maximum number of texts that are cached as clean."""
MIN_SECRET_LENGTH: Final = 8
"""Characters: shorter configured values are not searched for, as they would match inside ordinary words."""

SENSITIVE_KEYS: Final = frozenset(
    {
        "api_key",
        "api-key",
        "apikey",
        "authorization",
        "client_secret",
        "cookie",
        "password",
        "passwd",
        "private_key",
        "proxy-authorization",
        "refresh_token",
        "access_token",
        "secret",
        "service_token",
        "set-cookie",
        "x-api-key",
        "x-goog-api-key",
    }
)
"""Names whose value is always hidden, in structured events and in texts such as `api_key=…`."""

_NAMES = "|".join(
    re.escape(name).replace("_", "[_-]?") for name in sorted(SENSITIVE_KEYS, key=len, reverse=True)
)

_MARK = re.escape(MARK)
_PEM: Final = (
    r"(?P<pem>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]{0,32}PRIVATE KEY-----|\Z))"
)
"""A whole private key, as in a PEM file that ended up in an error text."""
_AT_START_OF_WORD: Final = (
    rf"(?P<named>(?i:(?:{_NAMES})\b[\"']?\s{{0,4}}[:=]\s{{0,4}}+[\"']?+(?:(?:bearer|basic)\s+)?+))(?!{_MARK})[^\s\"',;&}}\])]+",
    r"(?P<scheme>(?i:bearer\s+))[A-Za-z0-9._~+/=-]{8,}",
    rf"(?P<userinfo>[a-z][a-z0-9+.-]{{1,30}}://)[^\s/@:]{{0,128}}+:(?!{_MARK}@)[^\s/@]{{1,256}}(?=@)",
    # Keys by their prefix: ours, OpenAI's and compatible ones, Google, GitHub, GitLab, Slack, AWS, Hugging
    # Face, Groq; and JSON Web Tokens.
    (
        r"(?P<token>(?:cb_[A-Za-z0-9]+_[A-Za-z0-9_-]{6,}|sk-[A-Za-z0-9_-]{8,}|AIza[A-Za-z0-9_-]{20,}"
        r"|gh[pousr]_[A-Za-z0-9]{16,}|glpat-[A-Za-z0-9_-]{16,}|xox[abeprs]-[A-Za-z0-9-]{10,}"
        r"|A(?:KIA|SIA)[A-Z0-9]{16}|hf_[A-Za-z0-9]{16,}|gsk_[A-Za-z0-9]{16,}"
        r"|eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*))"
    ),
    # The longer look-behind keeps it linear.
    r"(?P<email>(?<![\w.%+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})",
    r"(?P<card>(?<![\w.-])[2-6]\d{3}(?:[ -]?\d){9,15}(?![\w-]))",
    # With a country code; three-three-four as in North America; eleven digits of a Chinese mobile.
    (
        r"(?P<phone>(?<![\w.])(?:\+\d{1,3}(?:[ .-]?\(?\d{1,4}\)?){2,6}|\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}"
        r"|1[3-9]\d{9})(?![\w-]|\.\d))"
    ),
)
"""Tried only where no letter or digit precedes: that takes a quarter of the time."""
_PATTERNS: Final = (_PEM, rf"(?<!\w)(?:{'|'.join(_AT_START_OF_WORD)})")
_SAFE_TYPES: Final = (int, float, type(None))
"""Of values that hold nothing to hide."""
_KEPT: Final = ("named", "scheme", "userinfo")
"""Groups that precede what is hidden, and stay."""


class Redactor:
    """Hides secrets and personal data. Cheap to call; made once per process."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        """Args: secrets: exact values to hide, in addition to what the patterns find."""
        self._secrets = set[str]()
        self.learn(secrets)

    def learn(self, secrets: Iterable[str]) -> None:
        """Hides these exact values as well."""
        self._secrets |= {each for each in secrets if len(each) >= MIN_SECRET_LENGTH}
        exact = sorted(self._secrets, key=len, reverse=True)
        own = [f"(?P<exact>{'|'.join(map(re.escape, exact))})"] if exact else []
        self._pattern = re.compile("|".join([*own, *_PATTERNS]))
        self._clean: set[str] = set()
        """Short texts with nothing to hide. Most fields of a log line repeat those of earlier lines."""

    def text(self, text: str) -> str:
        """The text with MARK in place of everything that must be hidden."""
        if text in self._clean:
            return text
        redacted = self._pattern.sub(_replacement, text)
        if redacted == text and len(text) <= MAX_CACHED_LENGTH:
            if len(self._clean) >= CACHE_SIZE:
                self._clean.clear()
            self._clean.add(text)
        return redacted

    def value(self, value: Any) -> Any:
        """The same for dicts, lists and tuples; values of sensitive keys are hidden as a whole."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, _SAFE_TYPES):
            return value
        if isinstance(value, Mapping):
            return {self.value(key): self.item(key, inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(each) for each in value]
        return self.text(value.decode("utf-8", "replace") if isinstance(value, bytes) else repr(value))

    def item(self, key: Any, value: Any) -> Any:
        """One entry of a mapping."""
        if isinstance(key, str) and key.lower() in SENSITIVE_KEYS and value is not None:
            return MARK
        return self.text(value) if isinstance(value, str) else self.value(value)


def _replacement(match: re.Match[str]) -> str:
    kind = match.lastgroup
    if kind in _KEPT:
        return f"{match[kind]}{MARK}"
    if kind == "card" and not luhn(match[0]):
        return match[0]
    return MARK


def luhn(text: str) -> bool:
    """Whether the digits end in the check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(each) for each in text if each.isdigit()]
    doubled = [each * 2 - 9 * (each > 4) for each in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def secrets_of(settings: BaseModel) -> Iterator[str]:
    """Every secret in a settings model, at any depth."""
    # Not dict(settings): with a field named `keys` it would treat the model as a mapping.
    for name in type(settings).model_fields:
        yield from _secrets_in(getattr(settings, name))


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        yield from secrets_of(value)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _secrets_in(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from _secrets_in(each)
