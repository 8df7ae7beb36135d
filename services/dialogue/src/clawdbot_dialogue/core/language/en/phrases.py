"""English set phrases: yes and no, commands, small talk, corrections and stated names."""

from __future__ import annotations

import re
from collections.abc import Callable

from clawdbot_dialogue.core.language.assent_grammar import any_of
from clawdbot_dialogue.core.language.en.assent import GRAMMAR
from clawdbot_dialogue.core.language.language_pack import SetPhrase
from clawdbot_dialogue.core.language.normalization import MAX_READ_CHARS
from clawdbot_dialogue.core.language.pattern_rules import SetPhraseRules, YesNoRules

_NO = any_of(
    "no|nope|nah|na|n|no thanks|no thank you|not really|not at all|not quite|not yet|not now|no way",
    "never|negative|don't|do not|please don't|rather not|i'd rather not|i would rather not|i don't",
    "i do not|i'm not|i am not|we don't|we're not|wrong|that's wrong|that is wrong|it's wrong|incorrect",
    "that's incorrect|not correct|not right|that's not right|that is not right|that's not correct",
    "that's not it|i don't think so|i think not|i wouldn't|it isn't|it's not|it is not|false",
    "absolutely not|certainly not|definitely not|of course not|👎|❌",
)
_NEITHER = re.compile(
    r"\b(?:not (?:so |too |really |quite )?sure|don't know|do not know|dunno|no idea|maybe|perhaps"
    r"|possibly|depends|(?:don't|do not) (?:forget|worry|mind|care)"
    r"|what if|hang on|hold on|wait|unsure|(?:i'm|i am|we're|we are) (?:all )?(?:fine|good|ok|okay|all right"
    r"|alright))\b|^yeah,? right\b"
    r"|^no (?:problem|worries|(?:more |further )?changes|corrections|objections?)\b"
    r"|^no[ ,.!]+(?:(?:it|that|all|everything)(?:'s| is)? (?:all )?|all )"
    r"(?:fine|right|good|ok|okay|correct|perfect|great)\b|^(?:don't|do not) change (?:anything|a thing)\b"
)
_FILLERS = re.compile(
    r"^(?:(?:um+|uh+|er+|hm+|well|oh|ah|so|and|then|hi|hello|hey|okay so)[ ,.!]+)*"
    r"(?:please[ ,]+(?=no\b|don't|do not))?"
)
_THEN_NOT = re.compile(r"[ ,.!]*(?:but (?:no|not)|on second thou?ghts?|actually (?:no|not|don't))\b")

yes_no: Callable[[str], bool | None] = YesNoRules(
    assent=GRAMMAR.pattern(),
    fillers=_FILLERS,
    neither=_NEITHER,
    no=re.compile(rf"{_NO}(?!\w)"),
    yes=re.compile(GRAMMAR.yes),
    negation_after=_THEN_NOT,
).answer


_NOTHING_ELSE = re.compile(
    rf"(?>{GRAMMAR.yes}|{_NO}(?!\w))(?:[ ,.!]+(?>{GRAMMAR.yes}|{_NO}(?!\w)|thanks|thank you))*+[ .!]*"
)


def only_yes_no(text: str) -> bool | None:
    """As `yes_no`, for a message that says nothing else; otherwise None."""
    answer = yes_no(text)
    return answer if answer or _NOTHING_ELSE.fullmatch(_FILLERS.sub("", text)) else None


_POLITE_END = (
    r"(?:[ ,]+(?:please|thanks|thank you|now|then|sorry|for now|everything|it all|all of it))*[ .!]*$"
)
_POLITE_PREFIX = (
    r"(?:please |can you |could you |can we |could we |can i |could i |may i |i want to |i wanna "
    r"|i'd like to |i would like to |let's |just |i need to |i'd rather |i have to |no,? |okay,? |ok,? "
    r"|sorry,? |actually,? )*"
)
_CANCEL = re.compile(
    rf"^{_POLITE_PREFIX}(?:(?:cancel|stop|quit|abort|exit|never ?mind|forget)"
    r"(?: (?:it|that|this|about it|about that|all|everything|(?:the|my|this|that) [\w-]+(?: [\w-]+)?))?"
    r"|(?:leave|drop|end)(?: (?:it|that|this|all|everything|(?:the|my|this) (?:whole )?"
    r"(?:booking|reservation|order|appointment|request|process|chat|conversation|thing|matter)))?)"
    rf"{_POLITE_END}|^i(?:'ve| have)? changed my mind{_POLITE_END}"
    rf"|^i don't want (?:this|that|to) any ?more{_POLITE_END}"
)
_PERSON = (
    r"(?:(?:a|an|the|some|your|real|actual|live|human|another|any) )*"
    r"(?:human(?: being)?|person|agent|someone|somebody|operator|representative|rep|staff|manager|supervisor"
    r"|colleague|employee|support(?: team| agent)?|customer (?:service|support)|assistant|advisor"
    r"|adviser|waiter"
    r"|member of staff)"
)
_HAND_OFF = re.compile(
    r"\b(?:talk|speak|chat|connect|transfer|pass|put|get|hand|switch|forward|refer)(?: me| us| this)?"
    rf"(?: over| on| through)?(?: to| with)? {_PERSON}\b"
    rf"|^(?:no,? |please |i (?:want|need) |i'd like |give me |get me )*{_PERSON}{_POLITE_END}"
)
_HELP = re.compile(
    r"^(?:please )?(?:help(?: me)?|i need (?:some )?help|can you help(?: me)?|what can (?:you do"
    r"|i (?:say|do|ask))"
    r"|what (?:are|were) my (?:options|choices)|how does (?:this|it) work|what now|what do i do|options|\?+)"
    r"(?:[ ,]+(?:please|now|here))*[ ?.!]*$"
)
_SMALL_TALK = (
    ("greeting", re.compile(
        r"^(?:hi+|hello|hey+|hiya|howdy|greetings|good (?:morning|afternoon|evening|day))"
        r"(?: there| everyone| all| again| bot)?[ ,.!]*$")),
    ("thanks", re.compile(
        r"^(?:many |ok |okay |great |perfect )?,? ?(?:thanks|thank you|thx|cheers|ta|much appreciated)"
        r"(?: (?:a lot|so much|very much|for (?:your|the) help|again|anyway|you))*[ .!]*$")),
    ("how_are_you", re.compile(
        r"^(?:hi |hello |hey )?,? ?(?:how are you(?: doing)?(?: today)?|how's it going"
        r"|how do you do|what's up)[ ?.!]*$")),
    ("farewell", re.compile(
        r"^(?:ok |okay |thanks,? )?(?:bye+|goodbye|bye bye|see (?:you|ya)(?: later| soon| then)?"
        r"|good night|take care"
        r"|have a (?:nice|good|great) (?:day|evening|one))[ .!]*$")),
)  # fmt: skip


set_phrase: Callable[[str], SetPhrase | None] = SetPhraseRules(_HAND_OFF, _CANCEL, _HELP, _SMALL_TALK).match


_CORRECTS = re.compile(
    r"^(?:(?:oh|no|nope|wait|sorry|oops|hmm|well|hang on|hold on|please|yes but|but)[ ,.!]+)*"
    r"(?:actually|i meant|i mean|i said|make (?:it|that)|change|correction|rather|instead"
    r"|let's make|can we make"
    r"|could we make|can you make|could you make|better)\b|^(?:no|wait|sorry|oops|hang on|hold on)[ ,.!]+\S"
)
_QUESTION = re.compile(
    r"\?\s*$|^(?:(?:hi|hello|hey|ok|okay|and|but|also|by the way|btw|quick question|one question)[ ,:]+)*"
    r"(?:what|when|where|which|who|how|do you|does|is there|are there|are you|can (?:i|we|you)"
    r"|could|may i|tell me"
    r"|i want to|i'd like to|i would like to)\b"
)
_CHANGED = re.compile(
    r"\b(?:change|correct|fix|alter|modify|update|edit|wrong|different|another|other|not the right)"
    r"(?: the| my| our| that| a)? (?P<after>[\w' -]{2,60})"
    r"|\b(?:the |my |our )?(?P<before>[\w' -]{2,40}?) (?:is|was|are) (?:wrong|incorrect|not right)"
)


_IN_CHANGED = (
    "change", "correct", "fix", "alter", "modify", "update", "edit", "wrong", "different", "other", "not",
)  # fmt: skip


def is_correction(text: str) -> bool:
    """Whether the message begins like a correction."""
    return bool(_CORRECTS.match(text))


def is_question(text: str) -> bool:
    """Whether the message is a question or a request, not an answer."""
    return bool(_QUESTION.search(text))


def slot_to_change(text: str) -> str:
    """What the person wants to change; empty if nothing."""
    found = _CHANGED.search(text) if any(map(text.__contains__, _IN_CHANGED)) else None
    return (found["after"] or found["before"]) if found else ""


_CHANGED_TO = re.compile(
    r"\b(?:change|correct|set|update|make|edit|modify)\b[^,.;:]{1,60}? (?:to|into) (?P<value>.+?)"
    r"(?:[ ,]+(?:please|instead|thanks))*[ .!]*$",
    re.IGNORECASE | re.DOTALL,
)


def new_value(text: str) -> str:
    """The value that the person wants instead; empty if they do not say."""
    found = _CHANGED_TO.search(text.strip()[:MAX_READ_CHARS])
    return found["value"] if found else ""


_NAME_PREFIX = re.compile(
    r"^(?:(?:hi|hello|hey|yes|ok|okay|sure|well)[ ,.!]+)*"
    r"(?:(?:my|the|our|her|his|their) (?:full )?name(?: is|'s| would be)|it'?s|it is|i'?m|i am"
    r"|this is|call me|name'?s"
    r"|(?:put it |book it )?(?:under|in|on|for)(?: the)?(?: name)?(?: of)?|make (?:it|that))\s+",
    re.IGNORECASE,
)
_NAME_SUFFIX = re.compile(r"(?:^|[\s,])(?:please|thanks|thank you)$", re.IGNORECASE)
_MAX_NAME_SENTENCE = 200
"""Characters of a sentence that states a name; a longer text is returned as it is."""


def bare_name(text: str) -> str:
    """The name in "My name is Ada Lovelace, please."."""
    text = text.strip()
    if len(text) > _MAX_NAME_SENTENCE:
        return text
    name = _NAME_PREFIX.sub("", text).rstrip(" \t\n,.!")
    return _NAME_SUFFIX.sub("", name).rstrip(" \t\n,.!")


_NAMED = re.compile(
    r"\b(?:my name(?: is|'s)|(?:in|under|on|for) the name(?: of)?|the name(?: is|'s)"
    r"|(?:book|put) (?:it )?under)\s+"
    r"(?!(?:wrong|incorrect|not)\b)(?P<name>(?-i:[^\W\d_a-z][\w'’.-]*(?:\s+[^\W\d_a-z][\w'’.-]*){0,4})|[\w'’-]+)",
    re.IGNORECASE,
)


def stated_name(text: str) -> str:
    """The name in "a table for 4 under the name of Ada Lovelace, please"."""
    found = _NAMED.search(text)
    return found["name"].rstrip(".'-") if found else ""


def humanize(identifier: str) -> str:
    """An identifier in words: "party_size" → "party size"."""
    return identifier.replace("_", " ").strip().lower()
