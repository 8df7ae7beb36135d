"""What the machine says in Chinese of its own accord. A flow's `say` and `ask` come before any of these."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WORDING: Mapping[str, str] = MappingProxyType(
    {
        "ask": "请告诉我{name}。",
        "ask_date": "哪一天呢？",
        "ask_time": "几点呢？",
        "the_date": "日期",
        "the_time": "时间",
        "not_understood": "抱歉，我没听懂。",
        "cancelled": "好的，就到这里。",
        "cannot_cancel": "现在还不能取消。",
        "no_person": "抱歉，这里没有可以转接的人工客服。",
        "handed_off": "正在为您转接人工客服。",
        "help": "我在这里能做的是：{description}。",
        "greeting": "您好！",
        "thanks": "不客气。",
        "how_are_you": "我很好，谢谢。",
        "farewell": "再见！",
        "tool_failed": "抱歉，我这边出了点问题。",
        "model_failed": "抱歉，我现在无法回答。",
        "stuck": "抱歉，我不知道该怎么继续。",
        "unknown": "（未知）",
        "yes": "是",
        "no": "否",
        "either": "是{first}还是{second}？",
        "too_late": "这已经办好了，在这里不能再改。",
        "too_small": "{name}不能少于{limit}。",
        "too_large": "{name}不能超过{limit}。",
        "too_early": "{name}不能早于{limit}。",
        "too_late_value": "{name}不能晚于{limit}。",
        "too_short": "{name}至少要有{limit}个字。",
        "too_long": "{name}不能超过{limit}个字。",
        "no_match": "这不像是有效的{name}。",
        "not_a_value": "{name}只能是：{limit}。",
        "not_integer": "{name}应该是整数。",
        "not_number": "{name}应该是数字。",
        "not_text": "{name}应该是文字。",
        "not_boolean": "{name}应该是“是”或“否”。",
        "not_date": "{name}应该是日期，例如“2026-12-01”。",
        "not_time": "{name}应该是时间，例如“19:30”。",
        "not_datetime": "{name}应该是日期和时间，例如“2026-12-01 19:30”。",
        "not_duration": "{name}应为一段时间，例如“两小时”。",
        "not_money": "{name}应为带币种的金额，例如“30元”。",
        "not_currency": "{name}的币种应为{limit}。",
        "not_email": "这不像是有效的邮箱地址。",
        "not_phone": "这不像是有效的电话号码。",
        "not_object": "{name}由这些组成：{limit}。",
        "not_list": "{name}应该是一个列表。",
        "part_missing": "{name}还缺：{limit}。",
        "too_few": "这里至少需要{limit}个。",
        "too_many": "这里最多{limit}个。",
    }
)
