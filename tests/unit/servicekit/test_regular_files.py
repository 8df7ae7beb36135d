"""Files that settings name are read only if they are regular and not too large."""

from __future__ import annotations

import os

import pytest
from clawdbot_servicekit.errors import StartupError
from clawdbot_servicekit.regular_files import read_regular
from clawdbot_servicekit.settings import SharedSettings, load
from clawdbot_servicekit.tls import Certificates


@pytest.fixture(params=["/dev/zero", "/dev/null", "fifo", "link"])
def irregular(request, tmp_path):
    """The path of something that is not a regular file; reading some of them would never end."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("/dev/zero")
    return tmp_path / request.param


def test_a_secret_is_read_from_a_regular_file_only(irregular):
    variables = {"CLAWDBOT_AUTH__SERVICE_TOKEN_FILE": str(irregular)}
    with pytest.raises(StartupError) as caught:
        load(SharedSettings, None, variables)
    assert str(caught.value) == (
        "CLAWDBOT_AUTH__SERVICE_TOKEN_FILE: auth.service_token_file: "
        f"cannot read {irregular}: it is not a regular file."
    )


def test_a_configuration_is_a_regular_file(irregular):
    with pytest.raises(StartupError, match="cannot read the configuration: it is not a regular file"):
        load(SharedSettings, irregular, {})


def test_certificates_are_regular_files(irregular):
    for files in ((irregular, irregular, None), (None, None, irregular)):
        with pytest.raises(StartupError, match="named under tls: it is not a regular file"):
            Certificates(*files)


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(StartupError, match=r"service_token_file: cannot read .*: Is a directory\.$"):
        load(SharedSettings, None, {"CLAWDBOT_AUTH__SERVICE_TOKEN_FILE": str(tmp_path)})


def test_a_secret_has_at_most_64_kib(tmp_path):
    path = tmp_path / "token"
    path.write_text("k" * 64 * 1024 + "\n")
    with pytest.raises(StartupError, match="it is larger than 65536 bytes"):
        load(SharedSettings, None, {"CLAWDBOT_AUTH__SERVICE_TOKEN_FILE": str(path)})


def test_a_link_to_a_regular_file_is_one_and_the_limit_is_exact(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 5) == b"12345"
    with pytest.raises(OSError, match="larger than 4 bytes"):
        read_regular(tmp_path / "link", 4)
