"""A caller is identified by its key, and needs the scope of the method that it calls."""

import hashlib

import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2, flow_service_pb2
from clawdbot.model_gateway.v1 import model_admin_service_pb2, model_gateway_service_pb2
from clawdbot.plugin_runtime.v1 import plugin_runtime_service_pb2
from clawdbot.plugins.v1 import hook_service_pb2, plugin_service_pb2, tool_service_pb2
from clawdbot_servicekit.caller import Caller
from clawdbot_servicekit.errors import InvalidRequest, LocalOnly, PermissionDenied, Unauthenticated
from clawdbot_servicekit.identity import Identity
from clawdbot_servicekit.method_options import method_scopes
from clawdbot_servicekit.settings.shared import AuthSettings
from clawdbot_servicekit.settings.suite import SCOPES

TURN = "/clawdbot.dialogue.v1.DialogueService/SendTurn"
GENERATE = "/clawdbot.model_gateway.v1.ModelGatewayService/Generate"
SWITCH = "/clawdbot.model_gateway.v1.ModelAdminService/SwitchModel"
LIST = "/clawdbot.model_gateway.v1.ModelAdminService/ListModels"
KEY = "cb_test_ann_0123456789abcdef"
ADMIN_KEY = "cb_test_eve_0123456789abcdef"
TOKEN = "service-token-0123456789"
DEPLOY = "/clawdbot.dialogue.v1.FlowService/DeployFlow"
GATE = "/clawdbot.plugins.v1.HookService/Gate"
TOOLS = "/clawdbot.plugins.v1.ToolService/ListTools"
HERE = "ipv4:127.0.0.1:40000"
ELSEWHERE = "ipv4:192.0.2.7:40000"
SERVICES = [
    service.full_name
    for module in (
        dialogue_service_pb2,
        flow_service_pb2,
        hook_service_pb2,
        model_admin_service_pb2,
        model_gateway_service_pb2,
        plugin_runtime_service_pb2,
        plugin_service_pb2,
        tool_service_pb2,
    )
    for service in module.DESCRIPTOR.services_by_name.values()
]


class Trial(Identity):
    """Calls come from another machine, unless a test says otherwise."""

    def identify(self, metadata, method, peer=lambda: ELSEWHERE):
        return super().identify(metadata, method, peer)


def identity_of(**auth):
    identity = Trial(AuthSettings.model_validate(auth))
    identity.register(SERVICES)
    return identity


@pytest.fixture(scope="module")
def identity():
    return identity_of(
        keys=[
            {"id": "ann", "tenant": "acme", "key": KEY},
            {"id": "bob", "sha256": hashlib.sha256(b"bobs-key").hexdigest(), "scopes": ["models"]},
            {"id": "eve", "key": ADMIN_KEY, "scopes": ["models.admin"]},
        ],
        service_token=TOKEN,
    )


@pytest.mark.parametrize(
    "header", [("authorization", f"Bearer {KEY}"), ("authorization", f"bearer  {KEY}"), ("x-api-key", KEY)]
)
def test_a_key_names_its_tenant(identity, header):
    assert identity.identify([("user-agent", "x"), header], TURN) == Caller(tenant="acme", key_id="ann")


def test_a_key_can_be_configured_by_its_hash_alone(identity):
    assert identity.identify([("x-api-key", "bobs-key")], GENERATE).key_id == "bob"


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ([], "needs a key"),
        ([("x-api-key", "")], "needs a key"),
        ([("x-api-key", "nobodys-key")], "not one of this server's keys"),
        ([("x-api-key", KEY + "x")], "not one of this server's keys"),
        ([("x-api-key", "schl\u00fcssel")], "not one of this server's keys"),
        ([("authorization", KEY)], "must read"),
        ([("authorization", f"Basic {KEY}")], "must read"),
        ([("authorization", "Bearer ")], "must read"),
        ([("authorization", "Bearer nobodys-key"), ("x-api-key", KEY)], "not one of this server's keys"),
        ([("authorization-bin", KEY.encode())], "needs a key"),
    ],
)
def test_a_missing_or_wrong_key_is_refused_without_repeating_it(identity, metadata, sentence):
    with pytest.raises(Unauthenticated, match=sentence) as caught:
        identity.identify(metadata, TURN)
    shown = [str(value).removeprefix("Bearer ") for _, value in metadata]
    assert not [key for key in shown if key and key in str(caught.value)]


def test_a_key_without_the_scope_is_refused(identity):
    bob, eve = [("x-api-key", "bobs-key")], [("x-api-key", ADMIN_KEY)]
    assert identity.identify(bob, LIST).key_id == "bob"
    with pytest.raises(PermissionDenied, match=r"models\.admin"):
        identity.identify(bob, SWITCH)
    with pytest.raises(PermissionDenied, match="dialogue"):
        identity.identify(bob, TURN)
    assert identity.identify(eve, SWITCH).key_id == "eve"
    assert identity.identify(eve, GENERATE).key_id == "eve"


def test_only_the_service_token_calls_for_another_tenant(identity):
    tenant = ("x-clawdbot-tenant", "acme")
    service = identity.identify([("authorization", f"Bearer {TOKEN}"), tenant], GENERATE)
    assert service == Caller(tenant="acme", key_id="service", service=True)
    assert identity.identify([("authorization", f"Bearer {TOKEN}")], GENERATE).tenant == "default"
    assert identity.identify([("x-api-key", "bobs-key"), tenant], GENERATE).tenant == "default"


@pytest.mark.parametrize("tenant", ["a" * 129, "a\nb", "../x", "-a", ".", "a b", "ä", "a\\b", "a%2f", "a;b"])
def test_a_malformed_tenant_is_refused(identity, tenant):
    with pytest.raises(InvalidRequest):
        identity.identify([("x-api-key", TOKEN), ("x-clawdbot-tenant", tenant)], GENERATE)


def test_without_keys_every_caller_is_the_default_tenant():
    metadata = [("x-api-key", "anything"), ("x-clawdbot-tenant", "acme")]
    assert identity_of().identify(metadata, TURN) == Caller()


def test_a_service_token_alone_closes_the_server():
    with pytest.raises(Unauthenticated):
        identity_of(service_token=TOKEN).identify([], TURN, lambda: HERE)


def test_probes_need_no_key(identity):
    assert identity.identify([], "/grpc.health.v1.Health/Check") == Caller()


@pytest.mark.parametrize("scopes", [None, [], sorted(SCOPES)])
@pytest.mark.parametrize(
    "method", ["/other.Service/Method", "/clawdbot.plugin_runtime.v1.PluginRuntimeService/Drain"]
)
def test_no_key_may_call_a_method_that_is_not_for_keys(scopes, method):
    key = {"id": "ann", "key": KEY} | ({} if scopes is None else {"scopes": scopes})
    with pytest.raises(PermissionDenied):
        identity_of(keys=[key]).identify([("x-api-key", KEY)], method)


@pytest.mark.parametrize("method", [TURN, GENERATE, LIST, TOOLS, DEPLOY, SWITCH, GATE])
def test_an_empty_list_of_scopes_allows_nothing(method):
    identity = identity_of(keys=[{"id": "ann", "key": KEY, "scopes": []}])
    with pytest.raises(PermissionDenied):
        identity.identify([("x-api-key", KEY)], method, lambda: HERE)
    assert identity.identify([], "/grpc.health.v1.Health/Check") == Caller()


def test_a_key_that_names_no_scopes_may_talk_and_change_nothing(identity):
    for method in (TURN, GENERATE, LIST, TOOLS):
        assert identity.identify([("x-api-key", KEY)], method).key_id == "ann"
    for method in (DEPLOY, SWITCH, GATE):
        with pytest.raises(PermissionDenied):
            identity.identify([("x-api-key", KEY)], method, lambda: HERE)


def test_every_scope_of_the_contracts_can_be_given_to_a_key_except_the_plugins_own():
    assert set(method_scopes(SERVICES).values()) == {*SCOPES, "plugin_runtime"}


@pytest.mark.parametrize(
    "peer",
    [
        HERE,
        "ipv4:127.8.9.10:1",
        "ipv6:%5B::1%5D:1",
        "ipv6:[::1]:1",
        "ipv6:[::ffff:127.0.0.1]:1",
        "unix:",
        "unix:/s",
    ],
)
def test_without_keys_admin_calls_are_answered_on_this_machine(peer):
    assert identity_of().identify([], DEPLOY, lambda: peer) == Caller()


@pytest.mark.parametrize(
    "peer",
    [
        ELSEWHERE,
        "ipv6:%5B2001:db8::1%5D:1",
        "ipv6:%5B::ffff:192.0.2.7%5D:1",
        "ipv4:127.example.com:1",
        "ipv6:[::127.0.0.1]:1",
        "ipv4:localhost.example.com:1",
        "vsock:2:1",
        "unknown",
        "",
    ],
)
def test_without_keys_admin_calls_from_elsewhere_are_refused_whatever_their_headers_say(peer):
    forged = [("x-forwarded-for", "127.0.0.1"), ("forwarded", "for=127.0.0.1"), ("x-real-ip", "::1")]
    for method in (DEPLOY, SWITCH, "/other.Service/Method"):
        with pytest.raises(LocalOnly):
            identity_of().identify(forged, method, lambda: peer)
    assert identity_of().identify([], TURN, lambda: peer) == Caller()


def test_with_keys_a_caller_on_this_machine_needs_one_too(identity):
    with pytest.raises(Unauthenticated):
        identity.identify([], DEPLOY, lambda: HERE)
