"""Chinese set phrases: yes and no, commands, small talk and corrections.

No space marks the end of a word, so a phrase of one character counts only if the next characters do not make
it another word: 对 is yes, 对不起 is not. Common English words in Chinese text (ok, yes, bye) are understood
too.

Within (…)* no alternative may be composed of others: each one would double the time that a hostile message
takes.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from clawdbot_dialogue.core.language.assent_grammar import any_of
from clawdbot_dialogue.core.language.language_pack import SetPhrase
from clawdbot_dialogue.core.language.normalization import MAX_READ_CHARS
from clawdbot_dialogue.core.language.pattern_rules import SetPhraseRules, YesNoRules
from clawdbot_dialogue.core.language.zh.assent import GRAMMAR

_STOP = r"[\s,.!?;。、~…]"
# 嗯 alone is a yes; before another yes or no it is a filler.
_FILLERS = re.compile(
    rf"^(?:(?:嗯+(?={_STOP}+(?:不|没|别|算|好|对|可以|行|是))|呃+|啊+|哦+|噢+|额+|那个?"
    rf"|这个|你好|您好|唉|哎){_STOP}+)+"
)
_PARTICLE = "[的了啊呀吧哦呢啦嘛喔哈滴哒诶]"
_END = rf"(?:{_PARTICLE}*(?={_STOP}|$))"
_NO_LONG = any_of(
    "不是|不对|不用了|不用|不要了|不要|不行|不可以|不好|不了|不需要|不想|不确认|不同意|不正确|不必|不急"
    "|不紧急|没有|错了|不太好|不合适",
    "还是算了|算了|别订|先不|暂时不|没必要|不用谢|我不|并不|才不|不太|不怎么|👎|❌",
)
_NO_SHORT = any_of("不|别|没|否|错|no|nope|n|non")
_SAYS_NO = re.compile(rf"^(?:那|那就|我|还是)?(?:{_NO_LONG}|{_NO_SHORT}{_END})")
_NEITHER = re.compile(
    r"不知道|不确定|不清楚|不好说|说不准|不一定|没想好|也许|可能|大概吧|看情况|再想想|想一想|想想|考虑"
    r"|等一下|等一等|等等|稍等|等会|随便"
    r"|如果|要是|万一|[吗嘛么呢]\s*[?.。!]*$|[?]\s*$|行不行|可不可以|是不是|好不好|对不对|能不能|要不要"
    r"|好像|对不起|对面|有没有"
    r"|^(?:不(?:错|要紧|用改|需要改|改|变)|没(?:错|关系|事|问题|有问题|有要改|什么要改)|别客气)"
    r"|\b(?:maybe|not sure)\b|(好|行|对|可以|要|有|不错)是\1"
)
_THEN_NOT = re.compile(r"[ ,.!。]*(?:但是?不|不过不|可是不|还是(?:不|算)|算了|哦不|啊不|不[,对不])")


yes_no: Callable[[str], bool | None] = YesNoRules(
    assent=GRAMMAR.pattern(),
    fillers=_FILLERS,
    neither=_NEITHER,
    no=_SAYS_NO,
    yes=re.compile(GRAMMAR.yes),
    negation_after=_THEN_NOT,
).answer


_NOTHING_ELSE = re.compile(rf"(?:(?>{GRAMMAR.yes}|{_NO_LONG}|{_NO_SHORT}|{_PARTICLE}|谢谢[你您]?)|{_STOP})++")


def only_yes_no(text: str) -> bool | None:
    """As `yes_no`, for a message that says nothing else; otherwise None."""
    answer = yes_no(text)
    return answer if answer or _NOTHING_ELSE.fullmatch(text) else None


_POLITE = (
    rf"(?:请|麻烦|麻烦你|麻烦您|我想|我要|我想要|我需要|能不能|可以|可不可以|能|帮我|给我|帮忙|那"
    rf"|好的?|嗯|还是|先|就|我|我们|你好|您好|不好意思|抱歉|对不起|我要求|直接|快|赶紧|{_STOP})*"
)
_POLITE_END = rf"(?:{_PARTICLE}|谢谢|多谢|一下|好吗|可以吗|行吗|吗|这次|现在|{_STOP})*$"
_ORDER = (
    r"(?:这个|这次|我的|所有|全部|刚才的?|一切|这|那个)?(?:预订|预定|预约|订单|订位|订座|订餐|操作"
    r"|流程|对话|申请|投诉|问题|订)?"
)
_CANCEL = re.compile(
    rf"^{_POLITE}(?:(?:取消|停止|停下|停|退出|结束|放弃|终止|中止|作罢|算了|拉倒|不订了|不定了|不约了"
    rf"|不弄了|不办了|不想订了|不想要了|不要了|不用订了"
    rf"|别订了|别弄了|不玩了|不问了|不说了|我改主意了|改主意了|改变主意了"
    rf"|我反悔了){_ORDER}{_PARTICLE}*{_STOP}*)+{_POLITE_END}"
)
_WHO = (
    r"(?:真人|人工|人工客服|人工服务|客服|客服人员|工作人员|服务员|店员|经理|店长|主管|负责人|老板"
    r"|领导|专员|顾问|同事|接线员|活人)"
)
_HAND_OFF = re.compile(
    rf"有(?:没有)?{_WHO}(?:吗|在)?|转(?:接|到|给)?(?:一下)?(?:一?[个位名])?{_WHO}|(?:找|叫|喊|换|接|要|联系|呼叫"
    rf"|请)(?:一下|你们的?|你们?)?(?:一?[个位名])?{_WHO}"
    rf"|(?:跟|和|与|同|对|找)(?:你们的?)?(?:一?[个位名])?(?:{_WHO}|人)(?:来)?(?:说|谈|聊|讲|通话|沟通"
    rf"|对话|交流|联系)"
    rf"|^{_POLITE}{_WHO}{_POLITE_END}|^{_POLITE}转人{_POLITE_END}"
)
_HELP = re.compile(
    rf"^{_POLITE}(?:帮助|帮帮我|帮我|帮个忙|帮忙|求助|救命|你(?:都)?(?:能|会|可以)(?:帮我)?(?:做|干|办"
    rf"|帮)(?:些|点)?(?:什么|啥)(?:忙)?"
    rf"|(?:我|这)?(?:该|应该|要|可以|能)?怎么(?:用|办|做|弄|操作|说)|(?:我)?(?:能|可以)(?:说|问|做)(?:些"
    rf"|点)?(?:什么|啥)|有(?:哪些|什么)选项"
    rf"|使用说明|说明|菜单|help)(?:一下)?{_POLITE_END}|^[?]+$"
)
_SMALL_TALK = (
    ("how_are_you", re.compile(
        rf"^(?:你好,?|您好,?)?(?:(?:你|您)(?:还)?好吗|(?:你|您)?(?:最近|近来)?(?:怎么样|过得好吗|可好"
        rf"|还好吗)|吃了[吗没])(?:{_STOP}|[啊呀])*$")),
    ("greeting", re.compile(
        rf"^(?:你好|您好|你们好|大家好|哈喽|哈啰|嗨|嘿|喂|早安|早|(?:早上|上午|中午|下午|晚上)好|在吗"
        rf"|在不在|有人吗|hi|hello|hey"
        rf"|请问|{_PARTICLE}|{_STOP})+$")),
    ("thanks", re.compile(
        rf"^(?:(?:好的?|嗯|ok|行|太好了|非常|十分|真是|太|万分|可以|那就)(?:,| )?)*(?:谢谢|多谢|感谢|谢了"
        rf"|谢啦|感激|辛苦|麻烦(?=[你您]了)|thanks"
        rf"|thank you|thx|3q)(?:你|您|你们|大家|各位|帮忙|你的帮助|您的帮助|谢谢|{_PARTICLE}|{_STOP})*$")),
    ("farewell", re.compile(
        rf"^(?:(?:好|嗯|谢谢[你您]?|那就?|先这样|就这样|ok){_PARTICLE}*{_STOP}*)*(?:再见|拜拜|拜|回见"
        rf"|回头见|下次见|明天见|改天见|晚安|bye|byebye|88|886)"
        rf"(?:{_PARTICLE}|{_STOP}|拜拜|再见)*$")),
)  # fmt: skip


set_phrase: Callable[[str], SetPhrase | None] = SetPhraseRules(_HAND_OFF, _CANCEL, _HELP, _SMALL_TALK).match


_CORRECTS = re.compile(
    rf"^(?:(?:哦|啊|噢|呃|额|嗯|不|抱歉|对不起|不好意思|等等|等一下|稍等|好像|刚才|刚刚|我|那|请|麻烦"
    rf"|帮我|还是|但是?|可是|不过|是的?|好的?){_STOP}*)*"
    r"(?:不对|不是|错了|说错|写错|弄错|搞错|改成|改为|改到|改|换成|换到|换|变更|更正|纠正|应该是|我是说"
    r"|我的意思是|其实|实际上)"
    rf"|^(?:不|等等|等一下|抱歉|对不起|不好意思|哦不|啊不){_STOP}+\S|^还是.{{1,12}}吧"
)
_QUESTION = re.compile(
    r"[?]\s*$|[吗呢][.。! ]*$|什么|哪[里儿个天些家]|几点|怎么|多少|请问|能不能|可不可以|可以.{0,20}吗"
    r"|有没有|是不是|为什么|如何|谁|告诉我"
    r"|^(?:你好|您好|嗨|那|还有|另外|顺便|对了|我|我们|,|，| )*(?:想|要|需要|打算)"
)
_NOUN = r"[^\s,.!?;。、]{1,20}?"
_CHANGE = r"(?:换|改|修改|更改|变更|调整|更换|更正|重新(?:选|填|定|订)?|重选|重填|另选)"
_CHANGES = re.compile(
    rf"{_CHANGE}(?:一?[下个掉换])?(?:我的|这个|那个|个)?(?P<slot>{_NOUN})(?:{_PARTICLE}|一下|可以吗|好吗"
    rf"|吗|谢谢)*(?:{_STOP}|$)"
)
_WRONG = re.compile(
    rf"(?:这个|那个|我的)?(?P<slot>{_NOUN})(?:不对|错了|有误|不合适|填错|写错|说错|要改|想改|得改|改一下"
    rf"|换一下|不是这个)"
)


_CHANGED_TO = re.compile(
    rf"(?:改成|改为|改到|换成|换为|换到|更正为|应该是)(?P<value>.+?)(?:吧|谢谢|可以吗|好吗|{_STOP})*$",
    re.DOTALL,
)


def new_value(text: str) -> str:
    """The value that the person wants instead; empty if they do not say."""
    found = _CHANGED_TO.search(text.strip()[:MAX_READ_CHARS])
    return found["value"] if found else ""


def is_correction(text: str) -> bool:
    """Whether the message begins like a correction."""
    return bool(_CORRECTS.match(text))


def is_question(text: str) -> bool:
    """Whether the message is a question or a request, not an answer."""
    return bool(_QUESTION.search(text))


def slot_to_change(text: str) -> str:
    """What the person wants to change; empty if nothing."""
    found = _CHANGES.search(text) or _WRONG.search(text)
    return found["slot"] if found else ""
