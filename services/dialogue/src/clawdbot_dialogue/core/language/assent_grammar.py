"""A yes in all its words: what a message must consist of to confirm something that cannot be undone.

The grammar is closed. Each language lists phrases by what they do, and one word that stands in no list makes
the message something else, which is asked about. So does a mark of hesitation: the dots of "yes...".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from clawdbot_dialogue.core.language.normalization import VALUE

_MARK = r"(?:[\s,.!;。、~-]|:(?!-?\)))"
_HESITATION = r"[.。]\s*[.。]|[,、-]\s*[,、-]|[-,、:;][\s.!。]*$"
"""Dots in a row (normalizing makes them of an ellipsis), and a message that breaks off."""
_EMOJI_OF_ASSENT = "[👍✅👌🆗☑✔💯🙆]"
_EMOJI_VARIANT = r"[\ufe0f\U0001f3fb-\U0001f3ff]"


def any_of(*phrases: str) -> str:
    """A pattern for one of the phrases, which "|" separates, the longest first."""
    words = {each for phrase in phrases for each in phrase.split("|")}
    return f"(?:{'|'.join(re.escape(each) for each in sorted(words, key=len, reverse=True))})"


@dataclass(frozen=True, slots=True)
class AssentGrammar:
    """The classes of phrases that a yes may consist of, each a pattern.

    A message is a yes if it is, with marks and `joiner` between phrases,

        (greeting | courtesy | filler | value)* yes (yes | greeting | courtesy | filler | value | farewell)*

    where a yes is assent, an evaluation, a request or an emoji of assent.
    """

    assent: str
    """Says yes: "yes", "of course", "I would"."""
    evaluation: str
    """Approves of what is to be confirmed: "perfect", "that sounds really good"."""
    request: str
    """Asks to go on, or names the action: "go ahead", "please book the table"."""
    courtesy: str
    """Thanks, or is polite: "please", "thank you very much"."""
    greeting: str
    farewell: str
    filler: str
    """Adds nothing, and does not hesitate: "then", "for us"; not "well", "um" or "oh"."""
    emoji: str
    """Emoji that are only friendly: 🙏. What is friendly in one language mocks in another."""
    context: str
    """The words before a value: the "for" of "for 4 people"."""
    context_after: str
    """What stands after a value: 见 in 明天见; may match nothing."""
    joiner: str
    """Goes before a phrase: "and"."""
    edge: str
    """Looks at what follows a phrase: it must not be a longer word."""

    @property
    def yes(self) -> str:
        """A pattern for one phrase that says yes."""
        phrase = f"(?:{self.request}|{self.evaluation}|{self.assent}){self.edge}"
        return f"(?:{phrase}|{_EMOJI_OF_ASSENT}{_EMOJI_VARIANT}*+)"

    def pattern(self) -> re.Pattern[str]:
        """A pattern for a normalized message, with VALUE in place of what is accounted for, that is a yes."""
        value = f"(?:(?:{self.context})*+{VALUE}+(?:{self.context_after}))"
        polite = f"(?:{self.courtesy}|{self.filler}){self.edge}|{self.emoji}{_EMOJI_VARIANT}*+|{value}"
        greeting = f"{self.greeting}{self.edge}"
        after = f"(?:{self.farewell}{self.edge}|{greeting}|{self.yes}|{polite})"
        # Atomic groups: each phrase is read in one way, however long the message is.
        return re.compile(
            rf"(?!.*?(?:{_HESITATION}))(?>{_MARK}*)(?>(?:{greeting}|(?!{self.yes})(?:{polite})){_MARK}*)*+"
            rf"(?>{self.yes})(?>{_MARK}*(?:{self.joiner})?{after})*+(?>{_MARK}*)"
        )
