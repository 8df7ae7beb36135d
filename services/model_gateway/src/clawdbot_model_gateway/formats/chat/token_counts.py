"""POST /tokenize beside /v1, where a server has it: vLLM's and SGLang's kind, or llama.cpp's.

Which kind it is is asked once. vLLM takes a text as `prompt`, or messages and tools, and answers `count`;
llama.cpp takes a text as `content`, answers `tokens`, and makes a text of messages at /apply-template.
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

TOKENIZE: Final = "tokenize"
TEMPLATE: Final = "apply-template"
PROBE: Final = "one two"

Ask = Callable[[str, bytes], Awaitable[bytes]]
"""Posts a body to a path beside the API's own, and answers what came."""

NOT_HERE: Final = (ProtocolViolation, BackendAuth, RequestRefused, ModelMissing)
"""Failures that say that there is no such path: it will not be asked again."""

_COUNT: Final = re.compile(rb'"count"\s*:\s*(\d+)')
_TOKENS: Final = re.compile(rb'"tokens"\s*:\s*\[([\d,\s]*)\]')


class CountsNothing(ProtocolViolation):
    """The server has no endpoint that counts."""

    def __init__(self, detail: str = "it has no endpoint that counts tokens") -> None:
        super().__init__(detail)


class TokenEndpoint:
    """Counts by the server's own tokenizer.

    Args:
        ask: posts.
        there: False where it is known that there is no such endpoint.
    """

    def __init__(self, ask: Ask, *, there: bool = True) -> None:
        self._ask = ask
        self._kind: str | None = None if there else ""

    async def text(self, text: str, model: str) -> int:
        """Tokens of a bare text.

        Raises:
            ModelFailure: CountsNothing, or the server is away.
        """
        kind = await self._known(model)
        return counted(await self._ask(TOKENIZE, orjson.dumps(_TEXTS[kind](text, model))))

    async def chat(self, request: bytes, model: str) -> int:
        """Tokens of a conversation with the model's own framing; raises as `text`.

        Args:
            request: the body that would be sent to chat/completions.
            model: the vendor's name of the model.
        """
        kind = await self._known(model)
        whole = orjson.loads(request)
        body = {key: whole[key] for key in ("messages", "tools") if key in whole}
        if kind == "content":
            made = orjson.dumps(body)
            return await self._templated(await self._ask(TEMPLATE, made))
        made = orjson.dumps({"model": model, **body, "add_generation_prompt": True})
        return counted(await self._ask(TOKENIZE, made))

    async def _templated(self, answer: bytes) -> int:
        try:
            prompt = orjson.loads(answer)["prompt"]
        except (ValueError, TypeError, KeyError):
            raise ProtocolViolation("what it answers to POST apply-template is no prompt") from None
        body = orjson.dumps({"content": prompt, "add_special": True, "parse_special": True})
        return counted(await self._ask(TOKENIZE, body))

    async def _known(self, model: str) -> str:
        if self._kind is None:
            self._kind = await self._probed(model)
        if not self._kind:
            raise CountsNothing
        return self._kind

    async def _probed(self, model: str) -> str:
        """The kind: the field that a text goes into; empty where there is no such endpoint."""
        for kind, body in _TEXTS.items():
            try:
                # An empty list: it did not see the text, since the field has another name.
                if counted(await self._ask(TOKENIZE, orjson.dumps(body(PROBE, model)))):
                    return kind
            except NOT_HERE:
                continue
        return ""


def counted(body: bytes) -> int:
    """The count in an answer, without making a million numbers of it.

    Raises:
        ProtocolViolation: there is none.
    """
    count = _COUNT.search(body, 0, 200) or _COUNT.search(body)
    if count is not None:
        return int(count[1])
    tokens = _TOKENS.search(body)
    if tokens is None:
        raise ProtocolViolation("what it answers to POST tokenize is no count")
    return tokens[1].count(b",") + 1 if tokens[1].strip() else 0


_TEXTS: Final[Mapping[str, Callable[[str, str], dict[str, Any]]]] = {
    "prompt": lambda text, model: {"model": model, "prompt": text, "add_special_tokens": False},
    "content": lambda text, _: {"content": text, "add_special": False},
}
"""Kind → the body that counts a text."""
