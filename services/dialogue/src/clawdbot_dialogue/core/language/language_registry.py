"""Finds the installed languages, and loads a language's pack when a flow first speaks it.

A language is installed by an entry point of the group `clawdbot.languages`, from its BCP 47 tag, as flows
write it, to its LanguagePack.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

from clawdbot_servicekit.errors import StartupError

from clawdbot_dialogue.core.language.language_pack import LanguagePack

ENTRY_POINT_GROUP: Final = "clawdbot.languages"


@functools.cache
def installed_languages() -> Mapping[str, EntryPoint]:
    """Tag → entry point, in the order of the tags. Searched for once, since every turn asks.

    Raises:
        StartupError: two packages define the same language.
    """
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP)):
        known = found.setdefault(point.name, point)
        if known.value != point.value:
            raise StartupError(
                f"Two installed packages define the language {point.name}: {known.value} and {point.value}. "
                "Uninstall one of them."
            )
    return found


@functools.cache
def load_language_pack(tag: str) -> LanguagePack:
    """The pack of a language, imported on first use.

    Raises:
        KeyError: there is no such language.
        StartupError: it cannot be loaded.
    """
    point = installed_languages()[tag]
    try:
        pack = point.load()
    except Exception as error:
        raise StartupError(
            f"The language {tag} cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(pack, LanguagePack) or pack.name != tag:
        # Sessions store the pack's name, and find the language by it.
        raise StartupError(f"The language {tag} cannot be loaded: {point.value} is not its language pack.")
    return pack
