""".env.example, and docker/fill_env.py, which makes .env of it."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deployment import compose
from tests.deployment.compose import ROOT, environment_file, in_order


def fill(target: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docker" / "fill_env.py"), "--to", str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    assert fill(tmp_path / ".env").returncode == 0
    return tmp_path / ".env"


def test_every_secret_is_its_own(written: Path):
    example, found = environment_file(compose.EXAMPLE), environment_file(written)
    secrets = [found[name] for name, value in example.items() if "<generated>" in value]
    assert len(secrets) == len(set(secrets)) == 7
    assert all(len(value) >= 43 for value in secrets)
    assert "<generated>" not in written.read_text().replace("every <generated>", "")
    assert {n: v for n, v in example.items() if "<" not in v}.items() <= found.items()


def test_file_is_for_its_owner_alone(written: Path):
    assert stat.S_IMODE(written.stat().st_mode) == 0o600


def test_existing_file_is_kept(written: Path):
    before = written.read_text()
    again = fill(written)
    assert again.returncode == 1
    assert "keep it" in again.stderr
    assert written.read_text() == before


def test_filled_file_is_all_that_compose_needs(written: Path):
    names = [service.name for service in in_order(environment_file(written))]
    assert sorted(names) == sorted(compose.services())
    assert names.index("db") < names.index("migrate") < names.index("prefect") < names.index("deploy")
    assert names[-1] == "worker"


def test_volume_in_place_of_the_object_store(written: Path):
    found = environment_file(written) | {"COMPOSE_PROFILES": "", "MLFLOW_ARTIFACTS_DESTINATION": "/artifacts"}
    services = {service.name: service for service in in_order(found)}
    assert not {"s3", "s3-init"} & services.keys()
    assert services["mlflow"].environment["MLFLOW_ARTIFACTS_DESTINATION"] in services["mlflow"].mounts


def test_nothing_starts_with_a_secret_missing(written: Path):
    found = environment_file(written) | {"POSTGRES_PASSWORD": ""}
    with pytest.raises(KeyError, match=r"POSTGRES_PASSWORD is not set, see \.env\.example"):
        in_order(found)
