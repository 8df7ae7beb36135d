"""The document as a source of pydantic-settings, which makes the settings out of it.

The reading itself is ours (document, environment): pydantic-settings' own sources know neither the place of a
value nor a variable that fits no field, and a configuration's mistakes are told by their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

_EMPTY: Final[Mapping[str, Any]] = {}
_values: ContextVar[Mapping[str, Any]] = ContextVar("values", default=_EMPTY)


@contextmanager
def settings_from(values: Mapping[str, Any]) -> Iterator[None]:
    """Inside the block a settings class takes from these values what its constructor is not given."""
    token = _values.set(values)
    try:
        yield
    finally:
        _values.reset(token)


class DocumentSource(PydanticBaseSettingsSource):
    """What `load` has read; nothing outside of it, so that settings made in code depend on nothing else."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._values = _values.get()

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """As pydantic-settings asks: the value, its key, and that it needs no decoding."""
        del field
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Everything, also what fits no field: the model refuses it by name."""
        return dict(self._values)
