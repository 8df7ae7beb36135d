"""The banner says whom the server lets in."""

from __future__ import annotations

import pytest
from clawdbot_cli.banner import who_may_call
from clawdbot_servicekit.settings import SharedSettings

SECRET = "0123456789abcdef01234567"
KEYS = {"keys": [{"id": "one", "key": SECRET}]}
TLS = {"cert_file": "/c.pem", "key_file": "/k.pem"}
EVERYWHERE = {"server": {"host": "0.0.0.0"}}


@pytest.mark.parametrize(
    ("sections", "sentence"),
    [
        ({}, "anyone on this machine, admin calls included"),
        ({"server": {"host": "::1"}}, "anyone on this machine, admin calls included"),
        (
            EVERYWHERE,
            "anyone who can reach 0.0.0.0:8080 may talk; admin calls only from this machine",
        ),
        (
            {**EVERYWHERE, "tls": {**TLS, "client_ca_file": "/ca.pem"}},
            (
                "anyone who can reach 0.0.0.0:8080 with a certificate of its CA may talk; "
                "admin calls only from this machine"
            ),
        ),
        ({**EVERYWHERE, "auth": KEYS}, "anyone with a key from auth.keys, within its scopes"),
        (
            {"auth": {"service_token": SECRET}},
            "only services with the service token; configure auth.keys for others",
        ),
    ],
)
def test_the_banner_says_who_may_call(sections, sentence):
    assert who_may_call(SharedSettings(**sections), "0.0.0.0:8080") == sentence
