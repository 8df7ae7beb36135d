"""Dates in the past, and dates that must be in the past."""

from __future__ import annotations

from datetime import date

import pytest
from clawdbot_dialogue.core.language.language_registry import load_language_pack
from clawdbot_dialogue.core.language.normalization import normalize

EN, ZH = load_language_pack("en"), load_language_pack("zh")
TODAY = date(2026, 11, 24)
"""A Tuesday."""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12 May 1990", date(1990, 5, 12)),
        ("1990-05-12", date(1990, 5, 12)),
        ("yesterday", date(2026, 11, 23)),
        ("the day before yesterday", date(2026, 11, 22)),
        ("3 days ago", date(2026, 11, 21)),
        ("two weeks ago", date(2026, 11, 10)),
        ("last friday", date(2026, 11, 20)),
        ("last tuesday", date(2026, 11, 17)),
    ],
)
def test_a_past_date_in_english(text, expected):
    assert [found.value for found in EN.dates(EN.normalize_numerals(normalize(text)), TODAY)] == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("on monday", date(2026, 11, 23)),
        ("tuesday", date(2026, 11, 17)),
        ("20 november", date(2026, 11, 20)),
        ("november 24", date(2026, 11, 24)),
        ("25 november", date(2025, 11, 25)),
        ("29 february", date(2024, 2, 29)),
        ("the 30th", date(2026, 10, 30)),
        ("11/25", date(2025, 11, 25)),
        ("tomorrow", date(2026, 11, 25)),
        ("next friday", date(2026, 12, 4)),
        ("5 december 2027", date(2027, 12, 5)),
    ],
)
def test_a_date_that_must_be_past_in_english(text, expected):
    assert [found.value for found in EN.dates(EN.normalize_numerals(normalize(text)), TODAY, past=True)] == [
        expected
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1990年5月12日", date(1990, 5, 12)),
        ("三天前", date(2026, 11, 21)),
        ("两周前", date(2026, 11, 10)),
        ("上周五", date(2026, 11, 20)),
        ("上个月3号", date(2026, 10, 3)),
        ("去年12月1日", date(2025, 12, 1)),
    ],
)
def test_a_past_date_in_chinese(text, expected):
    assert [found.value for found in ZH.dates(ZH.normalize_numerals(normalize(text)), TODAY)] == [expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("周一", date(2026, 11, 23)),
        ("11月20号", date(2026, 11, 20)),
        ("11月25日", date(2025, 11, 25)),
        ("30号", date(2026, 10, 30)),
        ("明天", date(2026, 11, 25)),
        ("下周五", date(2026, 12, 4)),
    ],
)
def test_a_date_that_must_be_past_in_chinese(text, expected):
    assert [found.value for found in ZH.dates(ZH.normalize_numerals(normalize(text)), TODAY, past=True)] == [
        expected
    ]
