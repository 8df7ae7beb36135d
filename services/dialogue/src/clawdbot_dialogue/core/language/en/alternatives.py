"""How English leaves a value open, or takes one back: "5 or 6", "not Friday", "anything but the terrace"."""

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
_DENIED = re.compile(rf"\b(?:{_NOT})(?: (?:it|on|at|in|for|by|the|an?|this|next|too|sit|be|really))* $")
_THEN_DENIED = re.compile(
    r"^(?: (?:at|on|in) all)? (?:(?:does|do|will|would|is|are)(?: not|n't)|won't|isn't|aren't) (?:really )?"
    r"(?:work|suit|do|go|good|great|ideal|possible|convenient|ok|okay|fine|right|what)\b"
    r"|^ (?:is|are|'s) (?:no good|impossible|bad|out\b|wrong)"
)


def either(before: str, between: str) -> bool:
    """Whether the texts before and between two values leave open which is meant."""
    return bool(_OR.match(between) or (_AND.match(between) and _BETWEEN.search(before)))


def denied(before: str, after: str) -> bool:
    """Whether the texts before and after a value take it back."""
    return bool(_DENIED.search(before) or _THEN_DENIED.match(after))


def spans(between: str) -> bool:
    """Whether the text between two values makes them the ends of a span."""
    return bool(_TO.match(between))
