"""The Chinese grammar of assent.

No space marks the end of a word, so a yes of one character counts only before a mark or a word of another
class. Each group of words has its own particles: 好吧 is a yes, but 没错吧 asks, and 好了 and 行了 want to be
done with it.

Not in it: 都行, 没关系 and 不要紧, which are no clear answer to an offer; 哦, 额 and 呃, which hesitate; 🙂,
which mocks.
"""

from __future__ import annotations

from clawdbot_dialogue.core.language.assent_grammar import AssentGrammar, any_of
from clawdbot_dialogue.core.language.normalization import VALUE

_END = (
    rf"(?=[\s,.!;。、:~👍✅👌🆗☑✔💯🙆🙏😊-]|$|{VALUE}"
    r"|谢|多谢|感谢|非常感谢|十分感谢|麻烦|辛苦|拜托|请|帮|订|预[订定]|那就)"
)
"""What may follow a yes of one character, or one that takes an object: 需要好的 is a wish."""
_NO_CONDITION = "(?<![以行好对是成中妥要有题错])"
"""Before 就: 可以就订 is a condition."""
_THEN = f"(?:那就|这就|{_NO_CONDITION}就)"
_PARTICLE = "[啊呀啦哈哟]"
_OF_COURSE = f"[的哒滴](?:{_PARTICLE}|[呢哦噢喔])?"
ASSENT = (
    rf"(?:(?:那|{_THEN})?(?:"
    rf"(?:好|行|成|中|妥)(?:{_OF_COURSE}|嘞|{_PARTICLE}|[吧哦噢喔]|{_END})"
    rf"|(?:对|是)(?:{_OF_COURSE}|{_PARTICLE}|{_END})"
    rf"|{any_of('可以|没问题|没有问题|没啥问题|没错|当然可以|当然|当然了')}(?:{_OF_COURSE}|{_PARTICLE}|[哦噢])?)"
    rf"|我?(?:同意|愿意|确定|确认|正确)(?:{_OF_COURSE}|{_PARTICLE}|了)?"
    rf"|我?(?:要|需要|有|是)(?:的|{_PARTICLE}|(?<=要)了)?{_END}"
    rf"|(?:嗯+|恩+)[呐哪]?|{any_of('好好|好好好|对对|对对对|是是|是是是|行行|行行行')}{_END}"
    rf"|{any_of('可以可以|对头|哦了|妥了|妥妥的|成交|得嘞|正是|必须的|一定|一定的|是这样|是这样的')}"
    rf"|{any_of('不用改|不用改了|不用改动|不需要改|不改|不改了|不变|没有要改的|没有要改的了|没什么要改的')}"
    rf"|(?:ok)+[的啦呀]?|{any_of('okay|yes|yeah|yep|y|sure|1')})"
)

_IT = "(?:这样|这个|一切|听起来|看起来|看上去|那|那真是|这|真是)?"
_DEGREE = any_of("非常|很|挺|太|真|真是|特别|十分|超|超级|最")
EVALUATION = (
    rf"(?:{_IT}{_DEGREE}{any_of('好|棒|完美|满意|合适|不错|赞')}[的了啊呀啦]*+"
    rf"|{_IT}{any_of('不错|完美|好极了|棒极了|好得很|完全正确|完全同意|完全可以|完全没问题')}(?:的|啊|呀|哦)?"
    rf"|{any_of('全对|没毛病|无误|确认无误|核对无误|都没问题|都没错|都对')}(?:的|了)?"
    rf"|(?:那|{_NO_CONDITION}){any_of('就这样|就是这样|就这么定|就这么办|就这么定了|就这些|就这个|就要这个|就它了')}吧?"
    rf"|这样就[好行])"
)

_BOOK = any_of("预订|预定|预约|订位|订座|订桌|下单|下订|订|定|安排|办理|提交")
_WHAT = any_of("一下|一个|一桌|个|这个|这桌|上|好|下来|下|位子|座位|位置|桌子|餐位|它")
_ASK = rf"(?:请|麻烦|拜托|劳驾|烦请|有劳|帮忙|那|{_THEN}|现在|马上|直接|尽快|您|你|可以)*+"
REQUEST = (
    rf"(?:{_ASK}(?:(?:帮|给|替|为)我们?|我?(?:要|想|想要))?(?:{_BOOK}(?:{_WHAT})*+(?:吧|了|啊|呀|哦|啦)?(?<!好了)"
    r"|继续(?:吧|预订)?)|(?:请|麻烦|那就)[您你]?确认吧?(?!一)|确认吧)"
)

COURTESY = (
    r"(?:(?:非常|十分|太|真是|万分|真的|真|很)*+(?:谢了|谢啦|费心|劳驾"
    rf"|{any_of('谢谢|多谢|感谢|感激|感激不尽|辛苦|麻烦|拜托|有劳')}(?:你们|您们|大家|[你您])?(?:的?(?:帮助|帮忙|服务))?)"
    r"[了啦啊呀哦哈]?|请|3q|thx|thanks|thank you|please)"
)
GREETING = any_of(
    "您好|你好|你们好|您好呀|你好呀|你好啊|哈喽|嗨|早|早安|早上好|上午好|中午好|下午好|晚上好|hi|hello|hey"
)
FAREWELL = (
    rf"(?:{any_of('再见|拜拜|回见|回头见|到时见|到时候见|明天见|改天见|晚安|先这样|bye|byebye|88|886')}[啦了哦吧]?"
    r"|祝(?:您|你|你们)?(?:生活|工作|一切|周末|今天)?(?:愉快|顺利|开心))"
)

GRAMMAR = AssentGrammar(
    assent=ASSENT,
    evaluation=EVALUATION,
    request=REQUEST,
    courtesy=COURTESY,
    greeting=GREETING,
    farewell=FAREWELL,
    filler=any_of("那|那就|那么|现在|马上"),
    emoji="[🙏😊😀😃😄☺❤🎉🥰🤗🌹]",
    context=(
        rf"以|用|在|留名|署名|我?名字[是叫]|我叫|我姓|预订人是?|联系人是?|{_THEN}|是|订|晚上|下午|中午|早上|上午"
        r"|[:\s]"
    ),
    # 日 is left of a date before a time: 11月25日19:00. 明天订 puts the booking off.
    context_after=rf"(?:(?<={VALUE * 3})日)?(?:\s?的?(?:名义|名字|名下))?[的了啊呀吧哦呢啦见]*+(?!{REQUEST})",
    joiner="",
    edge=r"(?:(?<![a-z0-9])|(?![a-z0-9]))",
)
