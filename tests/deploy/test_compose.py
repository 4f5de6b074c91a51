"""compose.yaml: sound by the published schema; every name in it is known to the project or to an image."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import stat
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from bridge import env
from bridge.databases import postgresql
from scheduler.models import Node
from tests.deploy.files import DEPLOY, ROOT, document, read

COMPOSE = document("compose.yaml")
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OVERLAYS = ("compose.tls.yaml", "compose.mtls.yaml")
OWN = ("web", "scheduler", "migrate")
KNOWN = {setting.name: setting for setting in env.SETTINGS}
# Ollama 0.33: envconfig/config.go; LLAMA_ARG_* are llama.cpp's, whose server inherits the environment.
OLLAMA = {
    *("OLLAMA_HOST", "OLLAMA_MODELS", "OLLAMA_KEEP_ALIVE", "OLLAMA_NUM_PARALLEL", "OLLAMA_CONTEXT_LENGTH"),
    *("OLLAMA_MAX_LOADED_MODELS", "OLLAMA_MAX_QUEUE", "OLLAMA_FLASH_ATTENTION", "OLLAMA_KV_CACHE_TYPE"),
    *("OLLAMA_LOAD_TIMEOUT", "OLLAMA_NO_CLOUD", "LLAMA_ARG_FIT_TARGET", "LLAMA_ARG_CACHE_RAM"),
}
OTHERS = {
    "postgres": {"POSTGRES_USER", "POSTGRES_DB", "POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"},
    "grafana": {
        "GF_SECURITY_ADMIN_PASSWORD__FILE",
        "GF_ANALYTICS_REPORTING_ENABLED",
        "GF_ANALYTICS_CHECK_FOR_UPDATES",
        "GF_USERS_ALLOW_SIGN_UP",
    },
    "ollama": OLLAMA,
    "ollama-cpu": OLLAMA,
}
each_service = pytest.mark.parametrize("name", sorted(SERVICES))
each_own = pytest.mark.parametrize("name", OWN)


def schema() -> Any:
    place = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    return json.loads(place.read_text(encoding="utf-8"))


def environment(name: str) -> dict[str, str]:
    return SERVICES[name].get("environment", {})


def mounts(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Source and target of each volume."""
    return [(text.split(":")[0], text.split(":")[1]) for text in service.get("volumes", ())]


@pytest.mark.parametrize("file", ["compose.yaml", *OVERLAYS])
def test_the_file_keeps_to_the_compose_specification(file: str) -> None:
    given = yaml.load(read(file), Loader=Tagged)
    assert "version" not in given
    jsonschema.validate(given, schema())


class Tagged(yaml.SafeLoader):
    """Reads what compose's merge tags (!override, !reset) stand before as it is."""


Tagged.add_multi_constructor("!", lambda loader, _, node: loader.construct_sequence(node, deep=True))


def test_the_schema_would_notice_a_slip_of_the_pen() -> None:
    wrong = {"services": {"web": {"image": "a:1", "comand": ["serve"]}}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, schema())


@each_service
def test_every_image_is_pinned_to_a_release(name: str) -> None:
    assert re.search(r":v?\d+\.\d+(\.\d+)?[a-z0-9.-]*$", SERVICES[name]["image"])


def test_the_bridges_own_image_has_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"', read("pyproject.toml"), re.MULTILINE)
    assert version is not None
    assert {SERVICES[name]["image"] for name in OWN} == {f"ollama-bridge:{version[1]}"}


@each_service
def test_a_container_can_do_only_what_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert not any("docker.sock" in source for source, _ in mounts(service))


@each_service
def test_every_service_says_whether_it_is_well(name: str) -> None:
    """The image of the bridge brings its own check; `migrate` ends."""
    if name == "web":
        assert "HEALTHCHECK" in read("Dockerfile")
    elif name != "migrate":
        assert SERVICES[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


@each_own
def test_every_setting_of_the_bridge_exists_and_is_well_formed(name: str) -> None:
    for key, value in environment(name).items():
        setting = KNOWN[key.removesuffix("_FILE")]
        if not key.endswith("_FILE") and not str(value).startswith("${"):
            setting.read(str(value))


@each_own
def test_every_secret_comes_from_a_file(name: str) -> None:
    secret = {key for key, setting in KNOWN.items() if setting.secret}
    assert not secret & set(environment(name))
    for key, value in environment(name).items():
        if key.endswith("_FILE"):
            assert KNOWN[key.removesuffix("_FILE")].secret
            assert value.removeprefix("/run/secrets/") in SERVICES[name]["secrets"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - set(OWN)))
def test_every_variable_of_another_image_is_one_that_it_reads(name: str) -> None:
    assert set(environment(name)) <= OTHERS.get(name, set())


@pytest.mark.parametrize("gone", ["OLLAMA_GPU_MEMORY", "OLLAMA_KV_CACHE_REUSE", "OLLAMA_MAX_VRAM"])
def test_a_variable_that_ollama_does_not_read_is_explained_and_not_set(gone: str) -> None:
    assert gone not in read("compose.yaml")
    assert gone in read("docs/deployment.md")


def test_every_setting_of_ollama_has_its_reason_above_it() -> None:
    lines = read("compose.yaml").splitlines()
    for number, line in enumerate(lines):
        found = re.match(r"    ((?:OLLAMA|LLAMA)_[A-Z_]+):", line)
        if found and found[1] not in ("OLLAMA_URL", "OLLAMA_MODELS"):
            assert lines[number - 1].lstrip().startswith("#"), found[1]


def test_ollama_and_the_bridge_agree_on_what_no_answer_tells() -> None:
    node, bridge = environment("ollama"), environment("web")
    assert node["OLLAMA_NUM_PARALLEL"] == bridge["BRIDGE_DEFAULT_SLOTS"]
    assert node["OLLAMA_CONTEXT_LENGTH"] == bridge["BRIDGE_DEFAULT_NUM_CTX"]
    assert node["OLLAMA_KV_CACHE_TYPE"] == Node._meta.get_field("kv_type").default
    assert node["OLLAMA_KEEP_ALIVE"] == KNOWN["BRIDGE_KEEP_ALIVE"].default


def test_ollama_runs_with_a_gpu_or_without_under_one_name() -> None:
    gpu, cpu = SERVICES["ollama"], SERVICES["ollama-cpu"]
    (device,) = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert (gpu["profiles"], cpu["profiles"]) == (["gpu"], ["cpu"])
    assert cpu["networks"]["nodes"]["aliases"] == ["ollama"]
    assert environment("web")["OLLAMA_URL"] == "${OLLAMA_URL:-http://ollama:11434}"


@each_service
def test_every_volume_network_and_secret_is_declared_or_a_file_of_the_repository(name: str) -> None:
    service = SERVICES[name]
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])
    for source, _ in mounts(service):
        assert (ROOT / source).exists() if source.startswith("./") else source in COMPOSE["volumes"]


def test_nothing_is_declared_that_nobody_uses() -> None:
    secrets = {name for service in SERVICES.values() for name in service.get("secrets", ())}
    networks = {name for service in SERVICES.values() for name in service["networks"]}
    volumes = {source for service in SERVICES.values() for source, _ in mounts(service) if source[0] != "."}
    assert (secrets, networks, volumes) == tuple(map(set, (COMPOSE[key] for key in DECLARED)))


DECLARED = ("secrets", "networks", "volumes")


def test_only_the_front_door_is_published_and_only_to_this_host_unless_asked() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {
        "nginx": ["${LISTEN:-127.0.0.1}:8080:8080"],
        "grafana": ["${LISTEN:-127.0.0.1}:3000:3000"],
    }


def test_the_database_and_the_board_have_no_way_out() -> None:
    assert COMPOSE["networks"]["state"] == {"internal": True}
    assert SERVICES["postgres"]["networks"] == SERVICES["valkey"]["networks"] == ["state"]


def test_the_trusted_proxies_are_the_network_that_only_nginx_and_the_web_processes_are_in() -> None:
    (network,) = COMPOSE["networks"]["edge"]["ipam"]["config"]
    assert environment("web")["BRIDGE_TRUSTED_PROXIES"] == network["subnet"]
    assert ipaddress.ip_network(network["subnet"]).is_private
    assert {name for name, service in SERVICES.items() if "edge" in service["networks"]} == {"nginx", "web"}


@pytest.mark.parametrize("name", ["web", "nginx"])
def test_a_stop_waits_for_open_streams(name: str) -> None:
    drain_s = env.seconds(environment("web")["BRIDGE_DRAIN_TIMEOUT"])
    assert env.seconds(SERVICES[name]["stop_grace_period"]) >= drain_s + 20
    shutdown = re.search(r"worker_shutdown_timeout (\w+);", read("deploy/nginx/main.conf"))
    assert shutdown is not None
    assert drain_s < env.seconds(shutdown[1]) < env.seconds(SERVICES["nginx"]["stop_grace_period"])


def test_nothing_starts_before_the_database_is_migrated() -> None:
    assert SERVICES["migrate"]["command"][0] == "migrate"
    assert SERVICES["migrate"]["restart"] == "no"
    for name in ("web", "scheduler"):
        waits = SERVICES[name]["depends_on"]
        assert waits["migrate"] == {"condition": "service_completed_successfully"}
        assert waits["postgres"] == waits["valkey"] == {"condition": "service_healthy"}


def test_two_replicas_of_each_role_share_what_they_must() -> None:
    assert SERVICES["web"]["deploy"]["replicas"] == SERVICES["scheduler"]["deploy"]["replicas"] == 2
    assert environment("web") == environment("scheduler")
    assert ("data", "/data") in mounts(SERVICES["web"])  # usage records of a replica that is gone


def test_the_board_drops_nothing_by_itself() -> None:
    assert "maxmemory-policy noeviction" in read("deploy/compose/valkey.conf")


def test_prometheus_scrapes_every_replica_by_names_and_ports_that_exist() -> None:
    jobs = {job["job_name"]: job for job in document("deploy/compose/prometheus.yml")["scrape_configs"]}
    assert all("ollama-bridge" in name for name in jobs)  # what the alert rules look for
    asked = {(name, job["dns_sd_configs"][0]["port"]) for job in jobs.values() for name in names(job)}
    port = SERVICES["scheduler"]["command"][-1]
    assert asked == {("web", int(KNOWN["BRIDGE_PORT"].default)), ("scheduler", int(port))}
    token = Path(jobs["ollama-bridge"]["authorization"]["credentials_file"])
    assert token.name in SERVICES["prometheus"]["secrets"]


def names(job: dict[str, Any]) -> list[str]:
    return list(job["dns_sd_configs"][0]["names"])


def test_grafana_finds_its_dashboards_where_their_provider_looks() -> None:
    provider = document("dashboard/grafana/provider.yml")["providers"][0]["options"]["path"]
    assert ("./dashboard/grafana", provider) in mounts(SERVICES["grafana"])
    source = document("deploy/compose/grafana-datasource.yml")["datasources"][0]
    assert source["url"] == "http://prometheus:9090"


def test_the_secrets_are_made_once_and_fit_together(tmp_path: Path) -> None:
    directory = tmp_path / "secrets"
    script = ["sh", str(DEPLOY / "compose" / "make-secrets.sh"), str(directory)]
    subprocess.run(script, check=True, capture_output=True, timeout=20)
    made = {path.name: path.read_text().strip() for path in directory.iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert len(set(made.values())) == len(made)
    assert postgresql(made["database_url"])["PASSWORD"] == made["postgres_password"]
    assert made["redis_url"].split("@")[0] == f"redis://:{made['valkey_password'].split()[1]}"
    assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700
    again = subprocess.run(script, check=True, capture_output=True, timeout=20)
    assert again.stdout == b""
    assert {path.name: path.read_text().strip() for path in directory.iterdir()} == made


@pytest.mark.parametrize("name", sorted(COMPOSE["secrets"]))
def test_a_secret_lies_where_the_script_puts_it_and_git_does_not_look(name: str) -> None:
    assert COMPOSE["secrets"][name]["file"] == f"./deploy/compose/secrets/{name}"
    assert "/deploy/compose/secrets/" in read(".gitignore").splitlines()
