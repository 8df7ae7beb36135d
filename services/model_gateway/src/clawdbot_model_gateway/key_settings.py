"""The section `api_keys` of a backend."""

from __future__ import annotations

from typing import Annotated, Any

from clawdbot_servicekit.settings import Secret, Section, Whole
from pydantic import Field, model_validator


class KeySettings(Section):
    """One of several keys; the key alone may stand for it."""

    key: Secret
    concurrency: Annotated[Whole, Field(ge=1, le=65_536)] | None = None
    """Requests that it is used for at the same time; omitted: http.pool_size."""

    @model_validator(mode="before")
    @classmethod
    def _expand_short_form(cls, values: Any) -> Any:
        return {"key": values} if isinstance(values, str) else values
