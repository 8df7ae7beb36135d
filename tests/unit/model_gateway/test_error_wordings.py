"""What vendors write in an error decides its class, in each of their wordings."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    ContentFiltered,
    ContextTooLong,
    FeatureRefused,
    LimitTooSmall,
    MediaRefused,
    ModelMissing,
    NoEndpoint,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
)
from clawdbot_model_gateway.http import ErrorMapper

ERRORS = ErrorMapper([])


def error_of(status, body):
    return ERRORS.from_response(status, json.dumps(body).encode(), {})


def said(message, status=400):
    return type(error_of(status, {"error": {"message": message}}))


@pytest.mark.parametrize(
    ("vendor", "message"),
    [
        ("OpenAI", "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens."),
        ("OpenAI", "Your input exceeds the context window of this model. Please adjust your input."),
        ("OpenAI", "Input tokens exceed the configured limit of 272000 tokens."),
        ("Azure", "'max_tokens' is too large: 2000. This model's maximum context length is 4096 tokens."),
        ("Anthropic", "prompt is too long: 213462 tokens > 200000 maximum"),
        ("Anthropic", "input length and `max_tokens` exceed context limit: 198157 + 21333 > 200000"),
        ("Bedrock", "Input is too long for requested model."),
        ("Bedrock", "Too many input tokens. Max input tokens: 8192, request input token count: 9279"),
        ("Gemini", "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."),
        ("Gemini", "The input token count exceeds the maximum number of tokens allowed 1048576."),
        ("Gemini", "Your input context is too long."),
        ("Copilot", "prompt token count of 51808 exceeds the limit of 12288"),
        ("xAI", "This model's maximum prompt length is 131072 but the request contains 537812 tokens."),
        ("Groq", "Please reduce the length of the messages or completion."),
        ("Cerebras", "Please reduce the length of the messages or completion. Current length is 9000"),
        ("Mistral", "Prompt contains 65673 tokens, too large for model with 32768 maximum context length"),
        (
            "Mistral",
            "The number of tokens in the prompt exceeds the model's maximum context length.",
        ),
        ("DeepSeek", "This model's maximum context length is 65536 tokens. However, you requested 73149."),
        ("Moonshot", "Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)"),
        ("Moonshot", "Input token length too long"),
        (
            "DashScope",
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 9]",
        ),
        ("Zhipu", "Prompt too long"),
        ("MiniMax", "invalid params, context window exceeds limit"),
        ("Cohere", "too many tokens: size limit exceeded by 19296 tokens. The limit is 132000 tokens."),
        ("Perplexity", "The total length of all messages is too long."),
        (
            "OpenRouter",
            "This endpoint's maximum context length is 32768 tokens. However, you requested 9.",
        ),
        ("Together", "The input (61709 tokens) is longer than the model's context length (40960 tokens)."),
        ("Together", "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens"),
        ("Fireworks", "The prompt is too long: 140000, model maximum context length: 131071"),
        ("vLLM", "The decoder prompt (length 5000) is longer than the maximum model length of 4096."),
        ("SGLang", "Input length (160062 tokens) exceeds the maximum allowed length (59862 tokens)."),
        ("llama.cpp", "the request exceeds the available context size, try increasing it"),
        (
            "LM Studio",
            "The number of tokens to keep from the prompt is greater than the context length",
        ),
        ("LM Studio", "Cannot truncate prompt with n_keep (9102) >= n_ctx (4096)"),
        ("Ollama", "prompt too long; exceeded max context length by 4 tokens"),
        ("Ollama", "the input length exceeds the context length"),
        ("TGI", "Input validation error: `inputs` must have less than 1024 tokens. Given: 5000"),
        ("TensorRT-LLM", "Prompt length (5000) exceeds maximum input length (4096)."),
        ("TabbyAPI", "Prompt length 5000 is greater than max_seq_len 4096"),
        ("LiteLLM", "Requested token count exceeds the model's maximum context length of 131072 tokens"),
        ("Poolside", "The request exceeds the maximum allowed input length of 131072 tokens"),
        (
            "watsonx",
            "the number of input tokens 5000 cannot exceed the total tokens limit 4096",
        ),
        ("in Chinese", "输入长度超过模型上限"),
        ("in Chinese", "请求的上下文长度过长"),
        ("others", "The input (9000 tokens) is too long for this model. Max 8192."),
        ("others", "Please reduce your prompt; or completion length."),
        ("others", "Input validation error: total tokens 9000 exceed model window 8192"),
        ("others", "Your messages have 9000 tokens, which is more than the model supports (8192)."),
        ("others", "Total tokens of image and text exceed max message tokens"),
        ("others", "Prompt has 40,000 tokens, but the model limit is 32,768"),
        ("others", "Sequence length of 40000 exceeds maximum of 32768"),
        ("others", "prompt length (5000) > max context (4096)"),
        ("others", "tokens in request more than max tokens allowed"),
        ("others", "Input too large: 50000 tokens; max is 40000"),
        ("one that nobody has seen", "your conversation is larger than the max tokens of this engine"),
    ],
)
@pytest.mark.parametrize("status", [400, 413, 422, 500])
def test_a_conversation_that_is_too_long_is_recognized_in_each_wording(vendor, message, status):
    assert said(message, status) is ContextTooLong, vendor


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        ("Too many tokens, please wait before trying again.", 400, RequestRefused),
        ("Rate limit: too many tokens per minute", 429, RateLimited),
        ("max_tokens is too large: 100000. This model supports at most 16384 completion tokens", 400, None),
        ("Range of max_tokens should be [1, 8192]", 400, None),
        ("Invalid 'temperature': decimal above maximum value. Expected a value <= 2", 400, None),
        ("Unknown parameter: 'context_management'", 400, None),
        ("Request exceeds the maximum number of tools (128)", 400, None),
        ("Invalid input: 90000 for max_tokens, the limit is 8192", 400, None),
        ("Invalid input: max_completion_tokens 90000 is over the limit of 8192", 400, None),
        ("messages: one image has 9000 pixels, the limit is 8000", 400, None),
        ("The input has 3000 items, max 2048", 400, None),
        ("Your organization has disabled this kind of input", 400, None),
        ("the server had an error while processing your request", 500, BackendFailed),
    ],
)
def test_other_limits_are_no_matter_of_the_context(message, status, kind):
    assert said(message, status) is (kind or RequestRefused)


@pytest.mark.parametrize(
    "body",
    [
        {"error": {"message": "no", "code": "context_length_exceeded"}},
        {"error": {"message": "no", "code": "1261"}},
        {"error": {"message": "no", "type": "exceed_context_size_error"}},
        {"object": "error", "message": "no", "code": 3051},
        {"message": "too many tokens: total number of tokens in the prompt exceeds the limit of 4081."},
        {
            "error": "Input validation error: `inputs` must have less than 1024 tokens.",
            "error_type": "validation",
        },
        {"detail": "prompt is too long"},
        {"error": "invalid_request", "error_description": "prompt is too long"},
        {"description": "prompt is too long"},
        {"fault": {"faultstring": "prompt is too long"}},
        {"error": {"message": "no", "details": [{"code": "context_length_exceeded"}]}},
        {"detail": [{"loc": ["body", "messages"], "msg": "Input is too long", "input": "…"}]},
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": "prompt is too long"},
            }
        },
        {
            "error": {
                "message": "Provider returned error",
                "metadata": {"raw": {"message": "prompt too long"}},
            }
        },
        [{"error": {"code": 400, "message": "The input token count (9) exceeds the maximum number (8)."}}],
    ],
)
def test_the_wording_is_found_in_every_form_of_an_error(body):
    assert type(error_of(400, body)) is ContextTooLong


@pytest.mark.parametrize(
    "frame", ["data: {}\n\n", "event: error\ndata: {}\n\ndata: [DONE]\n\n", "error: {}\n\n"]
)
def test_an_error_may_come_as_an_event(frame):
    body = frame.replace("{}", '{"error": {"code": "insufficient_quota", "message": "no"}}', 1)
    assert type(ERRORS.from_response(429, body.encode(), {})) is QuotaExhausted


def test_what_we_sent_is_not_taken_for_the_vendors_words():
    echoed = {"detail": [{"loc": ["body", "top_k"], "msg": "must be > 0", "input": "prompt is too long"}]}
    error = error_of(422, echoed)
    assert type(error) is RequestRefused
    assert error.detail == "HTTP 422: body.top_k: must be > 0"


def test_a_413_without_a_word_is_a_conversation_that_is_too_long():
    assert type(ERRORS.from_response(413, b"", {})) is ContextTooLong


def test_another_target_is_asked_where_it_may_do_better():
    assert ContextTooLong.retry_elsewhere
    assert MediaRefused.retry_elsewhere
    assert LimitTooSmall.retry_elsewhere
    assert not ContentFiltered.retry_elsewhere


@pytest.mark.parametrize(
    "body",
    [
        {
            "error": {
                "message": "The response was filtered",
                "code": None,
                "innererror": {"code": "ResponsibleAIPolicyViolation"},
            }
        },
        {"error": {"message": "no", "code": "content_filter"}},
        {"error": {"message": "no", "code": "data_inspection_failed"}},
        {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content."},
        {"error": {"message": "no", "code": "1301"}},
        {"error": {"message": "Content Exists Risk", "type": "invalid_request_error"}},
        {"error": {"message": "The request was rejected because it was considered high risk"}},
        {"error": {"message": "Output blocked by content filtering policy"}},
        {"error": {"message": "Your prompt was flagged as potentially violating our usage policy."}},
        {"error": {"message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}},
    ],
)
@pytest.mark.parametrize("status", [400, 403])
def test_a_content_filter_is_neither_a_wrong_key_nor_a_wrong_request(body, status):
    assert type(error_of(status, body)) is ContentFiltered


@pytest.mark.parametrize(
    "message",
    [
        "No endpoints found that support tool use. To learn more about provider routing, visit: …",
        "No endpoints found matching your data policy (Free model publication).",
        "No endpoints found for nousresearch/hermes-3-llama-3.1-405b:free.",
        "No endpoints available matching your guardrail restrictions and data policy.",
        "No allowed providers are available for the selected model.",
    ],
)
def test_a_router_without_a_vendor_for_the_request_says_so(message):
    assert said(message, 404) is NoEndpoint


@pytest.mark.parametrize(
    "message",
    [
        "'url' field must be a base64 encoded image.",
        "unsupported image url: https://example.com/cat.png",
        "Only HTTPS URLs are supported.",
        "Only base64, http or https URLs are supported.",
        "Invalid image URL",
        "data: URLs are not supported",
        "image input is not supported - hint: you may need to provide the mmproj",
        "This model does not support image input",
        "Could not process image",
        "x is not a multimodal model",
    ],
)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_refused_medium_says_what_to_send_instead(message, status):
    error = error_of(status, {"error": {"message": message}})
    assert type(error) is MediaRefused
    assert "by URL" in error.advice


GROQ = "Request too large for model `llama` in organization `org_1` on tokens per minute (TPM): "


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        (f"{GROQ}Limit 6000, Requested 42084, please reduce your message size", 413, LimitTooSmall),
        (f"{GROQ}Limit 6,000, Requested 42,084", 429, LimitTooSmall),
        (
            "Request too large for gpt-4.1 on tokens per min (TPM): Limit 30000, Requested 37313.",
            429,
            LimitTooSmall,
        ),
        ("Request too large for gpt-4o on tokens per min. Reduce the input.", 429, LimitTooSmall),
        ("Rate limit reached (RPM): Limit: 0, Requested: 1.", 429, LimitTooSmall),
        ("Requested 42084 tokens, limit 6000 tokens per minute", 429, LimitTooSmall),
        ("This request (42084 tokens) is larger than your rate limit of 6000 a minute", 429, LimitTooSmall),
        ("Request exceeds the TPM limit: 42084 > 6000", 429, LimitTooSmall),
        ("Your request of 420 tokens exceeds what is left of your rate limit of 6000", 429, RateLimited),
        ("Rate limit 10000: your request of 4000 tokens is more than the 3000 that remain", 429, RateLimited),
        ("Rate limit: request 1234567 exceeded the limit of 500 requests per minute", 429, RateLimited),
        (
            "Rate limit reached (TPM): Limit 30000, Used 73124, Requested 1877. Please try again",
            429,
            RateLimited,
        ),
        ("Rate limit reached (TPM): Limit 30000, Used 29000, Requested 30000.", 429, RateLimited),
        ("Insufficient balance", 429, QuotaExhausted),
        ("Your team has used all available credits", 429, QuotaExhausted),
    ],
)
@pytest.mark.parametrize("code", ["rate_limit_exceeded", None])
def test_a_limit_that_waiting_never_mends_has_no_time_to_retry(message, status, kind, code):
    if kind is QuotaExhausted:
        code = None
    error = error_of(status, {"error": {"message": message, "type": "tokens", "code": code}})
    assert type(error) is kind
    assert hasattr(error, "retry_after") == (kind is RateLimited)


@pytest.mark.parametrize(
    ("message", "status", "kind"),
    [
        ("Your account is not active, please check your billing details", 403, QuotaExhausted),
        ("You have been banned for violating our policies", 403, BackendAuth),
        ("Your account was deactivated, since it violates our policies", 401, BackendAuth),
        ("Your organization must be verified to stream this model", 400, BackendAuth),
        ("This account has been temporarily disabled", 403, BackendAuth),
        ("The API deployment for this resource does not exist", 404, ModelMissing),
        ("No models loaded. Please load one in the developer page", 400, ModelMissing),
        ("LLM Provider NOT provided. Pass in the provider", 400, ModelMissing),
        ("json_schema is not supported by this model", 400, FeatureRefused),
        ("Thinking mode does not support this tool_choice", 400, FeatureRefused),
        ("<400> The tool_choice parameter does not support being set to required", 400, FeatureRefused),
    ],
)
def test_what_another_target_may_answer_is_no_refusal_of_the_request(message, status, kind):
    assert said(message, status) is kind
    assert kind.retry_elsewhere


def test_a_router_without_a_channel_is_not_overloaded():
    assert said("No available channel for model gpt-x under group default", 503) is NoEndpoint
    assert said("The model is overloaded", 503) is BackendOverloaded
