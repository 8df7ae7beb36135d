"""English alternatives, ranges and negations: "5 or 6", "5 to 6", "not Friday", "Friday doesn't work"."""

from __future__ import annotations

import re

_OR = re.compile(
    r"^[ ,]*(?:(?:(?:and |but )?(?:or|maybe|perhaps|possibly))"
    r"(?: (?:maybe|perhaps|even|possibly|else|at|on|in|the))*|to|-|–)[ ,]*$"
)
_TO = re.compile(r"^[ ,]*(?:(?:and )?(?:to|till|until|through)(?: (?:at|on|the))*|-|–)[ ,]*$")
_AND = re.compile(r"^ and(?: (?:at|on|the))* $")
_BETWEEN = re.compile(r"\bbetween(?: (?:the|about|around))* ?$")
_NOT = (
    r"(?<!why )(?<!whether or )not|never|except(?: for)?|instead of|rather than|other than"
    r"|any(?:thing|where|one|time| day| time)?(?: else)? but|every(?:thing|where| day) but"
    r"|(?:ca|wo|do|did|does|is|was|are|were)n't(?: (?:do|make|want|like|need|mean|say|work|be))*"
    r"|cannot(?: (?:do|make))?"
    r"|(?:(?:do|did|would|could|can) not|(?:would|could)n't) (?:want|like|need|mean|say|do|make)"
)
_NEGATED = re.compile(rf"\b(?:{_NOT})(?: (?:it|on|at|in|for|by|the|an?|this|next|too|sit|be|really))* $")
_THEN_NEGATED = re.compile(
    r"^(?: (?:at|on|in) all)? (?:(?:does|do|will|would|is|are)(?: not|n't)|won't|isn't|aren't) (?:really )?"
    r"(?:work|suit|do|go|good|great|ideal|possible|convenient|ok|okay|fine|right|what)\b"
    r"|^ (?:is|are|'s) (?:no good|impossible|bad|out\b|wrong)"
)


def are_alternatives(before: str, between: str) -> bool:
    """Whether two values are alternatives, given the text before and between them."""
    return bool(_OR.match(between) or (_AND.match(between) and _BETWEEN.search(before)))


def is_negated(before: str, after: str) -> bool:
    """Whether a value is negated, given the text before and after it."""
    return bool(_NEGATED.search(before) or _THEN_NEGATED.match(after))


def is_range(between: str) -> bool:
    """Whether the text between two values makes them the ends of a range."""
    return bool(_TO.match(between))
