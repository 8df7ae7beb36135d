"""Splits a flow in several languages into one document per language, each with its own texts.

Each of these documents is a flow in one language. Validation, compilation and checks know nothing of the
other languages, and a session pays nothing for them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from clawdbot_dialogue.core.flow.diagnostics import DiagnosticCollector, Mark, suggest
from clawdbot_dialogue.core.flow.parse.localized import Localized
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.language.language_registry import installed_languages

DEFAULT_LOCALE = "en"
"""The language of a flow that names none."""
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class _LocalizableText:
    """A place where a mapping from locale to value may be written."""

    path: Path
    value: object
    annotation: Localized
    is_list: bool
    """Whether it is a list of phrases; a plain one is shared by all languages."""

    @property
    def variants(self) -> Mapping[str, object]:
        """By locale; empty if the value is plain, or if its keys do not look like locales."""
        value = self.value
        return value if isinstance(value, dict) and any(map(_LANGUAGE_TAG.fullmatch, value)) else {}


def split_by_locale(document: Document, diagnostics: DiagnosticCollector) -> list[tuple[str, Document]]:
    """The document in each of its languages, the default one first.

    Args:
        document: As written.
        diagnostics: Receives missing-variant and unknown-locale.
    """
    if not isinstance(document.data, dict):
        return [(DEFAULT_LOCALE, document)]
    names = _declared_locales(document.data, document, diagnostics)
    texts = list(_localizable_texts(FlowSource, document.data, ()))
    for text in texts:
        _check(text, names, document, diagnostics)
    localized = [text for text in texts if text.variants]
    return [
        (name, document.with_choices(_choices(localized, name)) if localized else document) for name in names
    ]


def _declared_locales(
    data: Mapping[str, Any], document: Document, diagnostics: DiagnosticCollector
) -> Sequence[str]:
    locales, single = data.get("locales"), data.get("locale")
    if not isinstance(locales, list):
        return [single if isinstance(single, str) and single in installed_languages() else DEFAULT_LOCALE]
    names: list[str] = []
    for index, name in enumerate(locales):
        if isinstance(name, str) and name not in installed_languages():
            report_unsupported_locale(name, document.at(("locales", index)), diagnostics)
        elif isinstance(name, str) and name not in names:
            names.append(name)
    if single is not None:
        hint = "Remove `locale`: the first of `locales` is the default."
        mark = document.key_at(("locale",))
        diagnostics.error("bad-value", "A flow can have `locale` or `locales`, not both.", mark, hint)
    return names or [DEFAULT_LOCALE]


def report_unsupported_locale(name: str, mark: Mark, diagnostics: DiagnosticCollector) -> None:
    """Adds unknown-locale for a locale that is not installed."""
    message = f'The locale "{name}" is not supported.'
    diagnostics.error("unknown-locale", message, mark, suggest(name, installed_languages()))


def _localizable_texts(kind: Any, data: object, path: Path) -> Iterator[_LocalizableText]:
    """The places in data of a type that the type's annotations mark as localizable."""
    if get_origin(kind) is Annotated:
        inner, *annotations = get_args(kind)
        annotation = next((each for each in annotations if isinstance(each, Localized)), None)
        if annotation:
            yield _LocalizableText(path, data, annotation, get_origin(inner) is list)
            return
        kind = inner
    for part, value, inner_path in _parts(kind, data):
        yield from _localizable_texts(part, value, (*path, *inner_path))


def _parts(kind: Any, data: object) -> Iterator[tuple[Any, object, Path]]:
    """The parts of data of a type: for each its type, its value, and its path in the data."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        yield from ((arm, data, ()) for arm in inner)
    elif origin is list:
        # One mapping may be written instead of a list of one.
        items = list(enumerate(data)) if isinstance(data, list) else []
        yield from ((inner[0], each, (index,)) for index, each in items)
        yield from [(inner[0], data, ())] if isinstance(data, dict) else []
    elif not isinstance(data, dict):
        return
    elif origin is dict:
        yield from ((inner[1], each, (key,)) for key, each in data.items())
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = _localizable_fields(kind)
        yield from ((fields[key], each, (key,)) for key, each in data.items() if key in fields)


@functools.cache
def _localizable_fields(model: type[BaseModel]) -> Mapping[str, Any]:
    """The keys of a model that are localizable or contain something that is, and their types."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        # Pydantic keeps the annotations of the whole field apart from its type.
        whole: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        if _is_localizable(whole):
            found[field.alias or name] = whole
    return found


def _is_localizable(kind: Any) -> bool:
    """Whether a type contains a localizable text, or a model, which may contain one."""
    if isinstance(kind, Localized) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return True
    return any(map(_is_localizable, get_args(kind)))


def _check(
    text: _LocalizableText, names: Sequence[str], document: Document, diagnostics: DiagnosticCollector
) -> None:
    if not text.variants:
        has_words = isinstance(text.value, str) and any(map(str.isalpha, _PLACEHOLDER.sub("", text.value)))
        if has_words and text.annotation.required and len(names) > 1:
            message = f"This text is in one language only; the flow declares {' and '.join(names)}."
            hint = f"Write {{{', '.join(f'{name}: …' for name in names)}}}."
            diagnostics.error("missing-variant", message, document.at(text.path), hint)
        return
    for name in text.variants:
        if name not in installed_languages():
            report_unsupported_locale(name, document.key_at((*text.path, name)), diagnostics)
        elif name not in names:
            mark = document.key_at((*text.path, name))
            hint = f"Write `locales: [{', '.join([*names, name])}]` at the top, or remove this variant."
            message = f'The flow does not declare the locale "{name}".'
            diagnostics.error("unknown-locale", message, mark, hint)
    for name in names:
        if name not in text.variants:
            diagnostics.error(
                "missing-variant",
                f'"{text.path[-1]}" has no variant for {name}.',
                document.at(text.path),
                f"Add {name}: {'[]' if text.is_list else '…'}",
            )


def _choices(localized: Sequence[_LocalizableText], locale: str) -> dict[Path, str]:
    """Which variant to use for each text; another one for a missing variant, which is reported already."""
    return {text.path: locale if locale in text.variants else next(iter(text.variants)) for text in localized}
