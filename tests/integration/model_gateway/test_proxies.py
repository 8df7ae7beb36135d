"""HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured, with a real proxy between the gateway and a backend."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from clawdbot_servicekit.errors import StartupError

from tests.support.certificates import authority, certificate
from tests.support.fake_openai import KEY, fake_openai
from tests.support.gateway_service import compatible, gateway
from tests.support.generate_requests import asks
from tests.support.ports import free_port
from tests.support.proxy import running_proxy

VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
async def backend():
    async with fake_openai() as fake:
        yield fake


def place_of(backend):
    return backend.url.removeprefix("http://").removeprefix("https://").removesuffix("/v1")


@pytest.mark.parametrize("rpc", ["generate", "stream"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
async def test_a_backend_is_reached_through_the_proxy(tmp_path, backend, monkeypatch, rpc, variable):
    async with running_proxy(vendor_example=place_of(backend)) as proxy:
        monkeypatch.setenv(variable, proxy.url)
        model = compatible("http://vendor.example/v1", api_key=KEY, models=["fake-1"])
        async with gateway(tmp_path, model=model) as served:
            await served.inside.run(asks(), rpc)
    assert proxy.asked == ["POST http://vendor.example/v1/chat/completions"]
    assert len(backend.asked) == 1


async def test_tls_goes_through_a_tunnel_that_the_proxy_cannot_read(tmp_path, monkeypatch):
    ours = authority("test authority")
    chain, key = certificate("localhost", ours).write(tmp_path, "server")
    trusted, _ = ours.write(tmp_path, "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with (
        fake_openai(context) as backend,
        running_proxy("ann:secret", localhost=place_of(backend)) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http://", "http://ann:secret@"))
        model = compatible(
            "https://localhost/v1", api_key=KEY, models=["fake-1"], http={"ca_file": str(trusted)}
        )
        async with gateway(tmp_path, model=model) as served:
            await served.inside.run(asks(), "generate")
        assert proxy.asked == ["CONNECT localhost:443"]
        assert "authorization" not in proxy.headers[0]
        assert backend.asked[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("key_header", ["authorization", "x-api-key"])
async def test_the_proxy_of_a_tunnel_never_sees_the_key(tmp_path, monkeypatch, key_header):
    ours = authority("test authority")
    chain, key = certificate("localhost", ours).write(tmp_path, "server")
    trusted, _ = ours.write(tmp_path, "ca")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    async with fake_openai(context) as backend, running_proxy(localhost=place_of(backend)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        headers = {} if key_header == "authorization" else {key_header: f"Bearer {KEY}"}
        model = compatible(
            "https://localhost/v1",
            api_key=KEY,
            headers=headers,
            models=["fake-1"],
            http={"ca_file": str(trusted)},
        )
        async with gateway(tmp_path, model=model) as served:
            await served.inside.run(asks(), "generate")
        assert backend.asked[0].headers[key_header] == f"Bearer {KEY}"
        assert proxy.headers
        assert not any(KEY in value for headers in proxy.headers for value in headers.values())


@pytest.mark.parametrize(
    "names",
    [
        "127.0.0.1",
        "*",
        "vendor.example,127.0.0.1",
        "PLACE",
        "127.0.0.0/8",
        "10.0.0.0/8, 127.0.0.1/32",
        "x/y,0.0.0.0/0",
        "127.*",
        "*.0.0.1.",
        "[::1] 127.0.0.1",
        "x.example;127.0.0.1",
    ],
)
async def test_hosts_in_no_proxy_are_reached_directly(tmp_path, backend, monkeypatch, names):
    async with running_proxy() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", names.replace("PLACE", place_of(backend)))
        async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
            await served.inside.run(asks(), "generate")
    assert proxy.asked == []
    assert backend.asked


@pytest.mark.parametrize(("others", "asked"), [({}, True), ({"NO_PROXY": "127.*"}, False)])
async def test_a_proxy_for_all_is_asked_where_there_is_no_other(
    tmp_path, backend, monkeypatch, others, asked
):
    async with running_proxy(**{"127_0_0_1": place_of(backend)}) as proxy:
        for name, value in {"ALL_PROXY": proxy.url, **others}.items():
            monkeypatch.setenv(name, value)
        async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
            await served.inside.run(asks(), "generate")
    assert bool(proxy.asked) is asked


async def test_a_proxy_for_http_is_not_asked_for_https(tmp_path, backend, monkeypatch):
    async with running_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
            await served.inside.run(asks(), "generate")
    assert proxy.asked == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_refuses_us_has_an_error_of_its_own(tmp_path, monkeypatch, scheme):
    async with running_proxy("ann:secret") as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url.replace("http://", "http://ann:wrong-pass@"))
        model = compatible(f"{scheme}://vendor.example/v1", api_key=KEY, models=["fake-1"])
        async with gateway(tmp_path, model=model) as served:
            fault = await served.inside.fault(asks())
    assert (fault.code, fault.reason) == ("UNAVAILABLE", "BACKEND_PROXY")
    assert "NO_PROXY" in fault.message
    assert "wrong-pass" not in fault.message


async def test_a_proxy_that_speaks_no_http_has_it_too(tmp_path, monkeypatch):
    async def greet(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        model = compatible("https://vendor.example/v1", api_key=KEY, models=["fake-1"])
        async with gateway(tmp_path, model=model) as served:
            fault = await served.inside.fault(asks())
    assert fault.reason == "BACKEND_PROXY"
    assert "does not answer in HTTP" in fault.message


async def test_a_proxy_that_is_down_is_named(tmp_path, monkeypatch):
    place = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("HTTP_PROXY", f"http://ann:secret@{place}")
    model = compatible("http://vendor.example/v1", api_key=KEY, models=["fake-1"])
    async with gateway(tmp_path, model=model) as served:
        fault = await served.inside.fault(asks())
    assert fault.reason == "BACKEND_PROXY"
    assert f"proxy {place}" in fault.message
    assert "secret" not in fault.message


@pytest.mark.parametrize("networks", ["10.0.0.0/8", "::1/128", "127.0.0.1/99", "vendor.example/8"])
async def test_hosts_outside_of_the_networks_in_no_proxy_are_reached_through_the_proxy(
    tmp_path, backend, monkeypatch, networks
):
    host = place_of(backend)
    async with running_proxy(**{"127_0_0_1": host}) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", networks)
        async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)) as served:
            await served.inside.run(asks(), "generate")
    assert proxy.asked


@pytest.mark.parametrize("value", ["http://[bad", "http://ann:secret@[::1", "http://host:99999999"])
async def test_a_proxy_that_is_no_url_stops_the_start(tmp_path, backend, monkeypatch, value):
    monkeypatch.setenv("HTTP_PROXY", value)
    with pytest.raises(StartupError, match="HTTP_PROXY is not a valid URL") as raised:
        async with gateway(tmp_path, model=compatible(backend.url, api_key=KEY)):
            pass
    assert "secret" not in str(raised.value)
