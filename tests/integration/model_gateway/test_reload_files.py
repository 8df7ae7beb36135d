"""A reload reads the files that the sections name again, and is refused where one of them cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.certificates import authority
from tests.support.reloads import ConfigFile, answer, listed, loaded, models, refusal, reload, scripted

TOKENIZER = '{"version": "1.0", "model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}'
URL = "https://127.0.0.1:1/v1"


@pytest.fixture
def config(tmp_path):
    return ConfigFile(tmp_path / "clawdbot.yaml")


def script(path: Path, text: str) -> None:
    path.write_text(yaml.safe_dump({"replies": [{"text": text}]}))


async def test_a_script_that_has_changed_is_read_again(config, tmp_path):
    script(tmp_path / "a.yaml", "one")
    from_file = {"provider": "scripted", "models": ["m"], "file": "a.yaml"}
    config.write(models(a=from_file, b=scripted("B")))
    async with loaded(config, tmp_path) as served:
        assert await answer(served.client) == "one"
        script(tmp_path / "a.yaml", "two")
        changes = await reload(served.client)
        assert (changes.changed, changes.kept) == (["a"], ["b"])
        assert await answer(served.client) == "two"
        assert (await reload(served.client)).kept == ["a", "b"]
        for spoil in (lambda path: path.write_text("replies: 5"), Path.unlink, Path.mkdir):
            spoil(tmp_path / "a.yaml")
            fault = await refusal(served.client)
            assert fault.reason == "CONFIGURATION_INVALID"
            assert "a.yaml" in fault.message
            assert await answer(served.client) == "two"


KINDS = {
    "a secret": lambda file: {"api_key_file": file},
    "one of several secrets": lambda file: {"api_keys": [{"key": "x"}, {"key_file": file}]},
    "a secret header": lambda file: {"headers": {"x": "y"}, "api_key_file": file},
    "a tokenizer": lambda file: {"api_key": "k", "tokenizer": file},
    "a CA": lambda file: {"api_key": "k", "http": {"ca_file": file}},
}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_file_that_has_changed_changes_its_backend_and_one_that_is_gone_refuses(
    config, tmp_path, kind
):
    contents = {
        "a tokenizer": [TOKENIZER, TOKENIZER + " "],
        "a CA": [authority(name).certificate_pem.decode() for name in ("one", "two")],
    }.get(kind, ["first", "second"])
    file = tmp_path / ("file.json" if kind == "a tokenizer" else "file")
    file.write_text(contents[0])
    section = {"provider": "openai_compatible", "endpoint": URL, "models": ["m"], **KINDS[kind](file.name)}
    config.write(models(a=section, b=scripted("B")))
    async with loaded(config, tmp_path) as served:
        assert (await reload(served.client)).kept == ["a", "b"]
        file.write_text(contents[1])
        assert (await reload(served.client)).changed == ["a"]
        file.unlink()
        fault = await refusal(served.client)
        assert fault.reason == "CONFIGURATION_INVALID"
        assert str(file) in fault.message
        assert await listed(served.client) == {"a", "b"}
        file.write_text(contents[1])
        assert (await reload(served.client)).changed == ([] if "secret" in kind else ["a"])
