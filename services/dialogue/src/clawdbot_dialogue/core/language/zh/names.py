"""Personal names in Chinese: 我叫李雷, 姓王, 以李雷的名义, 留名 Ada Lovelace.

Nothing marks the end of a name of two or three characters, so one counts only up to a punctuation mark, or up
to a word that starts something else.
"""

from __future__ import annotations

import re

from clawdbot_dialogue.core.language.traditional_chinese import TO_SIMPLIFIED

_POLITE = r"(?:(?:你好|您好|嗨|嗯|好的?|是的?|可以|对|行|那)[\s,，.。!！]*)*"
_PREFIX = re.compile(
    rf"^{_POLITE}(?:我的?(?:名字|姓名|全名)(?:是|叫|:|：)?|(?:名字|姓名|预订人|联系人)(?:是|叫|写|留|用|:"
    rf"|：)?|我叫做?|我是|叫我|本人叫?|免贵姓|我姓"
    r"|姓(?=[一-鿿](?:$|[\s,，.。!！]|先生|女士|小姐))|(?:就|请|那就)?(?:写|留|用|填|叫|记)(?:名|的?是)?"
    r"|以|用|订在|在)[\s:：]*"
)
_SUFFIX = re.compile(
    r"(?:的?名义(?:预订|订|预定)?|的?名字|的?名下|就(?:好|行|可以)了?|吧|谢谢|多谢|哦|啊"
    r"|呀)?[\s,，.。!！~]*(?:谢谢[你您]?)?[\s,，.。!！]*$"
)
_MAX_NAME_SENTENCE = 200
"""Characters of a sentence that states a name; a longer text is returned as it is."""


def bare_name(text: str) -> str:
    """The name in 我叫李雷，谢谢."""
    text = text.strip()
    if len(text) > _MAX_NAME_SENTENCE:
        return text
    # Simplifying keeps every position, so a match in one text can be cut from the other.
    plain = text.translate(TO_SIMPLIFIED)
    prefix = _PREFIX.match(plain)
    start = prefix.end() if prefix else 0
    suffix = _SUFFIX.search(plain, start)
    return text[start : suffix.start() if suffix else len(text)].strip(" \t\n,，.。!！\"'“”「」")


_HAN = r"[一-鿿]"
_WORD = r"[^\W\d_一-鿿](?:[^\W一-鿿]|['’.-]){0,30}"
_LATIN = rf"{_WORD}(?:[ ·]{_WORD}){{0,4}}"
_ENDS = (
    r"(?=$|[\s,，.。!！?？;；、]|的|先生|女士|小姐|谢谢|多谢|吧|就|来|订|预|想|要|我|电话|手机"
    r"|今[天晚早日]|明[天晚早日年]|后天|大后|下午|下周|下个|这|周|星期"
    r"|礼拜|晚上|中午|早上|上午|一共|总共|[\d一二三四五六七八九十两几](?:位|个|人|点|号|月)|\d)"
)
_BECOMES = "改成|换成|改为|应该是|错了?[,，\\s]*是|写错了?[,，\\s]*是"
_TITLE = r"(?:先生|女士|小姐|太太|老师)?"
_NAMED = re.compile(
    rf"(?:以|用|在|订在|留|挂在)[\s“\"「]*(?P<under>{_LATIN}|{_HAN}{{1,8}}?)[\s”\"」]*的?(?:名义|名字"
    rf"|姓名|名下)"
    rf"|(?:留名|署名|名字(?:是|叫|写(?!错)|留|填|用|{_BECOMES}|[:：])|姓名(?:是|{_BECOMES}|[:：]|(?![不错有改换写填]))|预订人(?:是|[:：])?|联系人(?:是"
    rf"|[:：])?|我叫做?|叫我|我的名字(?:是|叫)"
    rf"|落款)[\s:：“\"「]*(?P<name>{_LATIN}|{_HAN}{{1,4}}?{_TITLE}{_ENDS})"
    rf"|(?:我|免贵|本人)姓(?P<family>{_HAN}{{1,2}}?{_TITLE}{_ENDS})"
)


def stated_name(text: str) -> str:
    """The name in 明晚七点四位，以李雷的名义; empty for none."""
    found = _NAMED.search(text.translate(TO_SIMPLIFIED))
    if not found:
        return ""
    group = found.lastgroup or "name"
    return text[found.start(group) : found.end(group)].strip(" .'-")


def humanize(identifier: str) -> str:
    """An identifier in words, for a slot that the flow gives no name in Chinese."""
    return identifier.replace("_", " ").strip().lower()
