"""A caller is identified by its key, and needs the scope of the method that it calls."""

import hashlib

import pytest
from clawdbot.dialogue.v1 import dialogue_service_pb2
from clawdbot.model_gateway.v1 import model_admin_service_pb2, model_gateway_service_pb2
from clawdbot_servicekit.caller import Caller
from clawdbot_servicekit.errors import InvalidRequest, PermissionDenied, Unauthenticated
from clawdbot_servicekit.identity import Identity
from clawdbot_servicekit.settings.shared import AuthSettings

TURN = "/clawdbot.dialogue.v1.DialogueService/SendTurn"
GENERATE = "/clawdbot.model_gateway.v1.ModelGatewayService/Generate"
SWITCH = "/clawdbot.model_gateway.v1.ModelAdminService/SwitchModel"
LIST = "/clawdbot.model_gateway.v1.ModelAdminService/ListModels"
KEY = "cb_test_ann_0123456789abcdef"
TOKEN = "service-token-0123456789"
SERVICES = [
    service.full_name
    for module in (dialogue_service_pb2, model_admin_service_pb2, model_gateway_service_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]


@pytest.fixture(scope="module")
def identity():
    identity = Identity(
        AuthSettings.model_validate(
            {
                "keys": [
                    {"id": "ann", "tenant": "acme", "key": KEY},
                    {"id": "bob", "sha256": hashlib.sha256(b"bobs-key").hexdigest(), "scopes": ["models"]},
                    {"id": "eve", "key": "the-key-of-the-admin", "scopes": ["models.admin"]},
                ],
                "service_token": TOKEN,
            }
        )
    )
    identity.register(SERVICES)
    return identity


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
    bob, eve = [("x-api-key", "bobs-key")], [("x-api-key", "the-key-of-the-admin")]
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


@pytest.mark.parametrize("tenant", ["a" * 129, "a\nb"])
def test_a_malformed_tenant_is_refused(identity, tenant):
    with pytest.raises(InvalidRequest):
        identity.identify([("x-api-key", TOKEN), ("x-clawdbot-tenant", tenant)], GENERATE)


def test_without_keys_every_caller_is_the_default_tenant():
    metadata = [("x-api-key", "anything"), ("x-clawdbot-tenant", "acme")]
    assert Identity(AuthSettings()).identify(metadata, TURN) == Caller()


def test_a_service_token_alone_closes_the_server():
    with pytest.raises(Unauthenticated):
        Identity(AuthSettings.model_validate({"service_token": TOKEN})).identify([], TURN)


def test_probes_need_no_key(identity):
    assert identity.identify([], "/grpc.health.v1.Health/Check") == Caller()


def test_a_method_without_a_scope_needs_a_key_without_limits(identity):
    with pytest.raises(PermissionDenied):
        identity.identify([("x-api-key", "bobs-key")], "/other.Service/Method")
    assert identity.identify([("x-api-key", KEY)], "/other.Service/Method").key_id == "ann"
