"""What is wrong with an argument or a result is said in plain words."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated, Literal, get_type_hints

import pytest
from clawdbot_plugin_sdk.errors import InvalidArguments, InvalidResult
from clawdbot_plugin_sdk.schemas import Arguments, Result
from pydantic import AfterValidator, Field


def _even(number: int) -> int:
    if number % 2:
        raise ValueError("must be even")
    return number


async def book(
    *,
    day: dt.date,
    code: Annotated[str, Field(pattern=r"^[A-Z]{3}$")],
    size: Annotated[int, Field(ge=1)],
    pairs: Annotated[int, AfterValidator(_even)],
    kind: Literal["a", "b"],
    key: uuid.UUID,
) -> int:
    """Book."""
    del day, code, size, pairs, kind, key
    return 1


HINTS = {name: hint for name, hint in get_type_hints(book, include_extras=True).items() if name != "return"}


def test_arguments_get_plain_words():
    wrong = {"day": "soon", "code": "x", "size": 0, "pairs": 3, "kind": "c", "key": "k"}
    with pytest.raises(InvalidArguments) as refused:
        Arguments(book, HINTS, "book").validate(wrong)
    assert dict(refused.value.problems) == {
        "day": "must be a date such as 2026-05-01",
        "code": "does not have the required form",
        "size": "must be at least 1",
        "pairs": "must be even",
        "kind": "must be 'a' or 'b'",
        "key": "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000",
    }
    with pytest.raises(InvalidArguments) as refused:
        Arguments(book, HINTS, "book").validate({"extra": 1})
    assert dict(refused.value.problems)["extra"] == "does not exist"
    assert dict(refused.value.problems)["day"] == "is required"


def test_a_result_gets_plain_words():
    with pytest.raises(InvalidResult, match=r"result: must be a whole number"):
        Result(int, "book").serialize("many")
