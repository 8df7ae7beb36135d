"""The grammar of lists in English: "Ann, Bob and Carol", "also Dave", "without Bob", "that's all"."""

from __future__ import annotations

import re

from clawdbot_dialogue.core.language.list_grammar import ListGrammar

_MARK = r"[ ,.!]+"
_PREFIX = re.compile(
    rf"^(?:(?:yes|yeah|ok|okay|well|sure|no|oh|but|wait|sorry|actually|please|just|only|also|and|plus|add|with"
    rf"|without|remove|drop|delete|take off|take out|not|there(?:'s| is| are| will be)|it(?:'s| is| will be)"
    rf"|they are|make it|i'd like|i would like|we'd like|i want|we want|we have|i have){_MARK})+",
    re.IGNORECASE,
)
_SUFFIX = re.compile(
    rf"(?:(?<![ ,.!]){_MARK}(?:please|thanks|thank you|too|as well|that's all|that's it))+$", re.IGNORECASE
)
_SEPARATOR = re.compile(r"[,;\n]\s*(?:(?:and|or|plus)\b|&)?|\band\b|\bplus\b|&", re.IGNORECASE)
_BEGUN = rf"^(?:(?:yes|yeah|no|oh|ok|okay|wait|sorry|actually|please|but){_MARK})*"
_ADDITION = re.compile(rf"{_BEGUN}(?:also|and|plus|add|another|with)\b|\b(?:too|as well|in addition)[ .!]*$")
_REMOVAL = re.compile(
    rf"{_BEGUN}(?:without|remove|drop|delete|cancel|take (?:off|out)|leave (?:off|out)|not|no)(?: the| my)?"
    r" (?!thanks|thank you|more|one else|that)"
)
_COMPLETION = re.compile(
    r"^(?:(?:no|nope|ok|okay|well|thanks)[ ,.!]+)*"
    r"(?:that(?:'s| is| will be|'ll be) (?:all|it|everything|enough|us)|nothing(?: else| more)?"
    r"|no(?:body| one)(?: else| more)?|no more|none|done|i'm done|i am done|all done"
    r"|just (?:that|those|these)|that(?:'s| is) (?:everyone|everybody|the lot))"
    r"(?:[ ,]+(?:thanks|thank you|for now|please))*[ .!]*$"
)

_ITEM_CHANGE = re.compile(
    rf"{_BEGUN}(?:i(?:'d| would) like to |can (?:you|i) |could (?:you|i) )?"
    r"(?:(?:make|change|switch|swap|replace|turn) (?P<both>.+)"
    r"|(?P<which>(?:the|my|both|all) .{1,60}?) (?:should|needs? to|has to|must|ought to) be (?P<into>.+))"
)


LIST_GRAMMAR = ListGrammar(
    prefix=_PREFIX, suffix=_SUFFIX, separator=_SEPARATOR, addition=_ADDITION, removal=_REMOVAL,
    completion=_COMPLETION, item_change=_ITEM_CHANGE,
    last_item=re.compile(r"(?:it|that(?: one)?|this(?: one)?|the last(?: one)?|mine)$"),
    all_items=re.compile(r"(?:both|all|them|all of them|both of them|everything)$"),
    joiner=", ", last_joiner=" and ",
)  # fmt: skip
