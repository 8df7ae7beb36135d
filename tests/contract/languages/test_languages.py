"""The languages that are installed, and a third one that a package outside this repository brings."""

from __future__ import annotations

import pytest
from clawdbot_dialogue.core.flow.loader import validate_flow
from clawdbot_dialogue.core.language.language_registry import installed_languages, load_language_pack
from clawdbot_servicekit.errors import StartupError

from tests.contract.languages.language_contract import LanguageContract
from tests.support import esperanto
from tests.support.flows import Talk, compiled


@pytest.fixture
def search_again():
    """What is installed is searched for once; these tests change it."""
    for remembered in (installed_languages, load_language_pack):
        remembered.cache_clear()
    yield
    for remembered in (installed_languages, load_language_pack):
        remembered.cache_clear()


@pytest.fixture
def install(search_again, tmp_path, monkeypatch):
    """Installs a language, as `uv pip install` would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda *entry: esperanto.install(tmp_path, *entry)


class TestEnglish(LanguageContract):
    tag = "en"
    cancel, help, handoff = "forget it", "what can you do?", "I want to talk to a human"
    names = ("Ann Smith", "Bob", "Carol")
    assent = (
        "yes", "y", "k", "ok", "yep!!", "yes please",
        "yes, book it", "yes do that please thanks", "sure thing",
        "absolutely", "go ahead and book it", "that's right", "Yes, of course. Thank you!",
        "👍", "👍🏽", "✅",
    )  # fmt: skip
    no_assent = (
        "yes... actually cancel", "sure not", "yes that's wrong", "yes no", "yeah right, not", "yeah right",
        "ok wait", "yes but make it 6", "yes, cancel", "of course not", "not yes",
        "yes?", "yes if it is cheap",
        "yes and", "ok so", "yes hmm", "yes or no", "I guess so", "I'm fine, thanks", '"yes"', "yes 👎", "👎",
        "no problem, but later", "no, that's fine, cancel", "yes, don't", "yes unless it rains",
        "no problem", "why not", "no, that's fine", "um, yes", "oh great", "yes...", "yes -", "yes,",
        "he said yes", "please don't", "great question", "do it later", "book it for somebody else",
    )  # fmt: skip
    greetings = ("hi", "Hello", "Good evening", "good morning")
    courtesies = (
        "thanks",
        "thank you very much",
        "thank you so much",
        "please",
        "much appreciated",
        "🙏",
        "then",
    )
    farewells = ("bye", "Goodbye", "have a nice day", "see you later", "good night")
    spoilers = (
        "um", "hmm", "well", "oh", "but", "not", "no", "don't", "wait", "maybe", "cancel", "if", "later",
        "else", "never", "whatever", "lol", "🙄", "unfortunately", "6",
    )  # fmt: skip


class TestChinese(LanguageContract):
    tag = "zh"
    cancel, help, handoff = "取消", "帮助", "转人工"
    names = ("李雷", "韩梅梅", "小王")
    assent = (
        "是的", "好的谢谢", "行，就这样", "没问题", "没有问题", "好", "好吧", "可以可以",
        "嗯好的", "对对对", "y", "OK",
        "麻烦您了，好的", "好的谢谢您", "可以，谢谢您", "👍",
    )  # fmt: skip
    no_assent = (
        "好吧，不订了", "是的不对", "可以吗", "不可以", "好不好", "对，但是晚一点",
        "好是好", "可以是可以", "好的，先别",
        "需要好的", "行吗", "是吗", "好的？", "对不起", "没问题的话就订", "好的算了",
        "行李", "11", "“好的”", "他说好的",
        "ok wait", "👎", "不好", "好的👎", "你好", "要是便宜就订",
        "嗯……", "好吧……", "好——", "好的，", "呃，好", "行了", "对了", "没错吧", "都行", "不要紧", "好的呢🙂",
    )  # fmt: skip
    greetings = ("你好", "您好", "晚上好", "hi")
    courtesies = ("谢谢", "非常感谢", "谢谢您", "麻烦您了", "多谢", "辛苦了", "🙏", "请")
    farewells = ("再见", "拜拜", "晚安", "祝您生活愉快")
    spoilers = (
        "额", "呃", "哦", "唉", "但是", "不", "别", "不过", "等等", "也许", "取消", "如果", "晚点", "换",
        "改", "呵呵", "🙃", "可惜", "6",
    )  # fmt: skip


class TestLanguageOfAnotherPackage(LanguageContract):
    tag = "eo"
    cancel, help, handoff = "haltu", "helpu", "homon"
    names = ("Ana", "Petro", "Maria")
    assent, no_assent = ("jes", "certe, perfekte"), ("jes sed ne", "jes blua", "jes?")
    greetings, courtesies, farewells = ("saluton",), ("dankon", "mi petas"), ("ĝis revido",)
    spoilers = ("nu", "sed", "ne", "eble", "blua")

    @pytest.fixture(autouse=True)
    def _installed(self, install):
        install()

    def test_a_flow_speaks_it(self):
        flow = compiled("""
            locales: [en, eo]
            slots:
              sure: {type: boolean, ask: {en: Sure?, eo: Ĉu certe?}}
            states:
              a: {collect: [sure], next: b}
              b: {say: {en: Bye., eo: Ĝis.}, end: true}
        """)
        talk = Talk.about(flow.in_language("eo"))
        assert talk.replies == ["Ĉu certe?"]
        assert talk.say("blua").replies == ["Mi ne komprenis. Ĉu certe?"]
        assert talk.say("jes").replies == ["Ĝis."]
        assert talk.slots == {"sure": True}


@pytest.mark.parametrize("tag", installed_languages())
def test_an_installed_language_runs_the_contract(tag):
    assert tag in {each.tag for each in LanguageContract.__subclasses__()}


def test_a_language_is_known_by_the_tag_of_its_entry_point(install):
    assert "eo" not in installed_languages()
    installed_languages.cache_clear()
    install()
    assert list(installed_languages()) == ["en", "eo", "zh"]


def test_two_packages_with_one_language_stop_the_start(install):
    install("en", "elsewhere:PACK")
    with pytest.raises(StartupError, match=r"packages define the language en: .*elsewhere:PACK"):
        installed_languages()


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "nowhere:PACK",
            "cannot be loaded from nowhere:PACK: ModuleNotFoundError: No module named 'nowhere'",
        ),
        ("tests.support.esperanto:install", "tests.support.esperanto:install is not its language pack."),
        ("tests.support.esperanto:LANGUAGE_PACK", "LANGUAGE_PACK is not its language pack."),
    ],
)
def test_a_flow_says_why_its_language_cannot_be_loaded(install, value, sentence):
    install("fr", value)
    with pytest.raises(StartupError, match="The language fr cannot be loaded"):
        load_language_pack("fr")
    for key, column in (("locale: fr", 9), ("locales: [en, fr]", 15)):
        source = f"flow: f\nversion: 1\n{key}\nstates: {{a: {{end: true}}}}\n"
        (found,) = validate_flow(source, "f.yaml").diagnostics
        assert (found.code, found.line, found.column) == ("unknown-locale", 3, column)
        assert found.message.endswith(sentence)


@pytest.mark.parametrize(
    ("tag", "language"), [("eo-XX", "eo"), ("EO", "eo"), ("zh_Hans_CN", "en"), ("", "en")]
)
def test_a_flow_finds_the_nearest_of_its_languages(install, tag, language):
    install()
    flow = compiled("locales: [en, eo]\nstates: {a: {say: {en: Hi., eo: Sal.}, end: true}}")
    assert flow.resolve_language(tag) == language
