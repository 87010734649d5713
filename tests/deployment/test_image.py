"""docker/Dockerfile and .dockerignore: what can be said of them without building."""

import re
import tomllib
from pathlib import Path

from tests.deployment import compose
from tests.deployment.compose import ROOT
from tests.deployment.native import IMAGE

DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


def instructions(name: str) -> list[str]:
    joined = DOCKERFILE.replace("\\\n", " ")
    return [line.removeprefix(name).strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_context_is_what_is_named():
    rules = [line for line in IGNORED if line and not line.startswith("#")]
    assert rules[0] == "*", "everything else stays out: .env, models, data, history"
    assert sorted(line.removeprefix("!") for line in rules if line.startswith("!")) == sorted(IMAGE)
    assert all((ROOT / name).exists() for name in IMAGE)


def test_context_has_what_the_package_is_built_from():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = settings["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {settings["project"]["readme"], *wheel["packages"], *wheel["force-include"]}
    assert needed <= set(IMAGE)


def test_commands_of_the_services_lie_in_the_image():
    """Scripts are named relative to the image's folder."""
    named = {
        text
        for service in compose.services().values()
        for text in compose.texts(service)
        if re.fullmatch(r"docker/\w+\.(py|sh)", text)
    }
    scripts = ("create_bucket.py", "migrate.sh", "deploy.sh", "healthy.py", "worker.py")
    assert named == {f"docker/{name}" for name in scripts}
    assert all((ROOT / name).is_file() for name in named)
    assert instructions("WORKDIR")[-1] == "/app"


def test_base_images_are_pinned():
    sources = [line.split()[0] for line in instructions("FROM") if line.split()[0] != "base"]
    assert sources
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", source) for source in sources)


def test_image_runs_as_the_user_that_compose_names():
    users = {service["user"] for service in compose.services().values() if "build" in service}
    assert set(instructions("USER")) == users
    (uid,) = {user.split(":")[0] for user in users}
    assert f"--uid {uid}" in DOCKERFILE


def test_folders_of_the_volumes_belong_to_that_user():
    """A new volume takes its owner from the folder of the image that it covers."""
    made = re.search(r"install --directory --owner=10001 --group=10001 (.+)", DOCKERFILE)
    assert made
    mounted = [
        entry.split(":")[1]
        for service in compose.services().values()
        if "build" in service
        for entry in service.get("volumes", ())
    ]
    assert sorted(made[1].split()) == sorted(mounted)


def test_packages_are_installed_as_make_install_does():
    made = (ROOT / "Makefile").read_text()
    for step in ("--constraint requirements.lock", "--no-deps --requirement requirements.lock", "pip check"):
        assert step in DOCKERFILE
    for step in ("--constraint requirements.lock torch", "--no-deps --requirement requirements.lock", "pip check"):
        assert step in re.sub(r" --quiet", "", made)


def test_lock_has_the_extra_server():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    locked = {line.split("==")[0].lower() for line in Path(ROOT / "requirements.lock").read_text().splitlines()}
    names = {re.split(r"[<>=\[]", entry)[0].lower() for entry in settings["project"]["optional-dependencies"]["server"]}
    assert names | {"flask-wtf"} <= locked
