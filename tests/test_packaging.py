"""What surrounds the code: Dockerfile, Makefile, gate, systemd unit, dashboards fit the code they name."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from objstore import metrics
from objstore.config import Config

ROOT = Path(__file__).parent.parent
INSTRUCTIONS = {
    "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


def dockerfile() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments, lines joined as Docker joins them."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    lines = re.sub(r"\\\n", " ", text).splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in lines if line.strip()]


def test_the_dockerfile_has_known_instructions_and_well_formed_lists() -> None:
    found = dockerfile()
    assert {name for name, _ in found} <= INSTRUCTIONS
    assert found[0][0] == "FROM"
    for name, argument in found:
        if name in ("CMD", "ENTRYPOINT"):
            assert json.loads(argument), "exec form: signals must reach the server"
        if name == "COPY" and "--from" not in argument:
            for source in argument.split()[:-1]:
                assert (ROOT / source).exists(), source
    assert [name for name, _ in found].count("ENTRYPOINT") == 1


def test_the_image_runs_unprivileged_and_reports_its_health() -> None:
    last_stage: dict[str, str] = {}
    for name, argument in dockerfile():
        last_stage = {} if name == "FROM" else {**last_stage, name: argument}
    assert last_stage["USER"] not in ("root", "0")
    assert "/health/live" in last_stage["HEALTHCHECK"]
    assert last_stage["STOPSIGNAL"] == "SIGTERM"
    assert all(":" in argument.split()[0] for name, argument in dockerfile() if name == "FROM"), "a tag each"


def test_the_health_check_command_is_python() -> None:
    check = dict(dockerfile())["HEALTHCHECK"].split("CMD", 1)[1]
    interpreter, flag, code = json.loads(check)
    assert (interpreter, flag) == ("python", "-c")
    compile(code, "HEALTHCHECK", "exec")


@pytest.mark.parametrize(
    "name",
    ["Dockerfile", "deploy/compose.yaml", "deploy/objstore.service", "docs/configuration.md", "README.md"],
)
def test_every_variable_named_is_a_setting(name: str) -> None:
    for variable in re.findall(r"\bOBJSTORE_([A-Z_]+[A-Z])\b", (ROOT / name).read_text()):
        assert variable.lower() in Config.model_fields or variable == "CONFIG", variable


@pytest.mark.parametrize("name", ["deploy/alerts.yml", "deploy/grafana/objstore.json"])
def test_every_metric_named_exists(name: str) -> None:
    assert metrics.page()
    known = set()
    for family in REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(family.type, [""])
        known |= {family.name + suffix for suffix in suffixes}
    used = set(re.findall(r"\bobjstore_[a-z_]+", (ROOT / name).read_text()))
    assert used - known == set()


def test_the_dashboard_has_a_query_in_every_panel() -> None:
    panels = json.loads((ROOT / "deploy/grafana/objstore.json").read_text())["panels"]
    assert len(panels) >= 10
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_the_unit_starts_the_command_that_is_installed() -> None:
    unit = (ROOT / "deploy/objstore.service").read_text()
    assert re.search(r"^ExecStart=\S+/objstore serve --config \S+$", unit, re.MULTILINE)
    assert re.search(r"^KillMode=mixed$", unit, re.MULTILINE)
    assert re.search(r"^User=(?!root)\w+$", unit, re.MULTILINE)
    assert 'objstore = "objstore.__main__:main"' in (ROOT / "pyproject.toml").read_text()


def test_the_gate_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True)


@pytest.mark.parametrize("target", ["run", "test", "check", "bench", "docs"])
def test_make_knows_its_targets(target: str) -> None:
    finished = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", target],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "3.11" not in finished.stderr
