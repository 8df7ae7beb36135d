"""What every provider of a backend behind HTTP does with what vendors refuse, whatever its protocol."""

from __future__ import annotations

import pytest
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    ContentFiltered,
    ContextTooLong,
    LimitTooSmall,
    MediaRefused,
    NoEndpoint,
    QuotaExhausted,
    RateLimited,
)

from tests.contract.providers.provider_contract import BackendContract, run
from tests.support.fake_openai import DROP, Answer, whole
from tests.support.generate_requests import asks, text_of

TOO_LONG = "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."
FILTERED = "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."
LIMIT = "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 42084."
USED_UP = "Rate limit reached for model `x` on tokens per minute (TPM): Limit 6000, Used 5900, Requested 420."

METHODS = pytest.mark.parametrize("method", ["stream", "generate"])


class VendorContract(BackendContract):
    """For providers whose fixture `backend` is a fake server with a script."""

    @staticmethod
    def refused(status: int, message: str) -> Answer:
        """An error as the vendor sends it."""
        return whole({"error": {"message": message, "type": "invalid_request_error"}}, status)

    @pytest.mark.parametrize(
        ("refusal", "error"),
        [
            ((400, TOO_LONG), ContextTooLong),
            ((413, "Prompt is too long"), ContextTooLong),
            ((400, FILTERED), ContentFiltered),
            ((404, "No endpoints found that support image input"), NoEndpoint),
            ((400, "Unsupported image url: data: URLs are not supported"), MediaRefused),
            ((429, LIMIT), LimitTooSmall),
            ((429, USED_UP), RateLimited),
            ((429, "You exceeded your current quota, please check your plan"), QuotaExhausted),
            ((401, "who are you?"), BackendAuth),
        ],
    )
    async def test_a_refusal_has_its_class(self, provider, model, backend, refusal, error):
        for method in ("stream", "generate"):
            backend.will(self.refused(*refusal))
            with pytest.raises(error) as raised:
                await run(provider, asks(), model, method)
            assert type(raised.value) is error
            assert raised.value.advice

    @METHODS
    async def test_a_request_that_may_have_been_worked_on_is_not_sent_again(
        self, provider, model, backend, method
    ):
        await run(provider, asks(), model, method)
        backend.asked.clear()
        backend.will(DROP)
        with pytest.raises(BackendFailed):
            await run(provider, asks(), model, method)
        assert len([each for each in backend.asked if each.body]) == 1
        assert text_of(await run(provider, asks(), model, method))
