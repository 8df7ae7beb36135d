"""Limits and prices that would never apply stop the start."""

from __future__ import annotations

import json
import re

import pytest
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.settings.loader import load

from tests.support.gateway_service import gateway

ECHO = {"provider": "echo"}
AUTH = {"keys": [{"id": "ann", "key": "a" * 30}, {"id": "bob", "key": "b" * 30}]}


@pytest.mark.parametrize("name", ["chta", "ecko/echo", "echo/"])
async def test_a_limit_of_a_model_that_does_not_exist_stops_the_start(tmp_path, name):
    limits = {"tenants": {"acme": {"models": {name: {"requests": "1/day"}}}}}
    with pytest.raises(StartupError, match=f"there is no model {name}"):
        async with gateway(tmp_path, model=ECHO, limits=limits):
            pass


async def test_money_is_not_limited_where_nothing_has_a_price(tmp_path):
    with pytest.raises(StartupError, match=r"limits\.tenant\.cost: .* no backend has prices"):
        async with gateway(tmp_path, model=ECHO, limits={"tenant": {"cost": "5/day"}}):
            pass


async def test_a_limit_of_a_key_that_does_not_exist_stops_the_start(tmp_path):
    limits = {"keys": {"": {}, "service": {}, "ann": {}, "bbo": {"requests": "1/day"}}}
    with pytest.raises(StartupError, match=r"limits\.keys\.bbo: there is no key bbo .* did you mean bob"):
        async with gateway(tmp_path, model=ECHO, auth=AUTH, limits=limits):
            pass


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ({"requests": 10}, "limits.tenant.requests: expected limits such as 10/day"),
        ({"cost": 0.5}, "limits.tenant.cost: expected limits such as 0.5/day"),
        ({"tokens": ["10/day"]}, "limits.tenant.tokens: expected limits such as 60/minute"),
        ({"requests": "0/day"}, "limits.tenant.requests: 0 allows no call"),
        ({"models": {"chat": {"tokens": "0/day"}}}, "limits.tenant.models.chat.tokens: 0 allows no call"),
    ],
)
def test_a_limit_that_is_no_rate_is_explained(tmp_path, limit, expected):
    file = tmp_path / "clawdbot.yaml"
    file.write_text(json.dumps({"limits": {"tenant": limit}}))
    with pytest.raises(StartupError, match=re.escape(expected)) as refused:
        load(GatewaySettings, file)
    assert str(refused.value).startswith(str(file))


async def test_a_price_of_a_model_that_is_not_listed_stops_the_start(tmp_path):
    models = {"backends": {"a": {**ECHO, "models": ["gpt-5.6"], "prices": {"gpt5.6": {"input": 1}}}}}
    file = tmp_path / "clawdbot.yaml"
    file.write_text(json.dumps({"models": models}))
    with pytest.raises(StartupError, match=r"models\.backends\.a.* did you mean gpt-5\.6"):
        load(GatewaySettings, file)


async def test_a_model_without_a_price_is_logged_where_the_cost_is_limited(tmp_path, capsys):
    a = {**ECHO, "models": ["m"], "prices": {"*": {"input": 1}}}
    b = {**ECHO, "models": ["echo", "free"], "prices": {"free": {}}}
    limits = {"tenant": {"cost": "5/day"}}
    async with gateway(tmp_path, models={"backends": {"a": a, "b": b}}, limits=limits):
        pass
    warned = [line for line in capsys.readouterr().out.splitlines() if "model_without_price" in line]
    assert len(warned) == 1
    assert "b/echo" in warned[0]
