"""Which images, audio and documents may be sent to models, by their URI, their media type and their data."""

from __future__ import annotations

from base64 import b64encode

import pytest
from clawdbot.common.v1.message_pb2 import Document, Media, Part, ToolResult
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.media_policy import MediaPolicy
from clawdbot_servicekit.settings.media import MediaSettings
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

PNG = f"data:image/png;base64,{b64encode(b'png').decode()}"


def image(uri: str) -> Part:
    return Part(image=Media(uri=uri))


def is_allowed(uri: str, **settings) -> bool:
    return MediaPolicy(MediaSettings(**settings)).allows(image(uri))


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/menu.png",
        "HTTPS://EXAMPLE.COM:8443/menu.png?size=2&sig=a%2Bb#top",
        "https://example.com./a",
        "https://xn--fsqu00a.xn--0zwm56d/a",
        "https://bucket_1.s3.eu-west-1.amazonaws.com/a",
        "https://8.8.8.8/a",
        "https://[2606:4700:4700::1111]/a",
        "https://localhost.example.com/a",
        "https://10.example.com/a",
        "https://8.8.8.8.example.com/a",
        "https://ec2-52-94-236-248.compute-1.amazonaws.com/a",
        "https://v1-10-0.example.com/a",
        "https://a.1000.0.0.1.example.com/a",
        "https://notnip.io/a",
        "https://nip.io.example.com/a",
        "https://a-b.example.com/a",
        "https://a.com:443/x",
        PNG,
        PNG.replace("data:", "DATA:").replace(";base64", ";BASE64"),
    ],
)
def test_public_addresses_and_data_are_allowed(uri):
    assert is_allowed(uri)


@pytest.mark.parametrize(
    "uri",
    [
        *("file:///etc/passwd", "FILE:///etc/passwd", "file:/etc/passwd", "gopher://example.com/_x"),
        *("http://example.com/a", "HTTP://example.com/a", "ftp://example.com/a", "gs://bucket/a", "s3://b/a"),
        *("javascript:alert(1)", "blob:https://example.com/a", "view-source:https://example.com"),
    ],
)
def test_other_schemes_are_refused(uri):
    assert not is_allowed(uri)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.0.1.", "2130706433", "0x7f000001", "0x7f.1", "017700000001", "0"),
        *("0177.0.0.1", "0x7F.0x0.0x0.0x1", "%3127.0.0.1", "127%2e0.0.1", "0.0.0.0", "10.0.0.7:443"),
        *("169.254.169.254", "2852039166", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1"),
        *("100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "203.0.113.1", "224.0.0.1"),
        *("240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]"),
        *("[::127.0.0.1]", "[0:0:0:0:0:ffff:10.0.0.1]", "[fe80::1]", "[fc00::1]", "[fd00:ec2::254]"),
        *("[ff02::1]", "[2002:7f00:1::]", "[64:ff9b::7f00:1]", "[2001:0:4136:e378::]", "[2001:db8::1]"),
        *("[fe80::1%25eth0]", "[fec0::1]", "[127.0.0.1]", "[::1", "1.2.3.4.5", "256.1.1.1"),
        *("localhost", "localhost.", "LOCALHOST", "localho%73t", "a.localhost", "printer.local", "a.LOCAL."),
        *("metadata.google.internal", "metadata.google.internal.", "internal", "redis", "intranet:8080"),
        *("router.lan", "nas.home.arpa", "a.default.svc", "x.corp", "abc.onion", "a.localdomain"),
        *("169.254.169.254.nip.io", "127.0.0.1.nip.io", "app.10.0.0.7.nip.io", "app-10-0-0-7.nip.io"),
        *("7f000001.nip.io", "0x7f.1.nip.io", "8.8.8.8.nip.io", "nip.io", "NIP.IO.", "2852039166.nip.io"),
        *(
            "127-0-0-1.sslip.io",
            "--1.sslip.io",
            "fe80--1.sslip.io",
            "10.0.0.1.xip.io",
            "a.127-0-0-1.traefik.me",
        ),
        *(
            "localtest.me",
            "a.b.localtest.me",
            "LVH.me",
            "x.vcap.me",
            "lacolhost.com",
            "a.local.gd",
            "fuf.me.",
        ),
        *(
            "127.0.0.1.example.com",
            "a.10.0.0.7.example.com",
            "ip-10-0-0-7.example.com",
            "10-0-0-7.a.example.com",
        ),
        *("1.2.127.0.0.1.example.com", "9-192-168-1-1.example.com", "192-168-001-001.example.com"),
        *("169.254.169.254.evil.example", "a169-254-169-254.example.com", "8.8.8.10.0.0.1.example.com"),
        *(
            "-a.com",
            "a-.com",
            "a.-b.com",
            "a.com-",
            "a.com:",
            "10.0.0.1:",
            f"{'a' * 64}.com",
            "a." * 127 + "com",
        ),
        *("a..example.com", ".example.com", "example.com..", "example.com:99999", "example.com:x", "-.local"),
    ],
)
def test_hosts_that_are_not_public_are_refused_however_they_are_written(host):
    assert not is_allowed(f"https://{host}/a")
    assert not is_allowed(f"http://{host}/a", schemes=["http"])


@pytest.mark.parametrize(
    "uri",
    [
        *("", "menu.png", "//example.com/a", "https:", "https:/", "https://", "https:///example.com/a"),
        *(
            "https:example.com",
            "https:/example.com",
            "https:\\\\example.com",
            "https://example.com\\@10.0.0.1",
        ),
        *("https://me@example.com/a", "https://me:pw@example.com/a", "https://@example.com/a"),
        *("https://example.com@127.0.0.1/", " https://example.com/a", "https://example.com/a "),
        *("https://example.com/a b", "https://example.com/\ta", "https://exam\nple.com/a"),
        *("https://example.com/a\r\nHost: x", "https://example.com/\0", "https://example.com/%00"),
        *("https://example.com\x7f/a", "ht\ntps://example.com", "\x01https://example.com"),
        *("https://example.com/ä", "https://例子.测试/a", "https://127。0。0。1/a", "https://①②⑦.0.0.1/a"),
        *(
            "https://example。com/a",
            "https://localhost\u200b/",
            "https://example.com/\u202e",
            "https://xn--/",
        ),
        *('https://example.com/"', "https://example.com/<a>", "https://example.com/" + "a" * 9000),
    ],
)
def test_what_is_not_a_plain_uri_is_refused(uri):
    part = Part(image=Media(uri=uri))
    (violation,) = MediaPolicy().violations("messages[0].parts[1]", part)
    assert violation.field == f"messages[0].parts[1].image{'.uri' if uri else ''}"
    assert violation.description.endswith(".")


@pytest.mark.parametrize(
    "uri",
    [
        *(
            "data:",
            "data:,",
            "data:,text",
            "data:;base64,cG5n",
            "data:image/png,cG5n",
            "data:image/png;base64,",
        ),
        *("data:text/html;base64,cG5n", "data:image;base64,cG5n", "data:image/;base64,cG5n"),
        *("data:image/png;base64,cG5", "data:image/png;base64,c-_n", "data:image/png;base64,%63G5n"),
        *("data:image/png;base64,cG5n\n", "data:image/png;base64,cG 5n", "data:image/png;base64,cG5n===="),
        *("data:image/png;base64,=", "data:image/png\r\nX: y;base64,cG5n", "data:image/png;base64,cG5n\0"),
        *("data:image/png;base64,cG5né", "data:image/png;base64;x=y,cG5n", "data://image/png;base64,cG5n"),
    ],
)
def test_data_needs_a_fitting_media_type_and_base64(uri):
    assert not is_allowed(uri)


def test_data_has_a_limit_of_its_own_and_the_type_that_the_message_says():
    encoded = b64encode(bytes(2000)).decode()
    uri = f"data:image/png;base64,{encoded}"
    assert is_allowed(uri, max_data_uri=2000)
    assert not is_allowed(uri, max_data_uri=1999)
    policy = MediaPolicy()
    assert policy.allows(Part(image=Media(uri=uri, media_type="Image/PNG")))
    assert not policy.allows(Part(image=Media(uri=uri, media_type="image/gif")))
    assert policy.allows(Part(document=Document(uri="data:text/plain;charset=utf-8;base64,aGk=")))
    assert not policy.allows(Part(audio=Media(uri=uri)))


@pytest.mark.parametrize(
    ("media_type", "right"),
    [
        *((each, True) for each in ("image/png", "IMAGE/svg", "image/vnd.adobe.photoshop")),
        *((each, True) for each in ("image/png;a=b", "image/png ; a=b; c=d", 'image/png; a="b; \\" c"')),
        *((each, False) for each in ("png", "image/", "/png", "image/png/x", "image/*", "*/*", "image /png")),
        *((each, False) for each in ("text/html", "audio/wav", "image/.png", "image/p ng", "image/é")),
        *((each, False) for each in ("image/png\r\nX: y", "image/png\n", "image/png; a=b\r\nX: y")),
        *((each, False) for each in ("image/png;", "image/png; a", "image/png; a=", "image/png, image/gif")),
        *((each, False) for each in ("image/png; a=b c", 'image/png; a="b', "image/png\0", " image/png")),
        *((each, False) for each in ("image/" + "x" * 128, "image/png" + "; a=b" * 9, "image/png\t")),
    ],
)
def test_media_types_follow_the_grammar(media_type, right):
    part = Part(image=Media(data=b"png", media_type=media_type))
    fields = [each.field for each in MediaPolicy().violations("p", part)]
    assert fields == ([] if right else ["p.image.media_type"])


@pytest.mark.parametrize("media_type", ["image/svg+xml", "IMAGE/SVG+XML", "image/svg+xml; charset=utf-8"])
def test_an_image_that_is_active_content_is_refused_with_what_to_send(media_type):
    policy = MediaPolicy()
    for part in (
        Part(image=Media(data=b"<svg/>", media_type=media_type)),
        Part(image=Media(uri="https://example.com/a.svg", media_type=media_type)),
        Part(image=Media(uri=f"data:{media_type};base64,PHN2Zy8+")),
    ):
        (violation,) = policy.violations("p", part)
        assert "PNG" in violation.description
    assert policy.allows(Part(document=Document(data=b"<svg/>", media_type="image/svg+xml")))


def test_media_in_a_tool_result_are_checked_with_their_path():
    content = [Part(text="hi"), image("file:///etc/passwd"), image(PNG)]
    part = Part(tool_result=ToolResult(content=content))
    paths = [each.field for each in MediaPolicy().violations("messages[2].parts[0]", part)]
    assert paths == ["messages[2].parts[0].tool_result.content[1].image.uri"]


@pytest.mark.parametrize(
    ("entry", "allowed", "refused"),
    [
        ("files.internal", "https://FILES.internal./a", "https://x.files.internal/a"),
        ("*.example.internal", "https://a.b.example.internal/a", "https://example.internal/a"),
        ("redis", "https://redis:99/a", "https://redis2/a"),
        ("*.nip.io", "https://127.0.0.1.nip.io/a", "https://127.0.0.1.sslip.io/a"),
        ("10-0-0-7.example.com", "https://10-0-0-7.example.com/a", "https://10-0-0-8.example.com/a"),
        ("10.1.0.0/16", "https://0x0a010203/a", "https://10.2.0.1/a"),
        ("10.0.0.7", "https://[::ffff:10.0.0.7]/a", "https://10.0.0.8/a"),
        ("fd00::/8", "https://[fd12::1]/a", "https://[fe80::1]/a"),
        ("*", "https://169.254.169.254/a", "https://me@localhost/a"),
    ],
)
def test_a_setting_allows_single_private_hosts(entry, allowed, refused):
    assert is_allowed(allowed, private_hosts=[entry])
    assert not is_allowed(refused, private_hosts=[entry])


def test_a_setting_allows_other_schemes_and_keeps_the_check_of_hosts():
    assert is_allowed("gs://my-bucket/a", schemes=["https", "GS"])
    assert is_allowed("file:///srv/media/a", schemes=["file"])
    assert is_allowed("http://example.com/a", schemes=["http"])
    assert not is_allowed("https://example.com/a", schemes=["http"])
    assert not is_allowed("gopher://0x7f.1:70/_x", schemes=["gopher"])
    assert not is_allowed("file://10.0.0.1/share", schemes=["file"])
    assert not is_allowed("https://example.com/a", schemes=[])
    assert not is_allowed(PNG, schemes=["https"])


@pytest.mark.parametrize(
    "settings",
    [
        *({"schemes": [each]} for each in ("https:", "https://", "", "*", "ht tp", "-x", 5, None)),
        *({"private_hosts": [each]} for each in ("", "10.1.2.3/16", "http://a", "a:80", "*a", "0x7f.1", 5)),
        *({"private_hosts": each} for each in (True, "*", "files.internal", 5)),
        {"max_data_uri": 0},
        {"hosts": []},
    ],
)
def test_settings_that_are_not_understood_are_refused(settings):
    with pytest.raises((ValidationError, StartupError)):
        MediaSettings(**settings)


@given(st.text(max_size=60))
def test_no_text_breaks_the_policy(text):
    for uri in (text, f"https://{text}", f"https://{text}/", f"data:{text}", f"data:image/png;base64,{text}"):
        violations = list(MediaPolicy().violations("p", Part(image=Media(uri=uri, media_type=text))))
        assert all(each.description.endswith(".") for each in violations)
