"""The commands that docs/deployment.md shows: as far as they can be checked without Docker."""

import re
import shlex

import pytest
import yaml

from mtquant import __version__
from tests.deployment import compose
from tests.deployment.compose import ROOT

PAGE = (ROOT / "docs" / "deployment.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
INLINE = re.findall(r"`(docker [^`]+)`", PAGE)
SERVICES, VOLUMES = set(compose.services()), set(compose.project()["volumes"])


def test_page_shows_commands():
    """An empty list would let the tests below pass without looking at anything."""
    assert {"docker compose up --detach --wait", "python docker/fill_env.py"} <= set(COMMANDS)


@pytest.mark.parametrize("command", [c for c in (*COMMANDS, *INLINE) if c.startswith("docker compose ")])
def test_services_of_commands_exist(command: str):
    words = shlex.split(command.split(" > ")[0].split(" < ")[0])[2:]
    verb, named = words[0], [word for word in words[1:] if not word.startswith("-")]
    assert verb in ("up", "stop", "start", "build", "exec", "ps", "logs")
    assert set(named[:1] if verb == "exec" else named) <= SERVICES


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("docker run ")])
def test_volumes_of_commands_exist(command: str):
    named = re.findall(r"--volume (\w+):", command)
    assert len(named) == 1
    assert named[0].removeprefix(f"{compose.project()['name']}_") in VOLUMES
    assert f" mtquant:{__version__} " in command


def test_overrides_are_for_services_that_exist():
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    assert blocks
    for block in blocks:
        assert yaml.safe_load(block)["services"].keys() <= SERVICES


def test_variables_of_the_page_exist():
    named = set(re.findall(r"`((?:PORT|COMPOSE|TORCH|MLFLOW|PREFECT)_[A-Z_]+)=?", PAGE))
    known = set(compose.environment_file(compose.EXAMPLE)) | {
        name for service in compose.services().values() for name in service.get("environment", {})
    }
    assert named
    assert named <= known
