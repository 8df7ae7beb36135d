"""Yes, and what only resembles it, where `book_table` asks for the last time: only a yes books."""

from __future__ import annotations

from datetime import timedelta

import pytest
from clawdbot_dialogue.core.flow.flow_registry import shipped_flows
from clawdbot_dialogue.core.flow.loader import load_flow
from hypothesis import given
from hypothesis import strategies as st

from tests.support.flows import NOW, Talk

BOOK_TABLE = next(load_flow(source, file) for file, source in shipped_flows() if file == "book_table.yaml")
KNOWN = {"party_size": 4, "date": "2026-11-25", "time": "19:00"}

YES = {
    "en": """
        Yes, that would be absolutely lovely, thank you very much!
        yes, I would like that very much please
        Yes, that sounds wonderful, thank you
        Yes, please go ahead with the booking
        Yes of course, that's perfect, thank you so much, have a nice day
        Yes, for 4 tomorrow at 7pm
        Good evening, yes please
        ok thanks bye
        yess
        Yesss!!
        yeees please
        yeahhh
        yep, that works for me
        Yes, thanks a lot, see you tomorrow
        Sure, go for it
        Of course!
        absolutely, book it
        Yes, all correct, thanks
        That all looks great, please confirm
        Hello, yes, that is correct. Thanks in advance!
        Thank you, that would be great
        Please book the table, thank you
        Could you book it please
        I'd love that
        We would love that, thank you so much
        yes, we'd like to go ahead
        OK, let's do it
        Perfect, many thanks, goodbye
        Great, see you then!
        Yes. Yes. Yes.
        yes - please book it
        YES PLEASE 🙏
        yes please :)
        sounds perfect to me
        That's exactly what I want, thanks
        yes and thank you
        yes please, looking forward to it
        Yes, everything is right
        4 people tomorrow at 7pm, yes
        yes, four people, tomorrow
        yes, a table for 4 at 7pm tomorrow please
        That's right, 7pm for 4 people
        confirmed, cheers
        Yes, that's very kind of you
        Okay then, proceed please
        good
        book
        it is
        fine by me
        That's fine, thank you
        works for us
        Please
        I do
        👍🏽
        ok 👌
        Yes💯
        hi there, sure thing, ta
        I'm happy with that
        Yes, I'd like to book that table please
        I confirm the booking
        That'll do nicely, thanks
        tomorrow at 7 is perfect, thank you
        Yes, that time works
        That's absolutely fine
        that suits us perfectly
        yes, book it for tomorrow
        Yes, 25 November at 19:00 for four
        yes, right away please
    """,
    "zh": """
        好的，非常感谢
        麻烦您了，好的，非常感谢
        好的，麻烦您了，非常感谢
        麻烦帮我预订，谢谢
        您好，可以的，麻烦您帮我订一下，多谢
        好👌
        好的👌
        行👍🏻
        好～
        好的呀！
        好的呢
        嗯嗯，好的
        嗯，可以
        可以，麻烦帮我订吧
        没问题，请预订
        没问题，谢谢您！
        对，就这样吧
        对对对，没错
        是的，谢谢，再见
        好的谢谢再见
        好的，辛苦您了
        好的，太感谢了
        好的，十分感谢你们
        非常好，就这么定了
        太好了，谢谢
        行，那就订吧
        那就订这个吧，谢谢
        请帮我订位，谢谢
        帮我订一下吧
        请帮我们预订
        麻烦你帮忙订一下
        晚上好，好的
        你好，是的，没错
        是的，明天晚上七点，四位
        好的，四位，明天
        明晚七点四位，没错
        好的，明天见
        好的，到时见！
        好的，祝您生活愉快
        确认，谢谢
        确认预订
        同意
        可以预订
        可以订了
        愿意
        需要，谢谢
        要的
        好嘞
        當然可以，謝謝
        好的，謝謝您，麻煩您了
        当然，非常完美
        听起来很好，订吧
        很好，继续吧
        成，就这么办
        好呀，拜托了
        OK，谢谢
        好的🙏
        好。
        那就麻烦您了，好的
        确认无误，谢谢
        就这个吧
        麻烦帮忙订一下
        完全没问题
        当然了
        好的OK
        嗯，行
        好哒，谢谢
        明天晚上七点可以
        我要预订
        这样就好
    """,
}
NO_YES = {
    "en": """
        yeah, right...
        yeah right
        Yeah, right.
        oh great, sure
        oh, great
        ok...
        sure...
        right...
        fine...
        oh right
        oh please
        oh ok
        ok…
        yes..
        yes . .
        yes…?
        sure, I guess
        yes —
        yes, but—
        yes-
        well, yes
        um, yes
        uh, ok
        hmm, sure
        er yes
        yes, hmm
        suuure
        riiight
        fiiine
        okay, whatever
        just great
        yes, that would be nice if it were cheaper
        yes, that sounds wrong
        Yes, that would not be lovely
        Yes, please don't go ahead with the booking
        yes, go ahead with the cancellation
        yes, thanks for nothing
        thanks anyway
        ok bye, I am not coming
        yes, for 5 tomorrow at 7pm
        Yes, for 4 tomorrow at 8pm
        Yes, for 4 on Friday at 7pm
        yes, after 7
        yes, 4 hours
        yes, for 4 dogs
        yes, for 4 or 5
        yes, have a nice day elsewhere
        no problem
        why not
        that's okay
        no, that's fine
        it's fine
        I'm good, thanks
        good question
        good morning
        thank you very much
        bye
        book a taxi
        book it later
        I would like something else
        yes, I would like that very much less
        that would be absolutely awful
        yes 🙃
        yes 🙄
        ok 👎
        yes, lol
        ok,
        yes:
        yes, and
        is it
        yes "please"
        seems fine
        sounds good on paper
        could you book it?
        ok ok ok stop
        yes yes yes no
        do it tomorrow
        yes, tomorrow book it
        ya right
        sure, right
        ugh, fine
        yes except the time
        let's go elsewhere
        yes, 7am
        yes for 40
        yes, see you on Friday
        fine, if you insist
        yes,,,
        yes ⋯
        *yes*
        y/n
    """,
    "zh": """
        嗯……
        对了
        嗯嗯……
        好吧……
        行……
        好……
        额，好
        呃，行
        行了
        好了
        没错吧
        是是是……
        嗯…
        好的...
        好的。。。
        好的、、、
        好，，
        好——
        好的，
        呃，好的
        额，可以
        哦，好
        哦
        唉，好吧
        好了好了
        行了行了
        对了，好的
        对吧
        是吧
        可以吧
        没问题吧
        确定吧
        是嘛
        好嘛
        是哦
        对哦
        都行
        都可以
        随便，都行
        没关系
        不要紧
        好的呢🙂
        好🙃
        好的呵呵
        好的，呵呵
        好的，非常不感谢
        好的，麻烦您别订
        麻烦帮我取消，谢谢
        您好，可以的，麻烦您帮我换一下，多谢
        好的，五位
        好的，明天晚上八点，四位
        好的，周五晚上七点
        好的，四位或者五位
        是的，四个小时
        好的，四只狗
        非常感谢
        谢谢，再见
        晚上好
        麻烦您了
        我确认一下
        帮我确认一下
        我想确认
        我好像要
        好的订单
        好吃
        好的行李
        需要好的
        要好的
        好不好
        可以是可以
        订好了？
        订了吗
        好的，不
        好的，先别订
        好久
        对方
        当然不
        好👎
        好的？
        可以看看
        可以就订
        没问题就订
        行就行
        行行好
        好的，明天订
        好呢
        是么
        唔，好
        好说
        好的，三位
        好的，早上七点
        还行
        应该没问题
        好·····
        好哈哈
    """,
}


def cases(table):
    return [
        (language, line.strip())
        for language, lines in table.items()
        for line in lines.splitlines()
        if line.strip()
    ]


def books(language, text):
    """Whether the flow calls the tool that books."""
    talk = Talk.about(BOOK_TABLE.in_language(language), slots=KNOWN)
    assert talk.state == "confirm"
    return talk.say(text).state == "book"


@pytest.mark.parametrize(("language", "text"), cases(YES))
def test_a_yes_in_all_its_words_books(language, text):
    assert books(language, text)


@pytest.mark.parametrize(("language", "text"), cases(NO_YES))
def test_hesitation_mockery_and_anything_left_over_books_nothing(language, text):
    assert not books(language, text)


REPEATS = {
    "en": "Yes, for {n} people on {day:%Y-%m-%d} at {hour}:00, please.",
    "zh": "好的，{n}位，{day.month}月{day.day}日{hour}:00，谢谢。",
}


@pytest.mark.parametrize("language", REPEATS)
@given(n=st.sampled_from([3, 4, 5]), days=st.sampled_from([1, 2]), hour=st.sampled_from([18, 19]))
def test_a_yes_may_repeat_the_values_that_it_confirms_and_no_others(language, n, days, hour):
    text = REPEATS[language].format(n=n, day=NOW + timedelta(days), hour=hour)
    assert books(language, text) == ((n, days, hour) == (4, 1, 19))
