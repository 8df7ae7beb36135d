"""The grammar of lists in Chinese: 李雷、韩梅梅和小王, 再加一个小李, 不要小王, 就这些."""

from __future__ import annotations

import re

from clawdbot_dialogue.core.language.list_grammar import ListGrammar

_MARKS = r"\s,，.。!！、"
_PREFIX = re.compile(
    rf"^(?:是的|好的?|嗯|不对|不是|错了|不|还有|另外|再?加上?|加|再要|再来|增加|添加|去掉|删掉|删除|去除|减去|不要|除了|有|是|要"
    rf"|我想要|我要|我们有|一共有|分别是|请|麻烦|把|一个|一位|[{_MARKS}])+"
)
_SUFFIX = re.compile(
    rf"(?<![{_MARKS}])(?:也?(?:要|来|去)|去掉|删掉|删除|不要了|不来了|不去了|吧|了|谢谢|就这些|就这样|[{_MARKS}])+$"
)
_SEPARATOR = re.compile(r"[,，、;；\n]\s*(?:和|跟|还有|以及|与|及)?|和|跟|还有|以及|与|\band\b|&")
_ADDITION = re.compile(
    r"^(?:是的|好的?|嗯|对|哦|请|麻烦|那|就|我|[\s,.。])*(?:还有|还要|另外|再加|加|再要|再来|增加|添加|也要)"
    r"|也(?:要|来|去)"
)
_REMOVAL = re.compile(
    r"^(?:不对|哦|啊|请|麻烦|那|就|我|把|[\s,.。])*(?:去掉|删掉|删除|去除|减去|除了|不要(?!了)\S)"
    r"|^\S{1,20}?(?:去掉|删掉|删除|不要了|不来了|不去了)"
)
_COMPLETION = re.compile(
    r"^(?:好的?|嗯|不用|不|是的|[\s,.。!])*"
    r"(?:就这些|就这样|就这么多|就他们|就我们|就这几[个位]|没有?了|没有?(?:别的|其他的?)|够了|不用了|不要了|不加了|不需要了"
    r"|都?齐了|完了|没有)(?:[了吧啊的]|谢谢|[\s,.。!])*$"
)

_ITEM_CHANGE = re.compile(
    r"^(?:不对|不|哦|啊|等等|请|麻烦|帮我|那(?![个份杯])|就|我|想|要|[\s,.。])*"
    r"(?:把|将)?(?P<both>(?!))?(?P<which>.{1,40}?)(?:改成|改为|改|换成|换|变成|做成|要|应该是)(?P<into>.+)"
)


LIST_GRAMMAR = ListGrammar(
    prefix=_PREFIX, suffix=_SUFFIX, separator=_SEPARATOR, addition=_ADDITION, removal=_REMOVAL,
    completion=_COMPLETION, item_change=_ITEM_CHANGE,
    last_item=re.compile(r"(?:它|这个|那个|这份|那份|最后[一个份杯]+)$"),
    all_items=re.compile(r"(?:都|全部|全都|两[个份杯]都|所有的?)$"),
    joiner="、", last_joiner="和",
)  # fmt: skip
