"""The values that `load` has read, as a source of pydantic-settings.

We read the file and the environment ourselves: pydantic-settings' own sources know neither the position of a
value nor a variable that matches no field, and error messages need both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from typing_extensions import override

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
    """What `load` has read, and nothing else: settings that are made in code depend on nothing outside."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls)
        self._values = _values.get()

    @override
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """The value, its key, and that it needs no decoding."""
        del field
        return self._values.get(field_name), field_name, False

    @override
    def __call__(self) -> dict[str, Any]:
        """All values, including those that match no field: the model reports them as unknown keys."""
        return dict(self._values)
