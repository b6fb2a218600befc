"""The files of `deploy/`: what they name exists, and what can be parsed or checked here is."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from http_fakes import OFFER, SDP_HEADERS, running, settings_for
from patience import PATIENCE_S
from vivace.cli.app import build_app
from vivace.serve.auth import make_secret
from vivace.serve.settings import ServeSettings
from vivace.serve.settings_sources import read_settings
from vivace.serve.tls import open_tls
from vivace.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
FILLED_IN = {
    "DOMAIN": "studio.example",
    "PUBLIC_ADDRESS": "203.0.113.7",
    "VIVACE_TOKEN_SECRET": make_secret(),
    "TURN_SECRET": "north",
}
"""Values that `example.env` leaves to the operator."""


# Containers


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile with their arguments."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line.strip())]


def test_images_are_built_from_what_there_is() -> None:
    stages: list[str] = []
    for word, rest in instructions():
        if word == "FROM":
            image, _, name = rest.partition(" AS ")
            assert image == "${PYTHON}" or image in stages
            stages.append(name)
        elif word == "COPY":
            *sources, _ = shlex.split(rest)
            if sources[0].startswith("--from="):
                assert sources[0].removeprefix("--from=") in stages
            else:
                assert all((ROOT / source).exists() for source in sources), rest
        elif word == "RUN" and "pip install" in rest:
            (extras,) = re.findall(r"'\.\[(.*)\]'", rest)
            known = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
            assert set(extras.split(",")) <= set(known)
    assert {"base", "cuda"} <= set(stages)
    assert stages[-1] == "base", "what is built where no target is named"


def test_a_container_serves_with_settings_that_there_are() -> None:
    said = dict(instructions())
    command = [*json.loads(said["ENTRYPOINT"]), *json.loads(said["CMD"])]
    assert command == ["vivace", "serve"]
    build_app(Settings()).parse_args(command[1:], exit_on_error=False, print_error=False)
    environ = dict(
        re.findall(r"(VIVACE_SERVE_\w+)=(\S+)", " ".join(rest for word, rest in instructions() if word == "ENV"))
    )
    assert set(environ) >= {"VIVACE_SERVE_HOST", "VIVACE_SERVE_LOG_FORMAT"}
    read_settings(environ=environ)
    probes = [json.loads(rest.partition("CMD ")[2])[-1] for word, rest in instructions() if word == "HEALTHCHECK"]
    assert [re.findall(r":(\d+)/(\w+)", probe) for probe in probes] == [[("8787", "healthz")]]


def composed(*names: str) -> dict[str, Any]:
    """Return the services of compose files laid over one another, with what is filled in."""
    services: dict[str, Any] = {}
    for name in names:
        text = (DEPLOY / name).read_text("utf-8")
        text = re.sub(
            r"\$\{(\w+)(?::([-?])([^}]*))?\}",
            lambda found: FILLED_IN.get(found[1], found[3] if found[2] == "-" else ""),
            text,
        )
        for service, said in yaml.safe_load(text)["services"].items():
            merged = services.setdefault(service, {})
            merged.update({**said, "environment": {**merged.get("environment", {}), **said.get("environment", {})}})
    return services


@pytest.mark.parametrize("names", [("compose.yaml",), ("compose.yaml", "compose.cuda.yaml")])
def test_composed_services_fit_one_another(names: tuple[str, ...]) -> None:
    services = composed(*names)
    vivace, caddy, turn = services["vivace"], services["caddy"], services["coturn"]
    environ = {key: str(value) for key, value in vivace["environment"].items()}
    settings = read_settings(environ={**environ, "VIVACE_SERVE_HOST": "0.0.0.0"})
    assert settings.udp_ports is not None
    first, last = settings.udp_ports
    assert f"{first}-{last}:{first}-{last}/udp" in vivace["ports"]
    assert settings.announced_address == FILLED_IN["PUBLIC_ADDRESS"]
    assert settings.turn_secret is not None
    assert f"--static-auth-secret={settings.turn_secret.get_secret_value()}" in turn["command"]
    (server,) = settings.ice_servers
    assert {url.split("?")[0] for url in server.urls} == {"turn:studio.example:3478"}
    assert caddy["environment"]["UPSTREAM"] == f"vivace:{ServeSettings().port}"
    relay = dict(re.findall(r"^(\S+?)=(\S+)", (DEPLOY / "turnserver.conf").read_text("utf-8"), re.MULTILINE))
    ports = f"{relay['min-port']}-{relay['max-port']}"
    assert f"{ports}:{ports}/udp" in turn["ports"]
    mounted = [volume.split(":")[0] for each in services.values() for volume in each.get("volumes", ())]
    assert all((DEPLOY / path).is_file() for path in mounted if path.startswith("./"))
    build = vivace["build"]
    assert build["target"] in {rest.partition(" AS ")[2] for word, rest in instructions() if word == "FROM"}
    names_asked_for = set(re.findall(r"\$\{(\w+):\?", (DEPLOY / "compose.yaml").read_text("utf-8")))
    assert names_asked_for == set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text("utf-8"), re.MULTILINE))
    stop_s = float(vivace["stop_grace_period"].rstrip("s"))
    assert stop_s > settings.drain_s


# systemd and proxies


def test_the_unit_runs_a_command_that_there_is() -> None:
    text = (DEPLOY / "vivace.service").read_text("utf-8")
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    program, *arguments = shlex.split(line.replace("${CREDENTIALS_DIRECTORY}", "/run/credentials"))
    assert Path(program).name == "vivace"
    build_app(Settings()).parse_args(arguments, exit_on_error=False, print_error=False)
    (stop,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert int(stop) > ServeSettings().drain_s


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("needs systemd-analyze (Debian: apt-get install systemd)")
    unit = tmp_path / "vivace.service"
    unit.write_text((DEPLOY / "vivace.service").read_text("utf-8").replace("/opt/vivace/bin/vivace", "/bin/true"))
    done = subprocess.run(
        [program, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False, timeout=PATIENCE_S
    )
    assert (done.returncode, [line for line in done.stderr.splitlines() if "vivace.service" in line]) == (0, [])


def test_nginx_takes_its_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        pytest.skip("needs nginx (Debian: apt-get install nginx-light)")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    certificate = open_tls(settings_for(tls_self_signed=True))
    assert certificate is not None
    site = (DEPLOY / "nginx.conf").read_text("utf-8")
    site = re.sub(r"/etc/letsencrypt/live/[\w.]+/fullchain.pem", str(certificate.certificate_path), site)
    site = re.sub(r"/etc/letsencrypt/live/[\w.]+/privkey.pem", str(certificate.key_path), site)
    site = re.sub(r"(listen (?:\[::\]:)?)(80|443)\b", r"\g<1>20\2", site)  # nginx opens them, which not every user may
    (tmp_path / "site.conf").write_text(site)
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}} http {{ include {tmp_path}/site.conf; }}\n"
    )
    done = subprocess.run(
        [program, "-t", "-c", str(tmp_path / "nginx.conf")],
        capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr


def test_proxies_lead_to_the_server_and_pass_websockets() -> None:
    port = ServeSettings().port
    site = (DEPLOY / "nginx.conf").read_text("utf-8")
    assert f"proxy_pass http://127.0.0.1:{port};" in site
    assert "proxy_set_header Host $http_host;" in site, "the server checks which name it is asked by"
    assert "proxy_set_header Upgrade $http_upgrade;" in site
    assert f"client_max_body_size {ServeSettings().verify_max_mib}m;" in site
    assert f"{{$UPSTREAM:127.0.0.1:{port}}}" in (DEPLOY / "Caddyfile").read_text("utf-8")


def test_the_settings_file_is_one_and_so_is_what_it_leaves_to_fill_in(tmp_path: Path) -> None:
    text = (DEPLOY / "vivace.toml").read_text("utf-8")
    filled = re.sub(r"^# (?=\w+ = |\[\[)", "", text, flags=re.MULTILINE)
    filled = filled.replace('token_secret = ""', f'token_secret = "{make_secret()}"')
    for number, each in enumerate((text, filled)):
        path = tmp_path / f"{number}.toml"
        path.write_text(each, "utf-8")
        settings = read_settings(file=path, environ={})
        assert settings.udp_ports == (49200, 49299)
    assert settings.ice_servers
    assert settings.token_secret is not None


# Metrics


@pytest.fixture(scope="module")
def samples() -> set[str]:
    """The names of samples that a server gives once it has done a little of everything."""
    with running(settings_for(slots=1)) as server:
        session = server.open()
        waiting = server.open()
        server.manager.get(waiting["id"]).account.dropped("late")
        server.manager.get(session["id"]).account.stage("denoise", 21.0)
        server.client.post(session["whep_url"], content=OFFER, headers=SDP_HEADERS)
        server.manager.end(session["id"], "failed")
        text = server.client.get("/metrics").text
    return set(re.findall(r"^(?:# TYPE )?([a-z_:]+)", text, re.MULTILINE))


def asked_for(expression: str) -> set[str]:
    """Return the metrics that a PromQL expression names."""
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\"[^\"]*\"", " ", expression)
    return set(re.findall(r"\b((?:vivace|process)_\w+)", bare))


def dashboard_expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "vivace.json").read_text("utf-8"))
    variables = [each["query"] for each in dashboard["templating"]["list"] if each["type"] == "query"]
    return variables + [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_dashboard_shows_metrics_that_there_are(samples: set[str]) -> None:
    expressions = dashboard_expressions()
    named = set().union(*map(asked_for, expressions))
    assert len(named) > 15
    known = samples | {f"{name}_total" for name in samples}
    assert {
        name for name in named if re.sub(r"_(bucket|sum|count)$", "", name) not in known and name not in known
    } == set()
    assert {name for name in samples if name.startswith("vivace_") and not name.endswith(("_info", "_bucket"))} <= {
        *named, *(re.sub(r"_(total|bucket|sum|count)$", "", name) for name in named),
        *(f"{name}_{part}" for name in ("vivace_stage_seconds",) for part in ("sum", "count", "created")),
    }, "a metric that nobody sees"  # fmt: skip


def test_alerts_are_of_metrics_that_there_are_and_say_what_to_do(samples: set[str]) -> None:
    rules = alerts()
    assert len({rule["alert"] for rule in rules}) == len(rules) > 5
    for rule in rules:
        for name in asked_for(rule["expr"]):
            assert name in samples or re.sub(r"_(bucket|sum|count)$", "", name) in samples, rule["alert"]
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")
    scrape = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8"))
    assert scrape["scrape_configs"][0]["static_configs"][0]["targets"] == [f"127.0.0.1:{ServeSettings().port}"]
    assert all((DEPLOY / "prometheus" / name).is_file() for name in scrape["rule_files"])
