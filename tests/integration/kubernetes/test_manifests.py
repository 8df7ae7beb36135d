"""What can be known about the manifests without a cluster; tests/cluster shows that they work in one."""

from __future__ import annotations

import re
import shutil

import kubernetes_validate
import pytest
from clawdbot_cli.settings import SuiteSettings
from clawdbot_dialogue.settings import DialogueSettings
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_servicekit.health import LIVENESS, READINESS
from clawdbot_servicekit.settings import load
from clawdbot_servicekit.settings.shared import METRICS_OFFSET

from tests.support.manifests import KUBERNETES, Overlay
from tests.support.packages import IMAGES, ROOT

pytestmark = pytest.mark.integration

KUBERNETES_VERSION = "1.37"
OVERLAYS = sorted(each.name for each in (KUBERNETES / "overlays").iterdir())
SETTINGS = {
    "dialogue": DialogueSettings,
    "model-gateway": GatewaySettings,
    "plugins": PluginsSettings,
    "suite": SuiteSettings,
}
IMAGE_ENVIRONMENT = dict(re.findall(r"\b(CLAWDBOT_\w+)=(\S+)", (ROOT / "deploy" / "Dockerfile").read_text()))
CONFIG_FOLDER = "/etc/clawdbot"
SECRETS_FOLDER = f"{CONFIG_FOLDER}/secrets"
CLOSING = 10
"""Seconds that a service may take to close its stores after the grace."""


@pytest.fixture(scope="module", params=OVERLAYS)
def overlay(request):
    return Overlay(KUBERNETES / "overlays" / request.param)


@pytest.fixture
def settings(overlay, tmp_path):
    """Deployment → its settings, read as its pods read them: from the mounted file and their environment."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    loaded = {}
    for name, container in overlay.containers():
        text = overlay.configuration(name)
        for number, key in enumerate(re.findall(rf"{SECRETS_FOLDER}/([\w-]+)", text)):
            (secrets / key).write_text(f"{number}" * 24)
        path = tmp_path / f"{name}.yaml"
        path.write_text(text.replace(SECRETS_FOLDER, str(secrets)))
        environ = IMAGE_ENVIRONMENT | {each["name"]: each["value"] for each in container["env"]}
        assert environ.pop("CLAWDBOT_CONFIG") == f"{CONFIG_FOLDER}/clawdbot.yaml"
        loaded[name] = load(SETTINGS[name], path, environ)
    return loaded


def test_every_object_fits_its_schema(overlay):
    for each in overlay.manifests:
        kubernetes_validate.validate(each, KUBERNETES_VERSION, strict=True)


def test_every_image_is_one_that_make_builds(overlay):
    made = {f"localhost/clawdbot/{each}:dev" for each in IMAGES}
    assert {container["image"] for _, container in overlay.containers()} <= made


def test_the_configuration_is_valid_and_its_ports_are_those_of_the_containers(overlay, settings):
    for name, container in overlay.containers():
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        server = settings[name].server
        assert ports == {"grpc": server.port, "metrics": settings[name].telemetry.metrics_port}
        assert ports["metrics"] - ports["grpc"] == METRICS_OFFSET
        assert server.host == "0.0.0.0"


def test_callers_need_a_key(settings):
    for each in settings.values():
        assert each.auth.requires_key()
        assert each.auth.service_token is not None


def test_probes_ask_the_services_port_for_names_that_the_health_service_has(overlay):
    for _, container in overlay.containers():
        (port,) = [each["containerPort"] for each in container["ports"] if each["name"] == "grpc"]
        asked = {
            "startupProbe": LIVENESS,
            "readinessProbe": READINESS,
            "livenessProbe": LIVENESS,
        }
        for probe, name in asked.items():
            assert container[probe]["grpc"] == {"port": port, "service": name}


def test_the_drain_fits_into_the_time_that_kubernetes_grants(overlay, settings):
    containers = dict(overlay.containers())
    for name, pod in overlay.pods():
        server = settings[name].server
        waits = containers[name]["lifecycle"]["preStop"]["sleep"]["seconds"]
        drain = waits + server.settle + server.grace + CLOSING
        assert pod["terminationGracePeriodSeconds"] >= drain


def test_connections_reach_their_age_before_a_pod_stops(overlay, settings):
    """GRPC varies the age by a tenth; the rest is for Services and DNS to forget the pod."""
    for name, container in overlay.containers():
        waits = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert waits >= 1.1 * settings[name].server.max_connection_age + 2


def test_every_service_reaches_a_port_of_a_deployment(overlay):
    containers = dict(overlay.containers())
    for service in overlay.of_kind("Service").values():
        name = service["spec"]["selector"]["app.kubernetes.io/name"]
        labels = overlay.of_kind("Deployment")[name]["spec"]["template"]["metadata"]["labels"]
        assert service["spec"]["selector"].items() <= labels.items()
        ports = {each["name"]: each["containerPort"] for each in containers[name]["ports"]}
        for port in service["spec"]["ports"]:
            assert port["port"] == ports[port["targetPort"]]


def test_each_deployment_has_an_address_for_balancing_clients_and_one_for_the_others(overlay):
    services = overlay.of_kind("Service")
    for name in overlay.of_kind("Deployment"):
        assert services[f"{name}-headless"]["spec"]["clusterIP"] == "None"
        assert "clusterIP" not in services[name]["spec"]


def test_peers_are_headless_services_of_this_overlay(overlay, settings):
    if "suite" in settings:
        return  # calls its services within its process
    services = overlay.of_kind("Service")
    for peer in settings["dialogue"].peers.model_dump().values():
        name, port = peer.removeprefix("dns:///").split(":")
        assert services[name]["spec"]["clusterIP"] == "None"
        assert int(port) in [each["port"] for each in services[name]["spec"]["ports"]]


def test_everything_that_is_mounted_exists_and_everything_that_is_written_is_a_volume(overlay, settings):
    claims = overlay.of_kind("PersistentVolumeClaim")
    for name, pod in overlay.pods():
        (container,) = pod["containers"]
        mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
        volumes = {each["name"]: each for each in pod["volumes"]}
        assert set(mounts.values()) == set(volumes)
        assert mounts[str(settings[name].state_dir)] == "state"
        assert "emptyDir" in volumes[mounts["/tmp"]]
        claim = volumes["state"].get("persistentVolumeClaim")
        assert claim is None or claim["claimName"] in claims


def test_only_stateless_services_have_several_replicas_and_those_refuse_to_switch(overlay, settings):
    for name, deployment in overlay.of_kind("Deployment").items():
        volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
        if deployment["spec"]["replicas"] > 1:
            assert "emptyDir" in volumes["state"]
            assert not settings[name].gateway.switching


def test_pods_have_no_rights(overlay):
    for _, pod in overlay.pods():
        assert pod["automountServiceAccountToken"] is False
        account = overlay.of_kind("ServiceAccount")[pod["serviceAccountName"]]
        assert account["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["runAsUser"] > 0
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    (namespace,) = overlay.of_kind("Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert not [each for each in overlay.manifests if "Role" in each["kind"]]


def test_every_container_says_what_it_needs_and_may_take(overlay):
    for _, container in overlay.containers():
        assert container["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
        assert container["resources"]["requests"] == {"cpu": "50m", "memory": "256Mi"}


def test_a_rollout_keeps_the_old_pods_until_the_new_ones_are_ready(overlay):
    for deployment in overlay.of_kind("Deployment").values():
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_change_of_the_configuration_rolls_the_pods(tmp_path, name):
    copy = tmp_path / "kubernetes"
    shutil.copytree(KUBERNETES, copy)
    before = dict(Overlay(copy / "overlays" / name).pods())
    file = copy / "pod" / "clawdbot.yaml"
    file.write_text(file.read_text().replace("30s", "20s"))
    after = dict(Overlay(copy / "overlays" / name).pods())
    assert before.keys() == after.keys()
    assert not [each for each in before if before[each] == after[each]]
