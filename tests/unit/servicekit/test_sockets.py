"""Which addresses belong to this machine alone."""

import pytest
from clawdbot_servicekit.sockets import is_loopback


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"])
def test_only_this_machine_reaches_a_loopback_address(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.0.2.7", "::ffff:192.0.2.7", "::127.0.0.1", "127.example.com", "127.1", ""]
)
def test_others_may_reach_any_other_address(host):
    assert not is_loopback(host)
