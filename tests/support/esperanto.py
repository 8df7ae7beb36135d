"""A third language, as small as a pack can be: what it does not say in its own words, it has from English."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from clawdbot_dialogue.core.language.assent_grammar import AssentGrammar, any_of
from clawdbot_dialogue.core.language.en import LANGUAGE_PACK as ENGLISH
from clawdbot_dialogue.core.language.language_pack import SetPhrase
from clawdbot_dialogue.core.language.pattern_rules import YesNoRules

_ASSENT = AssentGrammar(
    assent=any_of("jes|certe|konsentite"),
    evaluation=any_of("bone|perfekte|bonege"),
    request=any_of("faru tion|mendu la tablon"),
    courtesy=any_of("dankon|multan dankon|mi petas"),
    greeting=any_of("saluton|bonan vesperon"),
    farewell=any_of("ĝis|ĝis revido"),
    filler="do",
    emoji="🙏",
    context=any_of("je |por |la "),
    context_after="",
    joiner="kaj ",
    edge=r"(?!\w)",
)
_YES_NO = YesNoRules(
    assent=_ASSENT.pattern(),
    fillers=re.compile("^(?:nu[ ,.]+)*"),
    neither=re.compile("eble"),
    no=re.compile(r"ne\b"),
    yes=re.compile(_ASSENT.yes),
    negation_after=re.compile(r"[ ,.!]*sed ne\b"),
).answer
_PHRASES = {"haltu": SetPhrase("cancel_flow"), "helpu": SetPhrase("help"), "homon": SetPhrase("handoff")}

LANGUAGE_PACK = replace(
    ENGLISH,
    name="eo",
    messages={**ENGLISH.messages, "yes": "jes", "no": "ne", "not_understood": "Mi ne komprenis."},
    set_phrase=_PHRASES.get,
    yes_no=_YES_NO,
    only_yes_no={"jes": True, "ne": False}.get,
)


def install(folder: Path, tag: str = "eo", value: str = f"{__name__}:LANGUAGE_PACK") -> None:
    """Writes a distribution with the entry point of a language, to a folder that is put on the path."""
    info = folder / f"clawdbot_{tag}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: clawdbot-{tag}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[clawdbot.languages]\n{tag} = {value}\n")
