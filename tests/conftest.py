"""Inherited tests explain their failures as those in test modules do; property tests get their profile."""

import os

import pytest

pytest.register_assert_rewrite("tests.contract", "tests.e2e", "tests.support")


def pytest_configure() -> None:
    from tests.support.properties import load_profile

    load_profile()
    # Tests that configure no model expect the echo, whether or not a model's package is installed.
    os.environ.setdefault("CLAWDBOT_GATEWAY__LOCAL_MODEL", "false")
