"""A third language, as small as a pack can be: what it does not say in its own words, it has from English."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from clawdbot_dialogue.core.language.en import LANGUAGE_PACK as ENGLISH
from clawdbot_dialogue.core.language.language_pack import SetPhrase

_YES_NO = {"jes": True, "ne": False}
_PHRASES = {"haltu": SetPhrase("cancel_flow"), "helpu": SetPhrase("help"), "homon": SetPhrase("handoff")}

LANGUAGE_PACK = replace(
    ENGLISH,
    name="eo",
    messages={**ENGLISH.messages, "yes": "jes", "no": "ne", "not_understood": "Mi ne komprenis."},
    set_phrase=_PHRASES.get,
    yes_no=_YES_NO.get,
    only_yes_no=_YES_NO.get,
)


def install(folder: Path, tag: str = "eo", value: str = f"{__name__}:LANGUAGE_PACK") -> None:
    """Writes a distribution with the entry point of a language, to a folder that is put on the path."""
    info = folder / f"clawdbot_{tag}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: clawdbot-{tag}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[clawdbot.languages]\n{tag} = {value}\n")
