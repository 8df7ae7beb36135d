"""What deploy/ says about the services is true: ports, settings, peers, probes, images."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
import yaml
from clawdbot_cli.settings import SuiteSettings
from clawdbot_dialogue.settings import DialogueSettings
from clawdbot_model_gateway.settings import GatewaySettings
from clawdbot_plugins.settings import PluginsSettings
from clawdbot_servicekit.settings import load

from tests.support.packages import IMAGES, ROOT

SETTINGS = {
    "suite": SuiteSettings,
    "dialogue": DialogueSettings,
    "model_gateway": GatewaySettings,
    "plugins": PluginsSettings,
}
DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
VARIABLE = re.compile(r"\b(CLAWDBOT_\w+)=(\S+)")


def built(name: str) -> str:
    """The SERVICE of a compose service's image."""
    return SERVICES[name]["build"]["args"]["SERVICE"]


def stage(service: str) -> str:
    """The lines of a service's last stage in the Dockerfile."""
    return DOCKERFILE.partition(f"\nFROM runtime AS serve-{service}\n")[2].partition("\nFROM")[0]


@pytest.mark.parametrize("service", IMAGES)
def test_an_image_exposes_the_ports_that_its_service_uses_by_default(service):
    settings = load(SETTINGS[service], environ={})
    assert f"EXPOSE {settings.server.port} {settings.telemetry.metrics_port}\n" in stage(service)


@pytest.mark.parametrize("service", IMAGES)
def test_the_settings_of_an_image_are_settings_of_its_service(service):
    environment = dict(VARIABLE.findall(DOCKERFILE))
    settings = load(SETTINGS[service], environ=environment)
    assert settings.server.host == "0.0.0.0"
    assert str(settings.state_dir) in re.findall(r"^VOLUME (\S+)$", DOCKERFILE, re.MULTILINE)


def test_the_log_of_an_image_has_no_lines_of_grpcs_core():
    """They are not JSON; tests/integration/servicekit/test_process.py shows what the variable does."""
    assert re.search(r"^ +GRPC_VERBOSITY=NONE \\$", DOCKERFILE, re.MULTILINE)


def test_the_dockerfile_knows_the_images_that_make_knows():
    makefile = (ROOT / "Makefile").read_text()
    (services,) = re.findall(r"^SERVICES := (.*)$", makefile, re.MULTILINE)
    assert services.split() == re.findall(r"^FROM runtime AS serve-(\S+)$", DOCKERFILE, re.MULTILINE)
    assert services.split() == list(IMAGES)
    (base,) = re.findall(r"^BASE \?= (\S+)$", makefile, re.MULTILINE)
    assert f"\nARG BASE={base}\n" in DOCKERFILE


def test_an_image_is_labelled_with_the_version_of_the_suite():
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    command = ["make", "--dry-run", "image", "BUILDER=docker"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"--build-arg VERSION={version} --build-arg" in printed


def test_compose_runs_each_service_from_its_own_image():
    assert sorted(built(name) for name in SERVICES) == sorted(set(IMAGES) - {"suite"})
    for name, service in SERVICES.items():
        assert service["image"].startswith(f"localhost/clawdbot/{built(name)}:")


@pytest.mark.parametrize("name", SERVICES)
def test_compose_sets_settings_that_exist_and_peers_that_listen(name):
    """A variable without a value is passed on from outside, if it is set there."""
    environment = {key: value for key, value in SERVICES[name]["environment"].items() if value is not None}
    assert all(isinstance(value, str) for value in environment.values())
    load(SETTINGS[built(name)], environ=environment)
    for key, value in environment.items():
        if key.startswith("CLAWDBOT_PEERS__"):
            host, _, port = value.partition(":")
            assert built(host) == key.removeprefix("CLAWDBOT_PEERS__").lower()
            assert int(port) == load(SETTINGS[built(host)], environ={}).server.port


@pytest.mark.parametrize("name", SERVICES)
def test_compose_probes_and_publishes_the_port_that_the_service_listens_on(name):
    port = load(SETTINGS[built(name)], environ={}).server.port
    service = SERVICES[name]
    assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
    module = "clawdbot_servicekit.health_probe"
    assert service["healthcheck"]["test"] == ["CMD", "python", "-m", module, f"127.0.0.1:{port}"]
    assert (ROOT / "libs" / "servicekit" / "src" / f"{module.replace('.', '/')}.py").exists()


@pytest.mark.parametrize("name", SERVICES)
def test_compose_runs_a_service_without_rights_and_keeps_its_state(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["volumes"] == [f"{name}:/var/lib/clawdbot"]
    assert name in COMPOSE["volumes"]


@pytest.mark.parametrize("name", SERVICES)
def test_compose_waits_longer_than_the_drain(name):
    grace = load(SETTINGS[built(name)], environ={}).server.grace
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > grace
