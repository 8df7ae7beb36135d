"""Every method of the contracts says which scope a key needs; those that may be retried say so.

The table is data, so that a change of either is seen. The kit reads both from the generated code.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from clawdbot_servicekit.method_options import is_retryable, method_scopes

PROTOS = Path(__file__).resolve().parents[3] / "protos"
METHODS = {
    "clawdbot.dialogue.v1.DialogueService": {
        "CreateSession": ("dialogue", False),
        "GetSession": ("dialogue", True),
        "ListSessions": ("dialogue", True),
        "DeleteSession": ("dialogue", False),
        "SendTurn": ("dialogue", False),
        "StreamTurn": ("dialogue", False),
        "Converse": ("dialogue", False),
        "CancelTurn": ("dialogue", False),
        "ListTurns": ("dialogue", True),
        "ExplainTurn": ("dialogue", True),
        "WatchSession": ("dialogue", False),
        "ForkSession": ("dialogue", False),
        "ExportSession": ("dialogue", False),
    },
    "clawdbot.dialogue.v1.FlowService": {
        "ListFlows": ("dialogue", True),
        "GetFlow": ("dialogue", True),
        "ValidateFlow": ("dialogue", True),
        "DeployFlow": ("dialogue.admin", False),
        "RenderFlow": ("dialogue", True),
    },
    "clawdbot.model_gateway.v1.ModelAdminService": {
        "ListModels": ("models", True),
        "GetModel": ("models", True),
        "SwitchModel": ("models.admin", False),
        "ListBackends": ("models.admin", True),
        "DrainBackend": ("models.admin", False),
        "ReloadModels": ("models.admin", False),
        "FlushCache": ("models.admin", False),
        "RegisterModel": ("models.admin", False),
        "VerifyModel": ("models.admin", False),
    },
    "clawdbot.model_gateway.v1.ModelGatewayService": {
        "Generate": ("models", False),
        "StreamGenerate": ("models", False),
        "Embed": ("models", True),
        "CountTokens": ("models", True),
        "Transcribe": ("models", False),
        "Synthesize": ("models", False),
    },
    "clawdbot.plugin_runtime.v1.PluginRuntimeService": {
        "Handshake": ("plugin_runtime", False),
        "Describe": ("plugin_runtime", True),
        "InvokeTool": ("plugin_runtime", False),
        "GateHook": ("plugin_runtime", False),
        "ModifyHook": ("plugin_runtime", False),
        "ObserveHook": ("plugin_runtime", False),
        "Drain": ("plugin_runtime", False),
    },
    "clawdbot.plugins.v1.HookService": {
        "Gate": ("hooks", False),
        "Modify": ("hooks", True),
        "Observe": ("hooks", False),
    },
    "clawdbot.plugins.v1.PluginService": {
        "ListPlugins": ("plugins", True),
        "GetPlugin": ("plugins", True),
        "WatchPlugins": ("plugins", False),
        "InstallPlugin": ("plugins.admin", False),
        "UpgradePlugin": ("plugins.admin", False),
        "UninstallPlugin": ("plugins.admin", False),
        "EnablePlugin": ("plugins.admin", False),
        "DisablePlugin": ("plugins.admin", False),
        "SearchMarket": ("plugins", True),
    },
    "clawdbot.plugins.v1.ToolService": {
        "ListTools": ("tools", True),
        "InvokeTool": ("tools", False),
    },
}
"""Service → method → (scope, whether gRPC may retry it after UNAVAILABLE)."""


def contract_methods() -> dict[str, set[str]]:
    """Service → its methods, for every service that a file under protos/ declares."""
    methods = {}
    for path in sorted(PROTOS.rglob("*.proto")):
        module = ".".join(path.relative_to(PROTOS).with_suffix("").parts) + "_pb2"
        for service in import_module(module).DESCRIPTOR.services_by_name.values():
            methods[service.full_name] = {method.name for method in service.methods}
    return methods


def test_every_method_has_a_scope():
    methods = {f"/{service}/{name}" for service, names in contract_methods().items() for name in names}
    assert methods
    assert methods - method_scopes(contract_methods()).keys() == set()


def test_scopes_and_retries_are_these():
    scopes = method_scopes(contract_methods())
    found = {
        service: {name: (scopes[f"/{service}/{name}"], is_retryable(f"/{service}/{name}")) for name in names}
        for service, names in contract_methods().items()
    }
    assert found == METHODS


def test_what_is_not_loaded_has_no_scope_and_is_not_retried():
    assert method_scopes(["other.Service", "clawdbot.common.v1.Message"]) == {}
    assert not is_retryable("/other.Service/Method")
    assert not is_retryable("")


def test_what_the_health_protocol_declares_has_no_scope():
    assert method_scopes(["grpc.health.v1.Health"]) == {}
