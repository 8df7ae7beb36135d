"""Inherited tests explain their failures as those in test modules do; property tests get their profile."""

import pytest

pytest.register_assert_rewrite("tests.contract", "tests.e2e", "tests.support")


def pytest_configure() -> None:
    from tests.support.properties import load_profile

    load_profile()
