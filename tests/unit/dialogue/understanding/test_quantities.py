"""The value of large numbers, sums of money and durations as people say them."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.language.currencies import CODES
from clawdbot_dialogue.core.language.language_registry import load_language_pack
from clawdbot_dialogue.core.language.normalization import normalize
from hypothesis import given
from hypothesis import strategies as st

EN, ZH = load_language_pack("en"), load_language_pack("zh")


def numbers(language, text):
    return [found.value for found in language.numbers(language.normalize_numerals(normalize(text)))]


def sums(language, text):
    found = (each.value for each in language.money(language.normalize_numerals(normalize(text))))
    return [(amount, currencies[0] if currencies else "") for amount, currencies in found]


def durations(language, text):
    return [found.value for found in language.durations(language.normalize_numerals(normalize(text)))]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("2 million", [2_000_000]),
        ("two million", [2_000_000]),
        ("a million", [1_000_000]),
        ("1.5 million", [1_500_000]),
        ("0.5 million", [500_000]),
        ("one point five million", [1_500_000]),
        ("half a million", [500_000]),
        ("three quarters of a million", [750_000]),
        ("two and a half million", [2_500_000]),
        ("two-and-a-half million", [2_500_000]),
        ("two million and a half", [2_500_000]),
        ("2 million and a half", [2_500_000]),
        ("2 million and five hundred thousand", [2_500_000]),
        ("2 million 500 thousand", [2_500_000]),
        ("2 thousand", [2000]),
        ("3 hundred thousand", [300_000]),
        ("2 hundred and five", [205]),
        ("1,200 thousand", [1_200_000]),
        ("3 billion", [3_000_000_000]),
        ("2 trillion", [2_000_000_000_000]),
        ("5k", [5000]),
        ("1.2k", [1200]),
        ("2bn", [2_000_000_000]),
        ("two and a half", [2.5]),
        ("2½", [2.5]),
        ("2 thousand, 4 people", [2000, 4]),
        ("1 in a million", [1, 1_000_000]),
        ("there is no point in a million of them", [1_000_000]),
        ("three quarters", []),
        ("5m", []),
    ],
)
def test_a_large_number_in_english(text, means):
    assert numbers(EN, text) == means


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("一百二十万", [1_200_000]),
        ("120万", [1_200_000]),
        ("1.2万", [12_000]),
        ("0.5万", [5000]),
        ("1百万", [1_000_000]),
        ("1万亿", [1_000_000_000_000]),
        ("1亿2千万", [120_000_000]),
        ("1万2", [12_000]),
        ("1万2千", [12_000]),
        ("2千零5", [2005]),
        ("3千5百位", [3500]),
        ("1万 3点", [10_000]),
        ("5k", [5000]),
        ("3w", [30_000]),
        ("2½", [2.5]),
        ("三点五", [3.5]),
        ("三点一四。", [3.14]),
        ("零点五", [0.5]),
        ("三分之一", []),
    ],
)
def test_a_large_number_in_chinese(text, means):
    assert numbers(ZH, text) == means


@given(
    st.integers(1, 999_999),
    st.sampled_from([("thousand", 10**3), ("million", 10**6), ("billion", 10**9)]),
)
def test_digits_before_a_scale_are_multiplied(count, scale):
    word, size = scale
    assert numbers(EN, f"{count} {word} of them") == [count * size]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("2 million dollars", [(2_000_000, "USD")]),
        ("a million dollars", [(1_000_000, "USD")]),
        ("1.5 million euros", [(1_500_000, "EUR")]),
        ("half a million quid", [(500_000, "GBP")]),
        ("$1.2 million", [(1_200_000, "USD")]),
        ("$1.2k", [(1200, "USD")]),
        ("$3m", [(3_000_000, "USD")]),
        ("3m euros", [(3_000_000, "EUR")]),
        ("€2bn", [(2_000_000_000, "EUR")]),
        ("5k euros", [(5000, "EUR")]),
        ("five grand", [(5000, "")]),
        ("20 dollars and 50 cents", [(20.5, "USD")]),
        ("twenty dollars and ten cents", [(20.1, "USD")]),
        ("20 pounds 50", [(20.5, "GBP")]),
        ("twenty pounds fifty", [(20.5, "GBP")]),
        ("20 pounds and 50 pence", [(20.5, "GBP")]),
        ("£20 and 50p", [(20.5, "GBP")]),
        ("5 euros and 20 cents", [(5.2, "EUR")]),
        ("$20 and 5 cents", [(20.05, "USD")]),
        ("a dollar fifty", [(1.5, "USD")]),
        ("50p", [(0.5, "GBP")]),
        ("50 cents", [(0.5, "")]),
        ("1½ dollars", [(1.5, "USD")]),
        ("20 dollars and 50 euros", [(20, "USD"), (50, "EUR")]),
        ("20 dollars, 50 people", [(20, "USD")]),
        ("20 dollars for 50 people", [(20, "USD")]),
        ("25 for 4 people", [(25, "")]),
        ("25 for 2 hours", [(25, "")]),
        ("30 at 7pm", [(30, "")]),
        ("30€", [(30, "EUR")]),
        ("30 €", [(30, "EUR")]),
        ("30€50", [(30.5, "EUR")]),
        ("EUR 30", [(30, "EUR")]),
        ("30 EUR", [(30, "EUR")]),
        ("40 CAD", [(40, "CAD")]),
        ("CAD 40", [(40, "CAD")]),
        ("C$40", [(40, "CAD")]),
        ("$40 CAD", [(40, "CAD")]),
        ("20 Canadian dollars", [(20, "CAD")]),
        ("US$1.2m", [(1_200_000, "USD")]),
        ("10 francs", [(10, "CHF")]),
        ("1000 yen", [(1000, "JPY")]),
        ("¥1000", [(1000, "JPY")]),
        ("Rs. 500", [(500, "INR")]),
        ("five hundred rupees", [(500, "INR")]),
        ("20 yuan", [(20, "CNY")]),
        ("20 zł", [(20, "PLN")]),
        ("ten pounds sterling", [(10, "GBP")]),
        ("200 Swedish kronor", [(200, "SEK")]),
        ("all 30", [(30, "")]),
        ("30 all together", [(30, "")]),
        ("a pound of apples", []),
        ("room101", []),
        ("90min", []),
    ],
)
def test_a_sum_in_english(text, means):
    assert sums(EN, text) == means


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("一百二十万元", [(1_200_000, "CNY")]),
        ("1.2万元", [(12_000, "CNY")]),
        ("三千五百块", [(3500, "CNY")]),
        ("3千5百块", [(3500, "CNY")]),
        ("5k元", [(5000, "CNY")]),
        ("一百万美元", [(1_000_000, "USD")]),
        ("二十块五", [(20.5, "CNY")]),
        ("二十块五毛", [(20.5, "CNY")]),
        ("三块五毛钱", [(3.5, "CNY")]),
        ("三十元五角", [(30.5, "CNY")]),
        ("30块5毛2", [(30.52, "CNY")]),
        ("三十元五角二分", [(30.52, "CNY")]),
        ("二十块零五分", [(20.05, "CNY")]),
        ("一百块零五毛", [(100.5, "CNY")]),
        ("五毛", [(0.5, "CNY")]),
        ("五分钱", [(0.05, "CNY")]),
        ("二十美元五十美分", [(20.5, "USD")]),
        ("二十英镑五十便士", [(20.5, "GBP")]),
        ("五欧元二十欧分", [(5.2, "EUR")]),
        ("二十美元五十", [(20.5, "USD")]),
        ("五十美分", [(0.5, "USD")]),
        ("30€", [(30, "EUR")]),
        ("EUR 30", [(30, "EUR")]),
        ("40 CAD", [(40, "CAD")]),
        ("加币40", [(40, "CAD")]),
        ("五十加元", [(50, "CAD")]),
        ("人民币30", [(30, "CNY")]),
        ("¥1000", [(1000, "CNY")]),
        ("一千日元", [(1000, "JPY")]),
        ("五百卢比", [(500, "INR")]),
        ("五百盧比", [(500, "INR")]),
        ("十瑞士法郎", [(10, "CHF")]),
        ("30元，港币20", [(30, "CNY"), (20, "HKD")]),
        ("十二块五个人", [(12, "CNY")]),
        ("三十块四位", [(30, "CNY")]),
        ("两小时三十", []),
        ("百分之五", []),
    ],
)
def test_a_sum_in_chinese(text, means):
    assert sums(ZH, text) == means


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("three quarters of an hour", 2700),
        ("a quarter of an hour", 900),
        ("quarter of an hour", 900),
        ("half an hour", 1800),
        ("a half hour", 1800),
        ("one and a half hours", 5400),
        ("an hour and a half", 5400),
        ("two hours and a half", 9000),
        ("two and a quarter hours", 8100),
        ("an hour and three quarters", 6300),
        ("an hour and a quarter of an hour", 4500),
        ("a third of an hour", 1200),
        ("3/4 of an hour", 2700),
        ("1 1/2 hours", 5400),
        ("1½ hours", 5400),
        ("2 hours 30", 9000),
        ("two hours thirty, please", 9000),
        ("2 hours 30 guests", 7200),
        ("1 hour 45 minutes", 6300),
        ("a day and half an hour", 88_200),
        ("a week and a half", 907_200),
        ("1h30", 5400),
        ("1h30m", 5400),
        ("1h 30min", 5400),
        ("1h30m20s", 5420),
        ("2h", 7200),
        ("2 hrs", 7200),
        ("half an hr", 1800),
        ("90min", 5400),
        ("45s", 45),
        ("1d 2h", 93_600),
        ("a fortnight", 1_209_600),
        ("two fortnights", 2_419_200),
        ("5 m", None),
        ("on the 3rd day", None),
        ("a quarter to 8", None),
    ],
)
def test_a_duration_in_english(text, seconds):
    assert durations(EN, text) == ([] if seconds is None else [seconds])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("三刻钟", 2700),
        ("一刻钟", 900),
        ("一个半小时", 5400),
        ("一小时半", 5400),
        ("1½小时", 5400),
        ("两点五小时", 9000),
        ("一小时三刻", 6300),
        ("一小时三刻钟", 6300),
        ("两个小时三刻", 9900),
        ("一小时三十", 5400),
        ("2小时30", 9000),
        ("一个小时零五分", 3900),
        ("四分之三小时", 2700),
        ("四分之一个小时", 900),
        ("1h30", 5400),
        ("2h", 7200),
        ("90min", 5400),
        ("三分之一", None),
        ("五分钱", None),
        ("30日元", None),
        ("七点三刻", None),
        ("差一刻八点", None),
    ],
)
def test_a_duration_in_chinese(text, seconds):
    assert durations(ZH, text) == ([] if seconds is None else [seconds])


def test_every_known_code_is_found_on_either_side():
    for code in set(CODES.values()):
        for language in (EN, ZH):
            assert sums(language, f"{code} 30") == sums(language, f"30 {code}") == [(30, code)]


@given(
    st.text("0123456789.,/ ½$€元块毛角分刻万千百kwm小时半" + "and half quarter million cents", max_size=40)
)
def test_any_text_is_read_without_error(text):
    for language in (EN, ZH):
        digits = language.normalize_numerals(normalize(text))
        for found in (*language.numbers(digits), *language.money(digits), *language.durations(digits)):
            assert 0 <= found.start < found.end <= len(digits)
