"""deploy/: linted by the tools of its trade, and true to the hub: settings, paths, ports and times are those it has."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from hub import notation
from hub.app import Application
from hub.settings import Settings, load
from tests.hub_process import HubProcess

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
COMPOSE = DEPLOY / "compose.yaml"
SECRETS = {
    "HUB_ADMIN_PASSWORD": "correct horse battery",
    "HUB_SIGNING_SECRET": "0123456789abcdef" * 2,
    "POSTGRES_PASSWORD": "abc",
    "NATS_TOKEN": "def",
}


def tool(name: str, *arguments: object) -> None:
    program = Path(sys.executable).with_name(name)
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def objects() -> list[dict[str, Any]]:
    return [
        each
        for path in sorted(KUBERNETES.glob("*.yaml"))
        if path.name != "kustomization.yaml"
        for each in yaml.safe_load_all(path.read_text())
    ]


def one(kind: str) -> dict[str, Any]:
    return next(each for each in objects() if each["kind"] == kind)


def container(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = one(kind)["spec"]["template"]["spec"]["containers"][0]
    return found


def compose() -> dict[str, Any]:
    """As it is with the secrets filled in."""
    text = re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", lambda found: SECRETS[found[1]], COMPOSE.read_text())
    read: dict[str, Any] = yaml.safe_load(text)
    return read


def settings_of(environment: dict[str, Any]) -> Settings:
    assert all(isinstance(value, str) for value in environment.values()), "the environment is text"
    return load({"HUB_CONFIG": "", **environment})


# --- Linted


def test_the_dockerfile_is_good() -> None:
    tool("hadolint", DEPLOY / "Dockerfile")


def test_the_compose_file_is_good() -> None:
    tool("compose-lint", COMPOSE)


@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_the_manifests_are_what_kubernetes_takes(version: str) -> None:
    for each in objects():
        kubernetes_validate.validate(each, version, strict=True)


def test_every_manifest_is_applied() -> None:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    there = {path.name for path in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml", "secret.example.yaml"}
    assert sorted(listed) == sorted(there)


def test_every_workload_is_confined() -> None:
    for kind in ("Deployment", "Job"):
        pod = one(kind)["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container(kind)["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
    for name, service in compose()["services"].items():
        assert "no-new-privileges:true" in service["security_opt"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service.get("read_only") or name == "postgres"


# --- True to the hub


def test_their_settings_are_settings_of_the_hub() -> None:
    services = compose()["services"]
    settings = settings_of(services["hub"]["environment"])
    assert settings.engine == "nats"
    assert settings.database_url is not None
    assert services["migrate"]["environment"] == services["hub"]["environment"]

    secret = one("Secret")["stringData"]
    given = {name: value for name, value in secret.items() if name.startswith("HUB_")}
    settings = settings_of(one("ConfigMap")["data"] | given)
    assert settings.engine == "nats"
    named = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container("Deployment")["env"]}
    assert {name: {"name": "hub", "key": name} for name in given} == {
        name: {"name": reference["name"], "key": reference["key"]} for name, reference in named.items()
    }
    [mounted] = one("Deployment")["spec"]["template"]["spec"]["volumes"][1]["secret"]["items"]
    assert mounted["key"] in secret
    assert str(settings.signing_key_file) == f"/secrets/{mounted['path']}"


def test_the_examples_of_secrets_name_what_is_asked_for() -> None:
    named = set(re.findall(r"^(\w+)=", (DEPLOY / "example.env").read_text(), re.MULTILINE))
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert named == asked == set(SECRETS)
    assert "deploy/.env" in (ROOT / ".gitignore").read_text().splitlines()


def test_probes_ask_what_the_hub_answers(tmp_path: Path) -> None:
    paths = Application(Settings(data_dir=tmp_path)).app.openapi()["paths"]
    probes = [container("Deployment")[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")]
    asked = [probe["path"] for probe in probes]
    asked += re.findall(r"httpchk GET (\S+)", (DEPLOY / "haproxy.cfg").read_text())
    asked += re.findall(r"http://127.0.0.1:8000(/\w+)", (DEPLOY / "Dockerfile").read_text())
    assert len(asked) == 5
    for path in asked:
        assert path.partition("?")[0] in paths
        assert path in ("/healthz", "/readyz?without=database")


def test_the_user_and_the_port_are_the_same_everywhere() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    assert "USER 10001:10001" in dockerfile
    assert "HUB_PORT=8000" in dockerfile
    assert "EXPOSE 8000" in dockerfile
    for kind in ("Deployment", "Job"):
        assert one(kind)["spec"]["template"]["spec"]["securityContext"]["runAsUser"] == 10001
    assert container("Deployment")["ports"] == [{"name": "http", "containerPort": 8000}]
    assert "/data:uid=10001,gid=10001,mode=0700" in compose()["services"]["hub"]["tmpfs"]


def test_there_is_time_to_drain() -> None:
    pod = one("Deployment")["spec"]["template"]["spec"]
    waiting = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    draining = float(notation.seconds(one("ConfigMap")["data"]["HUB_DRAIN_TIMEOUT"]))
    assert pod["terminationGracePeriodSeconds"] >= waiting + draining + 10
    grace = float(notation.seconds(compose()["services"]["hub"]["stop_grace_period"]))
    assert grace >= Settings().drain_timeout + 5


def test_the_autoscaler_goes_by_a_metric_that_there_is(shared_hub: HubProcess) -> None:
    [metric] = one("HorizontalPodAutoscaler")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] in shared_hub.metrics()


def test_the_image_has_all_that_it_is_made_of(tmp_path: Path) -> None:
    """What the Dockerfile copies, and its ignore file lets through, is enough to build the package."""
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    allowed = {line[1:] for line in (DEPLOY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")}
    copied = [
        name for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile, re.MULTILINE) for name in line.split()[:-1]
    ]
    assert set(copied) == allowed
    for name in copied:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "tests", "node_modules"))
        else:
            shutil.copy(source, target)
    made = tmp_path / "made"
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    made.mkdir()
    subprocess.run([sys.executable, "-c", build, made], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    [wheel] = made.glob("*.whl")
    listing = subprocess.run([sys.executable, "-m", "zipfile", "-l", wheel], capture_output=True, text=True, check=True)
    for part in ("env.py", "script.py.mako", "versions/0001_first_tables.py"):
        assert f"hub/migrations/{part}" in listing.stdout, "migrations are part of the package"
    assert "hub/console/client/" in listing.stdout
