"""Dates, times, numbers, durations and sums of money in Chinese texts."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from clawdbot_dialogue.core.language.language_registry import load_language_pack
from clawdbot_dialogue.core.language.normalization import normalize
from hypothesis import given
from hypothesis import strategies as st

ZH = load_language_pack("zh")
TODAY = date(2026, 11, 24)
"""A Tuesday."""


def dates(text, today=TODAY):
    return [f"{found.value:%m-%d}" for found in ZH.dates(ZH.normalize_numerals(normalize(text)), today)]


def times(text, asked=False):
    return [found.value for found in ZH.times(ZH.normalize_numerals(normalize(text)), asked, False)]


def numbers(text):
    return [found.value for found in ZH.numbers(ZH.normalize_numerals(normalize(text)))]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("今天", "11-24"),
        ("今晚", "11-24"),
        ("明天", "11-25"),
        ("明晚", "11-25"),
        ("明早八点", "11-25"),
        ("明儿", "11-25"),
        ("后天", "11-26"),
        ("大后天", "11-27"),
        ("昨天", "11-23"),
        ("前天", "11-22"),
        ("周五", "11-27"),
        ("星期五", "11-27"),
        ("礼拜五", "11-27"),
        ("禮拜五", "11-27"),
        ("这周五", "11-27"),
        ("下周五", "12-04"),
        ("下个星期五", "12-04"),
        ("下周五七点四位", "12-04"),
        ("下下周五", "12-11"),
        ("上周五", "11-20"),
        ("周二", "12-01"),
        ("这周二", "11-24"),
        ("星期天", "11-29"),
        ("周日", "11-29"),
        ("这周末", "11-28"),
        ("週末", "11-28"),
        ("下周末", "12-05"),
        ("下个月3号", "12-03"),
        ("下个月三号", "12-03"),
        ("3号", "12-03"),
        ("二十五号", "11-25"),
        ("12月1日", "12-01"),
        ("12月1日星期二", "12-01"),
        ("十二月一号", "12-01"),
        ("十二月一號", "12-01"),
        ("十二月二十四日晚上", "12-24"),
        ("明年三月五号", "03-05"),
        ("二〇二六年十二月一日", "12-01"),
        ("2026年12月1日", "12-01"),
        ("2026-12-01", "12-01"),
        ("2026/12/1", "12-01"),
        ("12/25", "12-25"),
        ("三天后", "11-27"),
        ("3天之后", "11-27"),
        ("过三天", "11-27"),
        ("两周后", "12-08"),
        ("一个星期以后", "12-01"),
        ("一个月后", "12-24"),
        ("半个月后", "12-09"),
        ("１２月１日", "12-01"),
    ],
)
def test_a_date(text, means):
    assert dates(text) == [means]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "四",
        "四位",
        "11月31日",
        "三天",
        "两周",
        "3号桌",
        "30日元",
        "第三",
        "天气",
        "周杰伦",
        "一周",
        "9999天后",
        "二月三十号",
    ],
)
def test_not_a_date(text):
    assert dates(text) == []


def test_a_date_without_a_year_is_the_next_one():
    assert ZH.dates("11月23日", TODAY)[0].value == date(2027, 11, 23)
    assert ZH.dates("2月29日", TODAY)[0].value == date(2028, 2, 29)
    assert ZH.dates("31号", date(2026, 2, 1))[0].value == date(2026, 3, 31)
    assert ZH.dates("1个月后", date(2026, 1, 31))[0].value == date(2026, 2, 28)
    assert ZH.dates("周末", date(2026, 11, 29))[0].value == date(2026, 11, 29)


def test_two_dates_are_found_in_order():
    assert dates("明天，或者周五，或者十二月三号") == ["11-25", "11-27", "12-03"]


@given(st.dates(date(2024, 1, 1), date(2090, 1, 1)), st.integers(0, 3650))
def test_a_formatted_date_is_understood_again(today, ahead):
    expected = today + timedelta(days=ahead)
    assert [found.value for found in ZH.dates(normalize(ZH.format_date(expected)), today)] == [expected]
    assert [found.value for found in ZH.dates(expected.isoformat(), today)] == [expected]


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.sampled_from("一二三四五六日天"))
def test_a_weekday_is_within_a_week_and_next_weekday_is_in_the_next_week(today, name):
    (plain,) = ZH.dates(f"周{name}", today)
    (after,) = ZH.dates(f"下周{name}", today)
    assert 1 <= (plain.value - today).days <= 7
    assert plain.value.weekday() == after.value.weekday()
    assert (today - timedelta(days=today.weekday()) + timedelta(days=7)) <= after.value


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("七点", "07:00"),
        ("7点", "07:00"),
        ("七點鐘", "07:00"),
        ("晚上七点", "19:00"),
        ("晚上七点半", "19:30"),
        ("明晚七点", "19:00"),
        ("明晚大概七点左右", "19:00"),
        ("七点，晚上", "19:00"),
        ("下午三点一刻", "15:15"),
        ("下午三点三刻", "15:45"),
        ("三点", "15:00"),
        ("十九点", "19:00"),
        ("19点30分", "19:30"),
        ("19时30分", "19:30"),
        ("19:30", "19:30"),
        ("１９：３０", "19:30"),
        ("07:30", "07:30"),
        ("7:30", "07:30"),
        ("七点三十", "07:30"),
        ("七点十五分", "07:15"),
        ("七点零五", "07:05"),
        ("七点过五分", "07:05"),
        ("七点五分", "07:05"),
        ("差五分八点", "07:55"),
        ("差一刻八点", "07:45"),
        ("八点差五分", "07:55"),
        ("晚上差五分八点", "19:55"),
        ("中午", "12:00"),
        ("正午", "12:00"),
        ("午夜", "00:00"),
        ("零点", "00:00"),
        ("中午十二点", "12:00"),
        ("中午一点", "13:00"),
        ("上午十点", "10:00"),
        ("早上八点半", "08:30"),
        ("早餐八点", "08:00"),
        ("晚餐八点", "20:00"),
        ("凌晨两点", "02:00"),
        ("晚上十二点", "00:00"),
        ("半夜两点", "02:00"),
        ("傍晚六点", "18:00"),
        ("后天，七点", "07:00"),
        ("7pm", "19:00"),
        ("七点四位", "07:00"),
        ("七点三十四位", "07:00"),
        ("七点十五四位", "07:15"),
    ],
)
def test_a_time(text, first):
    assert [readings[0] for readings in times(text)] == [first]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "七",
        "四位",
        "25点",
        "7:75",
        "早一点",
        "晚一点到",
        "便宜一点",
        "两个小时",
        "一点儿也不",
        "点心",
        "点心店",
        "晚上好",
        "50%",
    ],
)
def test_not_a_time(text):
    assert times(text) == []


@pytest.mark.parametrize(
    ("text", "first"),
    [("七", "07:00"), ("730", "07:30"), ("大概8", "08:00"), ("晚上7", "19:00"), ("十九", "19:00")],
)
def test_a_bare_number_is_a_time_if_one_was_asked_for(text, first):
    assert times(text, asked=True)[0][0] == first


def test_a_number_of_people_is_not_a_time():
    assert times("三个人", asked=True) == []


def test_a_time_without_a_part_of_the_day_has_two_readings():
    assert times("七点") == [("07:00", "19:00")]
    assert times("三点") == [("15:00", "03:00")]


@given(st.times())
def test_a_time_in_digits_is_unchanged(clock):
    assert f"{clock:%H:%M}" in times(f"{clock:%H:%M}")[0]
    assert f"{clock:%H:%M}" in times(f"{clock.hour}点{clock.minute:02}分")[0]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("四", [4]),
        ("两", [2]),
        ("兩位", [2]),
        ("十二", [12]),
        ("二十", [20]),
        ("一百零五", [105]),
        ("一百一十", [110]),
        ("四百五", [450]),
        ("两千零五十", [2050]),
        ("一万二", [12000]),
        ("三十万", [300_000]),
        ("三亿五千万", [350_000_000]),
        ("1.5万", [15_000]),
        ("一点五万", [15_000]),
        ("半打", [6]),
        ("一打", [12]),
        ("我们俩", [2]),
        ("就我一个人", [1]),
        ("3个人", [3]),
        ("３位", [3]),
        ("一共八位", [8]),
        ("后天，2个人", [2]),
        ("1,000", [1000]),
        ("1.5", [1.5]),
        ("四五个人", [4, 5]),
        ("三五个人", [3, 5]),
        ("二三十个人", [20, 30]),
        ("四位还是五位", [4, 5]),
        ("一些人", []),
        ("一下", []),
        ("统一", []),
        ("万一下雨", []),
        ("周一", []),
        ("第三", []),
        ("百分之五十", []),
        ("50%", []),
        ("19:30", []),
        ("三号桌", []),
        ("2026-12-01", []),
        ("十分感谢", []),
        ("", []),
    ],
)
def test_numbers(text, means):
    assert numbers(text) == means


def numeral(number):
    """A number as a standard Chinese numeral."""
    figures, units = "零一二三四五六七八九", ["千", "百", "十", ""]
    text = ""
    for group, size in ((number // 10**8, "亿"), (number // 10**4 % 10**4, "万"), (number % 10**4, "")):
        for figure, unit in zip(f"{group:04}", units, strict=True):
            text += "零" if figure == "0" else figures[int(figure)] + unit
        text = text.rstrip("零") + size if group else text + "零"
    return re.sub("零+", "零", text).strip("零")


@given(st.integers(1, 10**12 - 1))
def test_a_chinese_numeral_has_its_value(number):
    assert ZH.normalize_numerals(numeral(number)) == str(number)


@given(st.integers(0, 10**12))
def test_a_number_in_digits_is_unchanged(number):
    assert numbers(f"我要{number}个") == [number]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("两个半小时", 9000),
        ("30分钟", 1800),
        ("半小时", 1800),
        ("半个小时", 1800),
        ("三刻钟", 2700),
        ("一小时三十分钟", 5400),
        ("三天", 259_200),
        ("一周", 604_800),
        ("两个星期", 1_209_600),
        ("一天半", 129_600),
        ("三天后", None),
        ("七点", None),
        ("四位", None),
    ],
)
def test_a_duration(text, seconds):
    found = [each.value for each in ZH.durations(ZH.normalize_numerals(normalize(text)))]
    assert found == ([] if seconds is None else [seconds])


@pytest.mark.parametrize(
    ("text", "sums"),
    [
        ("30元", [(30, "CNY")]),
        ("三十块", [(30, "CNY")]),
        ("三十块钱", [(30, "CNY")]),
        ("三块五", [(3.5, "CNY")]),
        ("5美元", [(5, "USD")]),
        ("五十欧元", [(50, "EUR")]),
        ("¥30", [(30, "CNY")]),
        ("€20", [(20, "EUR")]),
        ("一点五万元", [(15_000, "CNY")]),
        ("1,200元", [(1200, "CNY")]),
        ("两百港币", [(200, "HKD")]),
        ("预算500", [(500, "")]),
        ("四位", []),
        ("七点", []),
        ("", []),
    ],
)
def test_a_sum_of_money(text, sums):
    found = (each.value for each in ZH.money(ZH.normalize_numerals(normalize(text))))
    assert [(amount, currencies[0] if currencies else "") for amount, currencies in found] == sums


@given(
    st.text(max_size=60)
    | st.text("一二两三十百千万亿零点半刻分个位周月日号后天下午晚上不是好的我叫，。7:. ", max_size=40)
)
def test_any_text_is_read_without_error(text):
    normalized = normalize(text)
    digits = ZH.normalize_numerals(normalized)
    for asked in (True, False):
        ZH.times(digits, asked, False)
    for found in (*ZH.dates(digits, TODAY), *ZH.numbers(digits), *ZH.durations(digits), *ZH.money(digits)):
        assert 0 <= found.start < found.end <= len(digits)
