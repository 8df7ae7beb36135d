"""What the errors of vendors, routers and servers mean: their codes, types, statuses and words together."""

from __future__ import annotations

import json

import pytest
from clawdbot_model_gateway.core.errors import (
    BackendAuth,
    BackendFailed,
    BackendOverloaded,
    BackendTimeout,
    ContentFiltered,
    ContextTooLong,
    FeatureRefused,
    MediaRefused,
    ModelMissing,
    NoEndpoint,
    ProtocolViolation,
    QuotaExhausted,
    RateLimited,
    RequestRefused,
    ResponseFormatMissed,
)
from clawdbot_model_gateway.http import ErrorMapper

ERRORS = ErrorMapper([])


def answered(status, body, **headers):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ERRORS.from_response(
        status, body, {name.replace("_", "-"): each for name, each in headers.items()}
    )


def e(message, code=None, kind=None):
    return {"error": {"message": message, "code": code, "type": kind}}


MISSING = [
    (
        "Mistral",
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
    ),
    (
        "Groq",
        400,
        e("The model `x` has been decommissioned and is no longer supported.", "model_decommissioned"),
    ),
    ("one like Groq", 400, e("The model llama-3.1-8b was retired on 1 May.")),
    ("OpenRouter", 400, e("foo/bar is not a valid model ID", 400)),
    ("LiteLLM", 400, e("/chat/completions: Invalid model name passed in model=x.", "400")),
    ("Bedrock", 400, {"message": "The provided model identifier is invalid."}),
    ("Bedrock", 400, {"message": "Invocation of model ID x with on-demand throughput isn't supported."}),
    ("Zhipu", 400, e("no", "1211")),
    ("Zhipu", 400, e("模型不存在，请检查模型代码")),
    ("NVIDIA", 410, {"status": 410, "title": "Gone", "detail": "The model 'x' has reached its end of life"}),
    ("anyone", 410, b""),
    ("Ark", 404, e("Your account has not activated the model x.", "ModelNotOpen", "NotFound")),
    ("OpenAI", 404, e("This is not a chat model and thus not supported in this endpoint.")),
    ("anyone", 400, e("no", "unknown_model")),
    ("Gemini", 404, e("models/gemini-9 is not found for API version v1beta.")),
    (
        "NVIDIA",
        404,
        {"status": 404, "title": "Not Found", "detail": "Function 'x': Not found for account 'y'"},
    ),
    ("Bedrock", 403, {"message": "You don't have access to the model with the specified model ID."}),
    ("OpenAI", 403, e("Project `x` does not have access to model `gpt-4o`")),
]
EMPTY = [
    ("Anthropic", 400, e("You have reached your specified API usage limits. You will regain access on …")),
    (
        "LiteLLM",
        400,
        e("Budget has been exceeded! Current cost: 10, Max budget: 5", "400", "budget_exceeded"),
    ),
    ("Fireworks", 412, e("Account x is suspended, possibly due to reaching the monthly spending limit")),
    ("SiliconFlow", 403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    ("one like SiliconFlow", 403, {"message": "Your balance is not enough"}),
    ("DashScope", 403, e("Free allocated quota exceeded.", "AllocationQuota.FreeTierOnly")),
    ("DashScope", 403, e("no", "AllocationQuota.FreeTierOnly")),
    ("Ark", 403, e("no", "AccountOverdueError", "Forbidden")),
    ("Ark", 429, e("no", "SetLimitExceeded", "TooManyRequests")),
    ("xAI", 403, {"code": "no permission", "error": "Your newly created team doesn't have any credits yet."}),
    ("OpenRouter", 403, e("Key limit exceeded (total limit). Manage it using https://…/keys", 403)),
    ("new-api", 403, e("用户额度不足, 剩余额度: -0.1", "insufficient_user_quota")),
    ("Ollama", 429, {"error": "you (x) have reached your weekly usage limit, upgrade for higher limits"}),
    ("Bedrock", 400, {"__type": "ServiceQuotaExceededException", "message": "no"}),
    *(("Zhipu", 429, e("no", code)) for code in ("1304", "1308", "1309", "1310")),
]
MEDIA = [
    ("DeepSeek", 400, e("Failed to deserialize: messages[0]: unknown variant `image_url`, expected `text`")),
    ("OpenAI", 400, e("Invalid content type. image_url is only supported by certain models.")),
    ("OpenAI", 400, e("Error while downloading https://x/y.png.", "invalid_image_url")),
    ("one like OpenAI", 400, e("Failed to fetch the image")),
    ("Anthropic", 400, e("messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 7 > 5")),
    ("Anthropic", 400, e("The image was specified using the image/jpeg media type, but it is image/png")),
    ("Groq", 400, e("('messages.0.content' : value must be a string)")),
    ("vLLM", 400, e("At most 1 image(s) may be provided in one request.")),
    ("one like vLLM", 400, e("Too many images in the request")),
    ("anyone", 400, e("This endpoint does not accept images")),
    ("anyone", 400, e("Unsupported file type: application/x")),
    ("anyone", 400, e("Only base64-encoded images are supported")),
    ("anyone", 400, e("The provided URL does not appear to point to a valid image")),
]
NOBODY = [
    ("OpenRouter", 503, e("There is no available model provider that meets your routing requirements", 503)),
    (
        "OpenRouter",
        404,
        e("All providers have been ignored. To change your default ignored providers, visit: …"),
    ),
    ("new-api", 503, e("当前分组 default 下对于模型 x 无可用渠道")),
    ("Hugging Face", 400, e("The requested model 'x' is not supported by any provider you have enabled.")),
]
FILTERED = [
    ("OpenRouter", 403, e("Your chosen model requires moderation and your input was flagged", 403)),
    ("one like OpenRouter", 403, e("The message has been flagged", None, "permission_error")),
    ("Ark", 400, e("no", "InputTextSensitiveContentDetected.PolicyViolation", "BadRequest")),
    ("Ark", 400, e("no", "OutputImageSensitiveContentDetected")),
    ("DashScope", 400, e("no", "InternalError.Algo.DataInspectionFailed")),
    ("Ark", 400, e("The request failed because the input text may contain sensitive information.")),
    ("OpenAI", 400, e("no", "cyber_policy")),
    ("OpenAI", 400, e("Your request was rejected as a result of our safety system.")),
    ("anyone", 403, e("Request blocked: harmful content detected")),
    ("anyone", 403, e("Content moderation failed")),
    ("anyone", 403, e("This violates our acceptable use policies")),
    ("anyone", 403, e("内容违反相关规定")),
    ("OpenAI", 400, e("no", "image_content_policy_violation")),
]
FEATURES = [
    ("Ollama", 400, {"error": "registry.ollama.ai/library/gemma:2b does not support tools"}),
    (
        "vLLM",
        400,
        e('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'),
    ),
    ("anyone", 400, e("This model doesn't support function calling")),
    ("anyone", 400, e("This model does not support json_schema")),
    ("OpenAI", 400, e("Unsupported parameter: 'tools' is not supported with this model.")),
    ("Gemini", 400, e("Function calling is not enabled for this model")),
    ("Gemini", 400, e("Function calling with a response mime type: 'application/json' is unsupported")),
    ("DeepSeek", 400, e("This response_format type is unavailable now")),
    ("Moonshot", 400, e("tool_choice 'required' is incompatible with thinking enabled")),
    ("Anthropic", 400, e("Thinking may not be enabled when tool_choice forces tool use.")),
]
BUSY = [
    ("Groq", 498, e("no"), BackendOverloaded),
    ("anyone", 425, b"", BackendOverloaded),
    (
        "Mistral",
        429,
        {"message": "Service tier capacity exceeded for this model.", "code": "3505"},
        BackendOverloaded,
    ),
    ("Ark", 429, e("no", "ServerOverloaded", "TooManyRequests"), BackendOverloaded),
    (
        "Bedrock",
        400,
        {"__type": "com.amazon.coral#ThrottlingException", "message": "Rate exceeded"},
        RateLimited,
    ),
    ("Bedrock", 400, {"message": "Rate exceeded"}, RateLimited),
    ("DashScope", 429, e("no", "Throttling.AllocationQuota"), RateLimited),
    ("Bedrock", 503, {"message": "no"}, BackendOverloaded),
    (
        "TGI",
        424,
        {"error": "Request failed during generation: CUDA", "error_type": "generation"},
        BackendFailed,
    ),
    ("anyone", 409, e("conflict"), BackendFailed),
    ("Cloudflare", 524, b"error code: 524", BackendTimeout),
    ("new-api", 400, e("no", "bad_response_status_code"), BackendFailed),
    ("anyone", 400, e("Upstream request failed", None, "upstream_error"), BackendFailed),
    *(("anyone", 500, e(each), BackendOverloaded) for each in ("Overloaded", "Loading model", "overloaded!")),
    ("anyone", 400, e("Service temporarily unavailable"), BackendOverloaded),
    ("anyone", 500, {"error": "Model x is currently loading"}, BackendOverloaded),
    ("LiteLLM", 500, e("litellm.RateLimitError: AnthropicException - x"), RateLimited),
    ("LiteLLM", 500, e("litellm.ContextWindowExceededError: x"), ContextTooLong),
    ("LiteLLM", 500, e("litellm.AuthenticationError: x"), BackendAuth),
    ("LiteLLM", 400, e("litellm.InternalServerError: AnthropicException - Overloaded"), BackendOverloaded),
    ("LiteLLM", 400, e("litellm.ContentPolicyViolationError: x"), ContentFiltered),
    ("vLLM", 400, e("max_tokens must be at least 1, got -500."), ContextTooLong),
    ("Anthropic", 400, e("too many total text bytes: 12000000 > 9000000"), ContextTooLong),
    ("nginx", 499, b"", BackendFailed),
    ("Groq", 400, e("Failed to call a function.", "tool_use_failed", "invalid_request_error"), BackendFailed),
    ("Groq", 400, e("Failed to generate JSON.", "json_validate_failed"), ResponseFormatMissed),
]
ANSWERS = [
    *((*each, ModelMissing) for each in MISSING),
    *((*each, QuotaExhausted) for each in EMPTY),
    *((*each, MediaRefused) for each in MEDIA),
    *((*each, NoEndpoint) for each in NOBODY),
    *((*each, ContentFiltered) for each in FILTERED),
    *((*each, FeatureRefused) for each in FEATURES),
    *BUSY,
]


@pytest.mark.parametrize(("vendor", "status", "body", "kind"), ANSWERS)
def test_each_vendors_error_has_its_class(vendor, status, body, kind):
    assert type(answered(status, body)) is kind, vendor


FRIENDS = [
    # The request's own fault, in words that remind of something else.
    "Unknown parameter: 'context_length'.",
    "The `context_window` field is not permitted",
    "body.context_length: Extra inputs are not permitted",
    "context length of cached content is too small: minimum 1024 tokens",
    "stop sequence exceeds maximum length of 100 tokens",
    "max_tokens is too large: 32768. This model supports at most 16384 completion tokens",
    "tools.0.name: expected maxLength: 64, actual: 70",
    "For this model, max_tokens is deprecated; use max_completion_tokens",
    "Unsupported parameter: 'top_k' is not supported with this model.",
    "The model parameter 'functions' is deprecated",
    "Invalid model parameters: temperature",
    "logprobs are not supported with tools",
    "max_tokens exceeds the model's maximum output tokens",
    "tool_call_id not found",
    "The arguments violate the schema of the function",
    "tools.0.input_schema: JSON schema is invalid",
    "Field images_per_prompt must be positive",
    "The usage field is not permitted",
    "messages.0.role: Input should be 'user' or 'assistant'",
    "max_tokens must be at least 1, got 0",
    "max_tokens: 64000 > 8192, which is the maximum allowed number of output tokens for this model",
    "The image_detail field must be low or high",
    "Model context window too small (minimum is 128k tokens)",
    "tool_choice must be a string or an object",
    "Unknown field: loading_model_name",
]


@pytest.mark.parametrize("message", FRIENDS)
def test_a_refusal_of_the_requests_own_fault_stays_one(message):
    error = answered(400, e(message, None, "invalid_request_error"))
    assert type(error) is RequestRefused
    assert not error.retry_elsewhere


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Failed to load the model file", BackendFailed),
        ("failed to fetch upstream url: connection refused", BackendFailed),
        ("The model produced invalid content", BackendFailed),
        ("CUDA out of memory", BackendFailed),
    ],
)
def test_a_server_that_broke_is_asked_again(message, kind):
    assert type(answered(500, e(message))) is kind


@pytest.mark.parametrize(
    "message",
    [
        "Validation Error: expected maxLength: 50000, actual: 84000, please reformat your input",
        "number of input tokens must be no more than 32768, got 40000",
        "Tokens limit exceeded",
        "the max input characters is 516096",
        "the input token count is 1200000 but model only supports up to 1048576.",
        "Requested 200000 tokens, but the model only supports 128000",
        "Prompt 超长",
        "请求内容超长",
        "The total tokens of this request exceeds the limit: 65536",
        "prompt tokens too long",
        "Your request is too long for the model",
        "max_total_tokens (40960) exceeds",
        "max tokens of 200000 exceeded",
        "Request body too large for gpt-4o model. Max size: 8000 tokens.",
        "The length of the input exceeds the model's maximum",
        "Error code: context_length_exceeded",
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_a_conversation_that_is_too_long_is_recognized(message, status):
    assert type(answered(status, e(message))) is ContextTooLong


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            403,
            e("Country, region, or territory not supported"),
            "Country, region, or territory not supported",
        ),
        (401, {"error": "Unauthorized"}, "Unauthorized"),
        (403, b"<html><title>403 Forbidden</title></html>", "403 Forbidden"),
    ],
)
def test_a_refused_account_is_told_why_where_no_key_is_in_the_words(status, body, said):
    error = answered(status, body)
    assert type(error) is BackendAuth
    assert said in error.detail


def test_a_check_for_robots_is_no_matter_of_the_key():
    error = answered(403, b"<html><head><title>Just a moment...</title>", content_type="text/html")
    assert type(error) is ProtocolViolation
    assert "Just a moment" in error.detail
    assert "in between" in error.advice


def test_bedrocks_code_is_read_from_its_header():
    error = answered(400, {"message": "no"}, x_amzn_errortype="ThrottlingException:http://internal/")
    assert type(error) is RateLimited


def test_the_time_until_a_model_is_loaded_is_the_time_to_wait():
    assert (
        answered(503, {"error": "Model x is currently loading", "estimated_time": 47.5}).retry_after == 47.5
    )
