"""Facts that are inherited explain themselves when they fail, as those in test modules do."""

import pytest

pytest.register_assert_rewrite("tests.contract", "tests.e2e", "tests.support")
