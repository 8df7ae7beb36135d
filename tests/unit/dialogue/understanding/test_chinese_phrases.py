"""Chinese set phrases, corrections and names, and texts that only look like one."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.language.language_registry import load_language_pack
from clawdbot_dialogue.core.language.normalization import normalize
from hypothesis import given
from hypothesis import strategies as st

ZH = load_language_pack("zh")
YES = [
    "嗯，谢谢", "嗯，好",
    "好的", "好", "行", "对", "是的", "嗯", "没问题", "可以", "不错", "好的，谢谢", "OK",
    "没错", "是", "好好好", "嗯嗯", "对对对", "那就这样", "是啊", "当然", "确认", "好吧", "對", "沒問題",
    "可以的", "就这么定", "yes", "👍",
]  # fmt: skip
NO = [
    "嗯，不用",
    "不", "不用", "不要", "不是", "别", "算了", "不用了谢谢", "不行", "没有", "不了", "不对", "好的，算了",
    "我不要", "不需要", "no", "👎", "不急",
]  # fmt: skip
NEITHER = [
    "", "不知道", "也许吧", "可以吗", "对不起", "好像是", "别墅", "是不是", "随便", "四", "明天",
    "对面那家", "好多人", "等一下", "没想好", "不一定", "行李", "有什么菜", "行不行", "如果是呢",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "means"),
    [(each, means) for texts, means in ((YES, True), (NO, False), (NEITHER, None)) for each in texts],
)
def test_yes_and_no(text, means):
    assert ZH.yes_no(normalize(text)) is means


PHRASES = {
    "cancel_flow": [
        "取消", "算了不订了", "算了，不订了", "算了", "取消预订", "我想取消", "请取消我的订单", "不订了",
        "停", "我不想订了", "取消吧，谢谢", "我改主意了", "不要了",
    ],
    "handoff": [
        "转人工", "帮我转一下人工客服吧", "找真人", "我要找客服", "人工", "请转人工客服", "能不能找个人聊",
        "我想跟真人说话",
        "叫你们经理来", "轉人工", "有真人吗",
    ],
    "help": [
        "帮助", "帮帮我", "你能做什么", "怎么用", "？", "我可以说什么", "help", "幫助",
    ],
    "chitchat": [
        "你好", "您好！", "谢谢", "谢谢你", "好的，谢谢", "再见", "拜拜", "晚上好", "hi", "多谢", "你好吗",
        "謝謝", "早上好",
    ],
    None: [
        "", "你好，四位", "明晚七点", "别停", "停车场在哪", "人工智能是什么", "取消不了的会议怎么办",
        "谢谢你们昨天的服务但是汤是凉的", "四个人", "我是客人", "好的",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"), [(each, name) for name, texts in PHRASES.items() for each in texts]
)
def test_set_phrases(text, name):
    found = ZH.set_phrase(normalize(text))
    assert (found and found.name) == name


@pytest.mark.parametrize(
    "text",
    [
        "不对", "改成六位", "不是四位是六位", "换到周六", "抱歉，六位", "等等，八点", "还是周六吧",
        "应该是六位", "哦不，六位", "其实是五位",
    ],
)  # fmt: skip
def test_a_message_that_starts_like_a_correction(text):
    assert ZH.is_correction(normalize(text))
    assert not ZH.is_correction(normalize("四位"))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("换个日期", "日期"),
        ("改一下时间", "时间"),
        ("改一下時間", "时间"),
        ("换一个时间", "时间"),
        ("我想改一下日期", "日期"),
        ("时间不对", "时间"),
        ("日期错了", "日期"),
        ("修改人数，谢谢", "人数"),
        ("明晚七点", ""),
    ],
)
def test_the_slot_to_change(text, what):
    assert ZH.slot_to_change(normalize(text)) == what


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("我叫李雷", "李雷"),
        ("姓王", "王"),
        ("我姓王", "王"),
        ("免贵姓欧阳", "欧阳"),
        ("李雷，谢谢", "李雷"),
        ("名字是李雷吧", "李雷"),
        ("以李雷的名义", "李雷"),
        ("我叫 Ada Lovelace。", "Ada Lovelace"),
        ("王先生", "王先生"),
        ("写李雷就行", "李雷"),
        ("陳小明", "陳小明"),
    ],
)
def test_a_bare_name(text, name):
    assert ZH.bare_name(text) == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("明晚七点四位，以李雷的名义", "李雷"),
        ("好的，留名李雷。", "李雷"),
        ("我叫李雷明天七点", "李雷"),
        ("四位，我叫王小明先生", "王小明先生"),
        ("以 Ada Lovelace 的名义", "Ada Lovelace"),
        ("用陳小明的名字訂", "陳小明"),
        ("我姓王", "王"),
        ("明天七点", ""),
        ("四位", ""),
        ("", ""),
    ],
)
def test_a_stated_name(text, name):
    assert ZH.stated_name(text) == name


@given(
    st.text(max_size=60)
    | st.text("一二两三十百千万亿零点半刻分个位周月日号后天下午晚上不是好的我叫，。7:. ", max_size=40)
)
def test_any_text_is_processed_without_error(text):
    normalized = normalize(text)
    (
        ZH.yes_no(normalized),
        ZH.set_phrase(normalized),
        ZH.slot_to_change(normalized),
        ZH.is_correction(normalized),
        ZH.is_question(normalized),
    )
    assert ZH.stated_name(text) in text
    assert ZH.bare_name(text) in text
