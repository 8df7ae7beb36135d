"""The English grammar of assent.

Not in it: "no problem", "why not", "that's okay" and "no, that's fine", which also decline an offer; "well",
"um" and "oh", which hesitate or mock.
"""

from __future__ import annotations

from clawdbot_dialogue.core.language.assent_grammar import AssentGrammar, any_of
from clawdbot_dialogue.core.language.normalization import VALUE

_EDGE = r"(?![\w'])"
_NOT_MOCKED = r"(?!(?<!yes),? right(?! now| away))"
""""Yeah, right" is a no."""
_YES = any_of(
    "yea|ya|y|aye|yessir|sure|sure thing|for sure|ok|okay|k|alright|all right|of course|indeed|please",
    "absolutely|definitely|certainly|most certainly|totally|naturally|surely|exactly|precisely|affirmative",
    "agreed|i agree|we agree|confirm|confirmed|i confirm|true|positive|100%|100 %|one hundred percent",
    "by all means|with pleasure|gladly|very well|you bet|why yes|oh yes|ah yes|good to go|all set|it is",
    "i do|i am|i would|i will|we do|we are|we would|we will|i'm sure|i am sure|i'm certain",
    "i'd appreciate that|i would appreciate that|i'd be delighted|i'd be happy to",
    "no changes|no more changes|no further changes|nothing to change|no corrections",
    "no objection|no objections",
)
ASSENT = rf"(?:(?:{_YES}|(?:yes+|ye+s+|yep+|yup+|yeah+|okay+|okey dokey)){_EDGE}{_NOT_MOCKED})"

_PRAISE = (
    "correct|good|great|perfect|lovely|wonderful|excellent|brilliant|fantastic|amazing|awesome|ideal|superb"
    "|splendid|marvellous|marvelous|terrific|fabulous|delightful|spot on|exactly right"
)
_WHAT_I_WANT = "it|exactly it|the one|what i want|what we want|exactly what i want|exactly what we want"
_MILD_PRAISE = "fine|nice|cool|ok|okay|alright|all right"
"""Only where it does not answer "are you all right?"."""
_DEGREES = f"(?:{any_of('absolutely|really|very|so|totally|completely|perfectly|simply|all|quite|most')} )*+"
_IT = "(?:that|it|this|everything|all|all of it|all of that|which)"
_IT_LOOKS = (
    "(?:(?:(?:that|it|this)(?: all)? |everything |all (?:of (?:it|that) )?)?"
    "(?:sounds|looks|would be|will be) )"
)
_IT_WORKS = "(?:(?:that|it|this|(?:that|the|this) (?:time|date|day)) )?"
_WELL = f"(?: {_DEGREES}{any_of('fine|well|great|perfectly|nicely')})?"
_TO_ME = "(?: (?:to|for|by|with) (?:me|us))?"
EVALUATION = (
    rf"(?:{_IT_LOOKS}{_DEGREES}{any_of(_PRAISE, _MILD_PRAISE, 'right')}{_TO_ME}"
    rf"|{_IT}(?:'s|'d be|'ll be| is| would be| will be)? {_DEGREES}"
    rf"{any_of(_PRAISE, _WHAT_I_WANT, 'right')}{_TO_ME}"
    rf"|(?:that|everything|this)(?:'s| is|'d be| would be) {_DEGREES}fine{_TO_ME}"
    rf"|that(?:'s| is) all|all (?:fine|ok|okay)"
    rf"|{_IT_WORKS}works{_WELL}{_TO_ME}|{_IT_WORKS}suits (?:me|us){_WELL}"
    rf"|(?:that|it|this)(?:'ll| will) do{_WELL}"
    rf"|(?:(?:i'm|i am|we're|we are) (?:very )?)?happy with (?:that|it|this)"
    rf"|(?:{any_of('absolutely|really|very|perfectly|simply')} )?"
    rf"(?:right(?! away| now)|{any_of(_PRAISE, 'cool|nice|fine|all good')}){_TO_ME})"
)

_ACTION = any_of("book|reserve|confirm|order|send|submit|place|schedule|finalize|finalise|complete|do")
_NOUN = any_of("table|booking|reservation|order|appointment|request")
_WHAT = f"(?:(?:(?:the|my|our|this|that|a) )?{_NOUN}|it|that|this|them|so|me in|us in)"
_ASK = (
    "(?:(?:yes|please|kindly|let's|let us|just|now|and|you can|you may|can you|could you|would you"
    "|(?:i|we)(?:'d| would) (?:like|love)(?: you)? to|(?:i|we) want(?: you)? to|i(?= confirm)) )*+"
)
_GO_AHEAD = any_of("go ahead|proceed|continue|carry on|go for it|go on")
REQUEST = (
    rf"(?:(?:{_ASK}(?:{_GO_AHEAD}(?: (?:with|and) (?:(?:{_ACTION} )?{_WHAT}|{_ACTION}))?"
    rf"|{_ACTION} {_WHAT}|make (?:the|my|our|this|that|a) {_NOUN})"
    rf"|please (?:do|book|reserve|confirm)|book|let's go"
    rf"|(?:i|we)(?:'d| would)(?: really)? (?:like|love) (?:that|this|it|to)(?: very much| a lot)?"
    rf"|(?:i|we)(?: do)? want (?:that|this|it)|(?:don't|do not) change (?:anything|a thing))(?! {VALUE}))"
)
"""Not beside a bare value: "do it tomorrow" puts it off, "book it for tomorrow" does not."""

_THANKED = "(?:for|with) (?:the|your|all your|all the) (?:help|time|assistance|service|patience|support)"
COURTESY = (
    rf"(?:(?:many )?{any_of('thanks|thank you|thank u|thx|ty|tysm|cheers|ta')}"
    rf"(?: (?:{any_of('very much|so much|so very much|ever so much|a lot|a million|a bunch|again|kindly')}"
    rf"|in advance|indeed|{_THANKED}))*+"
    rf"|{any_of('please|kindly|if you please|sir|madam|much appreciated|much obliged')}|ma'am"
    r"|(?:i|we) appreciate (?:it|that)|(?:i'd|i would|we'd|we would) appreciate (?:it|that)"
    r"|i'm (?:very |so )?grateful|(?:that's |that is |how )?(?:very |so |really )?kind(?: of you)?"
    r"|you're (?:very |so )?(?:kind|the best|a star))"
)
GREETING = (
    r"(?:(?:hi+|hello|hey+|hiya|howdy|greetings|good (?:morning|afternoon|evening|day))"
    r"(?: (?:there|again|everyone|all))?)"
)
FAREWELL = (
    r"(?:bye+(?: bye+)?(?: now)?|bye-bye|good ?bye|good night|take care|you too|all the best"
    r"|until then|talk soon"
    r"|see (?:you|ya)(?: (?:later|soon|then|there|around))?|(?:best |kind )?regards"
    rf"|have a (?:very |really )?{any_of('nice|good|great|lovely|wonderful|pleasant|fantastic|beautiful')}"
    r" (?:day|evening|one|night|afternoon|morning|weekend|time)"
    r"|(?:i'm |we're |i am |we are )?(?:really )?looking forward to it|(?:i|we) look forward to it"
    r"|(?:i |we )?can't wait)"
)
FILLER = any_of(
    "then|now|right now|right away|straight away|immediately|asap|for me|for us|as is",
    "it all|everything|all of it",
)

GRAMMAR = AssentGrammar(
    assent=ASSENT,
    evaluation=EVALUATION,
    request=REQUEST,
    courtesy=COURTESY,
    greeting=GREETING,
    farewell=FAREWELL,
    filler=FILLER,
    emoji=r"(?:[🙏🙂😊😀😃😄☺❤🎉🥰🤗]|:-?\))",
    context=(
        r"(?:at|for|on|in|with|to|the|under|name|of|my|is|it's|it is|that's|that is|a|table|see you"
        r"|we're|we are|and) "
    ),
    context_after=rf"(?: (?:is|are|sounds|works|would be) {_DEGREES}(?=[a-z]))?(?! {REQUEST})",
    joiner="and ",
    edge=_EDGE,
)
