"""Counts tokens at POST /tokenize, next to /v1, on servers that have it: vLLM and SGLang, or llama.cpp.

It finds out once which kind the server is. vLLM takes a text as `prompt`, or messages and tools, and returns
`count`; llama.cpp takes a text as `content`, returns `tokens`, and renders messages at /apply-template.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    ModelMissing,
    ProtocolViolation,
    RequestRefused,
)

TOKENIZE_PATH: Final = "tokenize"
TEMPLATE_PATH: Final = "apply-template"
PROBE_TEXT: Final = "one two"

Post = Callable[[str, bytes], Awaitable[bytes]]
"""Posts a body to a path next to the API's own and returns the response."""

NO_ENDPOINT_ERRORS: Final = (ProtocolViolation, BackendAuth, RequestRefused, ModelMissing)
"""Errors that mean that the path does not exist: the server will not be asked again."""

_COUNT: Final = re.compile(rb'"count"\s*:\s*(\d+)')
_TOKENS: Final = re.compile(rb'"tokens"\s*:\s*\[([\d,\s]*)\]')


class TokenizeUnsupported(ProtocolViolation):
    """The server has no endpoint that counts tokens."""

    def __init__(self, detail: str = "the server has no endpoint that counts tokens") -> None:
        super().__init__(detail)


class TokenizeEndpoint:
    """Counts with the server's own tokenizer.

    Args:
        post: sends a request.
        exists: False if the server is known to have no such endpoint.
    """

    def __init__(self, post: Post, *, exists: bool = True) -> None:
        self._post = post
        self._text_field: str | None = None if exists else ""

    async def count_text(self, text: str, model: str) -> int:
        """Tokens of a bare text.

        Raises:
            ModelError: TokenizeUnsupported, or the server cannot be reached.
        """
        text_field = await self._probe_once(model)
        return decode_count(
            await self._post(TOKENIZE_PATH, orjson.dumps(_TEXT_BODIES[text_field](text, model)))
        )

    async def count_chat(self, request: bytes, model: str) -> int:
        """Tokens of a conversation in the model's own template; raises as `count_text`.

        Args:
            request: the body that would be sent to chat/completions.
            model: the vendor's name of the model.
        """
        text_field = await self._probe_once(model)
        chat = orjson.loads(request)
        prompt = {key: chat[key] for key in ("messages", "tools") if key in chat}
        if text_field == "content":
            return await self._count_rendered(await self._post(TEMPLATE_PATH, orjson.dumps(prompt)))
        body = orjson.dumps({"model": model, **prompt, "add_generation_prompt": True})
        return decode_count(await self._post(TOKENIZE_PATH, body))

    async def _count_rendered(self, response: bytes) -> int:
        try:
            prompt = orjson.loads(response)["prompt"]
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("POST apply-template returned no prompt") from None
        body = orjson.dumps({"content": prompt, "add_special": True, "parse_special": True})
        return decode_count(await self._post(TOKENIZE_PATH, body))

    async def _probe_once(self, model: str) -> str:
        if self._text_field is None:
            self._text_field = await self._probe(model)
        if not self._text_field:
            raise TokenizeUnsupported
        return self._text_field

    async def _probe(self, model: str) -> str:
        """The name of the field that takes a text; empty if there is no such endpoint."""
        for text_field, encode in _TEXT_BODIES.items():
            try:
                # Zero tokens: the server ignored the text, since its field has another name.
                if decode_count(await self._post(TOKENIZE_PATH, orjson.dumps(encode(PROBE_TEXT, model)))):
                    return text_field
            except NO_ENDPOINT_ERRORS:
                continue
        return ""


def decode_count(body: bytes) -> int:
    """The count in a response, without parsing a million numbers.

    Raises:
        ProtocolViolation: there is none.
    """
    count = _COUNT.search(body, 0, 200) or _COUNT.search(body)
    if count is not None:
        return int(count[1])
    tokens = _TOKENS.search(body)
    if tokens is None:
        raise ProtocolViolation("POST tokenize returned no token count")
    return tokens[1].count(b",") + 1 if tokens[1].strip() else 0


_TEXT_BODIES: Final[Mapping[str, Callable[[str, str], dict[str, Any]]]] = {
    "prompt": lambda text, model: {"model": model, "prompt": text, "add_special_tokens": False},
    "content": lambda text, _: {"content": text, "add_special": False},
}
"""Name of the text's field → the body that counts a text."""
