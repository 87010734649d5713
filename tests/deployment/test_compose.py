"""docker-compose.yml against the Compose specification, and against rules of our own."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtquant import __version__
from tests.deployment import compose
from tests.deployment.compose import COMPLETED, HEALTHY, VARIABLE

SERVICES = compose.services()
OURS = [name for name, service in SERVICES.items() if "build" in service]
JOBS = [name for name, service in SERVICES.items() if service["restart"] == "no"]
PORT = re.compile(r"127\.0\.0\.1:\$\{PORT_\w+:-\d+\}:\d+")
SECRET = re.compile(r"PASSWORD|SECRET|_KEY\b|AUTH_STRING")
FOR_THE_HOST = {"PREFECT_API_URL", "MLFLOW_TRACKING_URI", "COMPOSE_PROFILES"}
"""Read by `mtquant` or by Compose itself."""


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def environments() -> list[tuple[str, str, str]]:
    """Return service, name and value of every environment variable."""
    return [(name, *item) for name, service in SERVICES.items() for item in service.get("environment", {}).items()]


def variables(node: Any) -> list[tuple[str, str | None]]:
    """Return name and rule (`?`, `-` or none) of every variable below a node."""
    found = (match for text in compose.texts(node) for match in VARIABLE.finditer(text))
    return [(match["name"], match["rule"]) for match in found if match["name"]]


def test_file_follows_the_specification():
    checked = check_schema(compose.FILE)
    assert checked.returncode == 0, checked.stdout


def test_a_mistake_does_not(tmp_path: Path):
    file = tmp_path / "compose.yml"
    file.write_text(compose.FILE.read_text().replace("healthcheck:", "health_check:"))
    checked = check_schema(file)
    assert checked.returncode == 1
    assert "health_check" in checked.stdout


def test_services_are_those_of_the_design():
    assert set(SERVICES) == {"db", "s3", "s3-init", "migrate", "prefect", "mlflow", "worker", "deploy"}
    assert set(JOBS) == {"s3-init", "migrate", "deploy"}


def test_ports_are_published_on_loopback_only():
    published = {name: port for name, service in SERVICES.items() for port in service.get("ports", ())}
    assert set(published) == {"prefect", "mlflow"}
    assert all(PORT.fullmatch(port) for port in published.values())
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


def test_database_and_objects_have_a_network_without_a_way_out():
    assert compose.project()["networks"]["data"]["internal"] is True
    assert SERVICES["db"]["networks"] == SERVICES["s3"]["networks"] == ["data"]
    assert SERVICES["worker"]["networks"] == ["api"], "what it runs is anybody's flow"


def test_secrets_come_from_variables_that_must_be_set():
    secret = [(name, rule) for name, rule in variables(compose.project()) if SECRET.search(name)]
    assert {name for name, _ in secret} >= {"POSTGRES_PASSWORD", "PREFECT_API_AUTH_STRING", "S3_SECRET_KEY"}
    assert {rule for _, rule in secret} == {"?"}


@pytest.mark.parametrize(("service", "name", "value"), [e for e in environments() if SECRET.search(e[1])])
def test_no_secret_is_written_out(service: str, name: str, value: str):
    assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value)


@pytest.mark.parametrize("service", SERVICES)
def test_secrets_stay_out_of_arguments_and_addresses(service: str):
    definition = SERVICES[service]
    spoken = {name: value for name, value in definition.items() if name not in ("environment", "build")}
    assert not [name for name, _ in variables(spoken) if SECRET.search(name)]
    addresses = [value for value in definition.get("environment", {}).values() if "://" in str(value)]
    assert not [value for value in addresses if "@" in value]


@pytest.mark.parametrize("service", SERVICES)
def test_images_are_pinned(service: str):
    _, _, tag = SERVICES[service]["image"].partition(":")
    assert re.match(r"\d+\.\d+", tag), "a version, not a moving tag"
    assert (tag == __version__) == (service in OURS)


@pytest.mark.parametrize("service", SERVICES)
def test_services_can_do_little(service: str):
    definition = SERVICES[service]
    user = [int(part) for part in definition["user"].split(":")]
    assert all(user), "not root"
    assert definition["security_opt"] == ["no-new-privileges:true"]
    assert definition["cap_drop"] == ["ALL"]
    assert definition["read_only"] is True
    assert definition["init"] is True
    assert not {"privileged", "cap_add", "pid", "ipc"} & definition.keys()


@pytest.mark.parametrize("service", SERVICES)
def test_servers_have_health_checks_and_jobs_are_waited_for(service: str):
    waiting = [
        depends[service]["condition"]
        for definition in SERVICES.values()
        if service in (depends := definition.get("depends_on", {}))
    ]
    if service in JOBS:
        # `up --wait` takes a job that has ended for a failure unless somebody waits for its end.
        assert waiting
        assert set(waiting) == {COMPLETED}
        return
    assert set(waiting) <= {HEALTHY}
    check = SERVICES[service]["healthcheck"]
    # Python images have no curl; the S3-compatible store's image has BusyBox.
    assert check["test"][0] == "CMD"
    assert check["test"][1] in ("python", "pg_isready", "wget")
    assert {"interval", "timeout", "retries", "start_period"} <= check.keys()


def test_only_a_service_behind_a_profile_may_be_missing():
    for definition in SERVICES.values():
        for name, condition in definition.get("depends_on", {}).items():
            behind = bool(SERVICES[name].get("profiles")) and not definition.get("profiles")
            assert condition.get("required", True) is not behind


def test_worker_has_time_to_write_checkpoints():
    assert int(SERVICES["worker"]["stop_grace_period"].removesuffix("s")) >= 60
    assert SERVICES["worker"]["command"][:2] == ["python", "docker/worker.py"]


def test_variables_are_those_of_the_example():
    example = set(compose.environment_file(compose.EXAMPLE))
    used = {name for name, _ in variables(compose.project())}
    assert used <= example
    assert example - used == FOR_THE_HOST


@pytest.mark.parametrize("service", OURS)
def test_telemetry_is_off(service: str):
    quiet = {
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
    }
    assert quiet.items() <= SERVICES[service]["environment"].items()


def test_variables_of_mlflow_are_known_to_it():
    """A misspelt one would be ignored in silence."""
    spec = importlib.util.find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent
    sources = ("environment_variables.py", "cli/__init__.py", "utils/cli_args.py")
    known = set(re.findall(r'"(MLFLOW_\w+)"', "".join((folder / name).read_text() for name in sources)))
    used = {name for _, name, _ in environments() if name.startswith("MLFLOW_")}
    assert used - known == {"MLFLOW_DB_PASSWORD"}, "ours, for the jobs"


def test_variables_of_prefect_are_known_to_it():
    program = (
        "from prefect.settings.legacy import _get_valid_setting_names as names; from prefect.settings import Settings;"
        "print(*names(Settings))"
    )
    environment = os.environ | {"DO_NOT_TRACK": "true"}
    command = [sys.executable, "-c", program]
    known = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    used = {name for _, name, _ in environments() if name.startswith("PREFECT_")}
    assert used - set(known.split()) == {"PREFECT_DB_PASSWORD"}, "ours, for the jobs"


def test_anchors_hold_no_second_definition_of_a_key():
    """YAML lets a later key replace an earlier one in silence."""

    class Strict(yaml.SafeLoader):
        pass

    def mapping(loader: yaml.SafeLoader, node: yaml.MappingNode) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), keys
        return dict(loader.construct_mapping(node, deep=True))

    Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    assert Strict(compose.FILE.read_text()).get_single_data() == compose.project()
