"""The manifests agree with the code and with one another; kustomize renders them where it is there."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.management import get_commands, load_command_class

from bridge import env
from bridge.views import health, metrics
from tests.deploy.files import DEPLOY, document, documents, read

KUBERNETES = DEPLOY / "kubernetes"
FILES = sorted(path for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml")
OBJECTS = [each for path in FILES for each in documents(path.read_text(encoding="utf-8"))]
KNOWN = {setting.name: setting for setting in env.SETTINGS}
METRICS = set(re.findall(r"`(ollama_bridge_\w+)`", read("docs/metrics.md")))


def find(kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


WORKLOADS = [each for each in OBJECTS if each["kind"] in ("Deployment", "StatefulSet", "Job")]
OWN = [each for each in WORKLOADS if each["metadata"]["name"] != "ollama"]


def pod(workload: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = workload["spec"]["template"]["spec"]
    return found


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod(workload)["containers"]
    return dict(found)


def named(each: dict[str, Any]) -> str:
    return f"{each['kind']}-{each['metadata']['name']}"


each_own = pytest.mark.parametrize("workload", OWN, ids=named)
each_workload = pytest.mark.parametrize("workload", WORKLOADS, ids=named)


@pytest.mark.parametrize(
    "path", sorted(KUBERNETES.rglob("kustomization.yaml")), ids=lambda path: path.parent.name
)
def test_every_resource_of_a_kustomization_exists(path: Path) -> None:
    for resource in document(str(path.relative_to(DEPLOY.parent)))["resources"]:
        assert (path.parent / resource).exists()


@pytest.mark.parametrize("overlay", ["small", "monitoring", "keda"])
def test_kustomize_renders_every_overlay(overlay: str) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed here.")
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rendered = documents(done.stdout)
    assert {each["metadata"].get("namespace", "ollama-bridge") for each in rendered} == {"ollama-bridge"}
    images = {container(each)["image"] for each in rendered if each["kind"] in ("Deployment", "Job")}
    assert images == {"ollama-bridge:0.1.0"}


def test_every_setting_exists_and_every_secret_is_one_that_the_script_makes() -> None:
    made = set(re.findall(r"^keep (\w+)", read("deploy/compose/make-secrets.sh"), re.MULTILINE))
    for name, value in find("ConfigMap", "bridge")["data"].items():
        setting = KNOWN[name.removesuffix("_FILE")]
        if name.endswith("_FILE"):
            assert value.removeprefix("/run/secrets/bridge/") in made
        else:
            assert not setting.secret
            setting.read(value)


@each_own
def test_a_command_and_its_options_exist(workload: dict[str, Any]) -> None:
    name, *options = container(workload)["args"]
    app = get_commands()[name]
    command = app if not isinstance(app, str) else load_command_class(app, name)
    command.create_parser("manage.py", name).parse_args(options)


@each_own
def test_a_container_can_do_only_what_it_must(workload: dict[str, Any]) -> None:
    assert pod(workload)["securityContext"]["runAsNonRoot"] is True
    assert pod(workload)["automountServiceAccountToken"] is False
    limits = container(workload)["securityContext"]
    assert limits["readOnlyRootFilesystem"] is True
    assert limits["allowPrivilegeEscalation"] is False
    assert limits["capabilities"] == {"drop": ["ALL"]}
    assert container(workload)["envFrom"] == [{"configMapRef": {"name": "bridge"}}]


@each_workload
def test_mounts_ports_and_labels_fit(workload: dict[str, Any]) -> None:
    volumes = {volume["name"] for volume in pod(workload).get("volumes", ())}
    volumes |= {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", ())}
    assert {mount["name"] for mount in container(workload)["volumeMounts"]} <= volumes
    if "selector" in workload["spec"]:
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert workload["spec"]["selector"]["matchLabels"].items() <= labels.items()
    ports = {port["name"] for port in container(workload).get("ports", ())}
    probes = [container(workload)[key] for key in container(workload) if key.endswith("Probe")]
    assert {probe["httpGet"]["port"] for probe in probes} <= ports


def test_probes_ask_what_the_bridge_answers() -> None:
    web = container(find("Deployment", "web"))
    asked = {web[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    assert asked <= health.PATHS
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container(find("Deployment", "scheduler"))["livenessProbe"]["httpGet"]["path"] == metrics.PATH


def test_ports_are_those_that_the_processes_listen_on() -> None:
    assert container(find("Deployment", "web"))["ports"][0]["containerPort"] == int(
        KNOWN["BRIDGE_PORT"].default
    )
    scheduler = container(find("Deployment", "scheduler"))
    assert scheduler["ports"][0]["containerPort"] == int(scheduler["args"][-1])


@pytest.mark.parametrize("name", ["web", "scheduler", "ollama"])
def test_a_service_leads_to_its_pods(name: str) -> None:
    kind = "StatefulSet" if name == "ollama" else "Deployment"
    workload, service = find(kind, name), find("Service", name)
    assert service["spec"]["selector"].items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    ports = {port["name"] for port in container(workload)["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports


def test_a_stop_waits_for_open_streams() -> None:
    web = find("Deployment", "web")
    pause_s = int(container(web)["lifecycle"]["preStop"]["exec"]["command"][1])
    drain_s = env.seconds(find("ConfigMap", "bridge")["data"]["BRIDGE_DRAIN_TIMEOUT"])
    assert pod(web)["terminationGracePeriodSeconds"] >= drain_s + pause_s + 20


def test_metrics_that_scale_exist() -> None:
    (metric,) = find("HorizontalPodAutoscaler", "web")["spec"]["metrics"]
    (trigger,) = find("ScaledObject", "ollama")["spec"]["triggers"]
    named = {
        metric["pods"]["metric"]["name"],
        *re.findall(r"ollama_bridge_\w+", trigger["metadata"]["query"]),
    }
    assert named == {"ollama_bridge_requests_running", "ollama_bridge_queue_wait_seconds"}
    assert named <= METRICS


def test_what_scales_and_what_is_scraped_is_there() -> None:
    for each in OBJECTS:
        if target := each["spec"].get("scaleTargetRef") if "spec" in each else None:
            assert find(target["kind"], target["name"])
        if each["kind"] == "ServiceMonitor":
            wanted = each["spec"]["selector"]["matchLabels"]
            (service,) = [
                s for s in OBJECTS if s["kind"] == "Service" and wanted == s["metadata"].get("labels")
            ]
            assert each["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}


def test_only_bridges_and_schedulers_reach_a_node() -> None:
    policy = find("NetworkPolicy", "ollama")["spec"]
    assert policy["podSelector"]["matchLabels"] == {"app": "ollama"}
    (rule,) = policy["ingress"]
    (peer,) = rule["from"]
    (roles,) = peer["podSelector"]["matchExpressions"]
    assert set(roles["values"]) == {"web", "scheduler"}


def test_ollama_and_the_bridge_agree_on_what_no_answer_tells() -> None:
    told = {each["name"]: each["value"] for each in container(find("StatefulSet", "ollama"))["env"]}
    settings = find("ConfigMap", "bridge")["data"]
    assert told["OLLAMA_NUM_PARALLEL"] == settings["BRIDGE_DEFAULT_SLOTS"]
    assert told["OLLAMA_CONTEXT_LENGTH"] == settings["BRIDGE_DEFAULT_NUM_CTX"]
