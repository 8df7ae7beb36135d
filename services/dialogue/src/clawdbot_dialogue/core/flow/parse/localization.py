"""A flow in several languages: one document for each, every text in it chosen.

A document so made is a flow's in one language. Fitting, compiling and checking know nothing of the others,
and a conversation pays nothing for them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from clawdbot_dialogue.core.flow.diagnostics import Findings, nearest
from clawdbot_dialogue.core.flow.parse.localized import PerLocale
from clawdbot_dialogue.core.flow.parse.source_model import FlowSource
from clawdbot_dialogue.core.flow.parse.yaml_parser import Document, Path
from clawdbot_dialogue.core.language.language_pack import LOCALES

DEFAULT = "en"
"""The language of a flow that names none."""
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_GAP = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class _Text:
    """A place where variants may stand."""

    path: Path
    value: object
    mark: PerLocale
    listed: bool
    """Whether it is a list of phrases, which, written plain, is shared by all languages."""

    @property
    def variants(self) -> Mapping[str, object]:
        """By locale; empty where it is written plain, or holds what are no locales at all."""
        value = self.value
        return value if isinstance(value, dict) and any(map(_TAG.fullmatch, value)) else {}


def documents(document: Document, findings: Findings) -> list[tuple[str, Document]]:
    """The document in each of its languages, the default first; what is missing is told.

    Args:
        document: As written.
        findings: Takes missing-variant and unknown-locale.
    """
    if not isinstance(document.data, dict):
        return [(DEFAULT, document)]
    names = _languages(document.data, document, findings)
    texts = list(_texts(FlowSource, document.data, ()))
    for text in texts:
        _tell(text, names, document, findings)
    varied = [text for text in texts if text.variants]
    return [(name, document.choosing(_chosen(varied, name)) if varied else document) for name in names]


def _languages(data: Mapping[str, Any], document: Document, findings: Findings) -> Sequence[str]:
    listed, single = data.get("locales"), data.get("locale")
    if not isinstance(listed, list):
        return [single if isinstance(single, str) and single in LOCALES else DEFAULT]
    names: list[str] = []
    for at, name in enumerate(listed):
        if isinstance(name, str) and name not in LOCALES:
            mark = document.at(("locales", at))
            findings.error("unknown-locale", f'There is no locale "{name}".', mark, nearest(name, LOCALES))
        elif isinstance(name, str) and name not in names:
            names.append(name)
    if single is not None:
        hint = "Remove `locale`: the first of `locales` is the default."
        mark = document.key_at(("locale",))
        findings.error("bad-value", "A flow has `locale` or `locales`, not both.", mark, hint)
    return names or [DEFAULT]


def _texts(kind: Any, data: object, path: Path) -> Iterator[_Text]:
    """The places in data of a type where variants may stand, as the type's annotations mark them."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        mark = next((each for each in marks if isinstance(each, PerLocale)), None)
        if mark:
            yield _Text(path, data, mark, get_origin(inner) is list)
            return
        kind = inner
    for part, value, within in _parts(kind, data):
        yield from _texts(part, value, (*path, *within))


def _parts(kind: Any, data: object) -> Iterator[tuple[Any, object, Path]]:
    """The parts of data of a type: the type of each, itself, and where it stands within."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        yield from ((arm, data, ()) for arm in inner)
    elif origin is list:
        # One mapping may stand for a list of one.
        listed = list(enumerate(data)) if isinstance(data, list) else []
        yield from ((inner[0], each, (at,)) for at, each in listed)
        yield from [(inner[0], data, ())] if isinstance(data, dict) else []
    elif not isinstance(data, dict):
        return
    elif origin is dict:
        yield from ((inner[1], each, (key,)) for key, each in data.items())
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = _fields(kind)
        yield from ((fields[key], each, (key,)) for key, each in data.items() if key in fields)


@functools.cache
def _fields(model: type[BaseModel]) -> Mapping[str, Any]:
    """The keys of a model below which variants may stand, and their types."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        # Pydantic keeps what annotates the whole field apart from its type.
        whole: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
        if _may_vary(whole):
            found[field.alias or name] = whole
    return found


def _may_vary(kind: Any) -> bool:
    """Whether a text or a model is somewhere in a type; that a model holds none costs a look at it."""
    if isinstance(kind, PerLocale) or (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return True
    return any(map(_may_vary, get_args(kind)))


def _tell(text: _Text, names: Sequence[str], document: Document, findings: Findings) -> None:
    if not text.variants:
        plain = isinstance(text.value, str) and any(map(str.isalpha, _GAP.sub("", text.value)))
        if plain and text.mark.needed and len(names) > 1:
            message = f"This text is in one language only; the flow speaks {' and '.join(names)}."
            hint = f"Write {{{', '.join(f'{name}: …' for name in names)}}}."
            findings.error("missing-variant", message, document.at(text.path), hint)
        return
    for name in text.variants:
        if name not in LOCALES:
            mark = document.key_at((*text.path, name))
            findings.error("unknown-locale", f'There is no locale "{name}".', mark, nearest(name, LOCALES))
        elif name not in names:
            mark = document.key_at((*text.path, name))
            hint = f"Write `locales: [{', '.join([*names, name])}]` at the top, or remove this variant."
            findings.error("unknown-locale", f'The flow does not speak "{name}".', mark, hint)
    for name in names:
        if name not in text.variants:
            findings.error(
                "missing-variant",
                f'"{text.path[-1]}" has no variant for {name}.',
                document.at(text.path),
                f"Add {name}: {'[]' if text.listed else '…'}",
            )


def _chosen(varied: Sequence[_Text], locale: str) -> dict[Path, str]:
    """Which variant stands for each text; where one is missing, which has been told, another stands in."""
    return {text.path: locale if locale in text.variants else next(iter(text.variants)) for text in varied}
