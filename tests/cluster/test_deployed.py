"""The files of `deploy/cluster/`: what they start exists, and they are of the form that their readers want."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from vivace.cli.app import build_app
from vivace.cluster.actors import ADDRESSES
from vivace.serve.auth import make_secret
from vivace.serve.settings_sources import read_settings
from vivace.settings import Settings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "cluster"
FILLED_IN = {"RAY_TOKEN": "north", "VIVACE_TOKEN_SECRET": make_secret(), "PUBLIC_ADDRESS": "203.0.113.7"}


def compose() -> dict[str, Any]:
    """Return the services with the environment filled in."""
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    filled = re.sub(r"\$\{(\w+)(?::\?[^}]*)?\}", lambda found: FILLED_IN[found[1]], text)
    return yaml.safe_load(filled)


def check_commands(text: str) -> list[str]:
    """Parse what is run of Vivace as its command line does; return the first words of all commands."""
    programs = []
    for part in re.split(r"&&|;|&", text):
        words = shlex.split(part.replace("${KUBERAY_GEN_RAY_START_CMD}", "ray start"))
        words = words[1:] if words[:1] == ["exec"] else words
        programs += words[:1]
        if words[:1] == ["vivace"]:
            build_app(Settings()).parse_args(words[1:], exit_on_error=False, print_error=False)
    return programs


def test_compose_starts_a_head_with_a_gateway_and_workers_whose_ports_do_not_meet() -> None:
    services = compose()["services"]
    assert check_commands(services["head"]["command"][-1]) == ["ray", "vivace"]
    ranges = []
    for name in ("worker-1", "worker-2"):
        assert services[name]["command"][:3] == ["ray", "start", "--address=head:6379"]
        environment = services[name]["environment"]
        found = {key: value for key, value in environment.items() if key.startswith("VIVACE_")}
        assert {key.removeprefix("VIVACE_SERVE_").lower() for key in found} == set(ADDRESSES)
        settings = read_settings(environ=found)
        assert settings.udp_ports is not None
        first, last = settings.udp_ports
        assert services[name]["ports"] == [f"{first}-{last}:{first}-{last}/udp"]
        ranges.append((first, last))
    assert ranges[0][1] < ranges[1][0]
    for service in services.values():
        assert service["environment"]["RAY_AUTH_MODE"] == "token"
        assert service["environment"]["RAY_AUTH_TOKEN"] == "north"
    assert services["head"]["environment"]["VIVACE_SERVE_TOKEN_SECRET"] == FILLED_IN["VIVACE_TOKEN_SECRET"]


def test_the_image_is_made_of_the_other_one_and_the_ray_that_is_tested_with() -> None:
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    assert "FROM ${VIVACE}" in text
    (copied,) = re.findall(r"^COPY (\S+)", text, re.MULTILINE)
    assert (ROOT / copied).exists()
    assert re.search(r"^ray==", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)


def test_the_manifest_for_kuberay_has_the_form_of_its_kind() -> None:
    cluster, service = yaml.safe_load_all((FOLDER / "kuberay.yaml").read_text("utf-8"))
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    spec = cluster["spec"]
    pinned = re.search(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    assert pinned is not None
    assert spec["rayVersion"] == pinned[1]
    assert set(spec) <= {"rayVersion", "headGroupSpec", "workerGroupSpecs", "enableInTreeAutoscaling"}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values()), "KubeRay takes texts"
        (container,) = group["template"]["spec"]["containers"]
        assert "${KUBERAY_GEN_RAY_START_CMD}" in container["args"][0]
        for variable in container["env"]:
            assert set(variable) in ({"name", "value"}, {"name", "valueFrom"})
            name = variable["name"]
            if name.startswith("VIVACE_SERVE_"):
                assert name.removeprefix("VIVACE_SERVE_").lower() in {*ADDRESSES, "token_secret"}
        assert {"livenessProbe", "readinessProbe"} <= set(container), "KubeRay's own ask a dashboard that is not there"
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert "vivace" in check_commands(head["args"][0].split("done;")[1])
    assert head["readinessProbe"]["httpGet"]["path"] == "/healthz", "workers reach a head that is ready"
    ports = {port["name"] for port in head["ports"]}
    assert service["kind"] == "Service"
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports
