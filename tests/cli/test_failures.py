"""Every error is one message, the documented exit code and no traceback."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import environment


def broken_bars(folder):
    folder.mkdir()
    (folder / "EURUSD_D1.csv").write_text("time,open,high,low,close\n2020-01-01,1,nan,x,1\n")
    return str(folder)


@pytest.mark.parametrize(
    ("code", "text", "arguments"),
    [
        (2, "No such option", ["train", "--nonsense"]),
        (2, "No such command", ["trian"]),
        (3, "Did you mean `smoke`", ["train", "--profile", "smok"]),
        (3, "Did you mean `timesteps`", ["train", "--set", "phase1.timestep=10"]),
        (3, "has no `=`", ["plan", "--set", "phase1"]),
        (4, "Did you mean `gp-easy`", ["train", "--data", "gp-esy", "--engine", "direct"]),
        (4, "EURUSD", ["train", "--data", "bars", "--engine", "direct"]),
        (4, "does not exist", ["import", "nowhere", "--out", "there"]),
    ],
)
def test_errors_have_their_exit_codes(cli, code, text, arguments):
    broken_bars(Path("bars"))
    ended = cli(*arguments)
    assert (ended.code, "Traceback" in ended.err) == (code, False)
    assert text in ended.err


def test_a_defect_is_one_line_and_a_file(cli, monkeypatch):
    def broken(root, record):
        raise ZeroDivisionError("a defect\nwith details")

    monkeypatch.setattr("mtquant.cli.train.prepare_run", broken)
    ended = cli("train", "--profile", "smoke")
    assert ended.code == 1
    assert "unexpected ZeroDivisionError: a defect\n" in ended.err
    path = re.search(r"Details are in (\S+\.log)\.", ended.err).group(1)
    assert "raise ZeroDivisionError" in Path(path).read_text()
    assert Path(path).is_relative_to(cli.root)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_store_without_permission(cli):
    cli.root.chmod(0o500)
    ended = cli("train", "--profile", "smoke")
    cli.root.chmod(0o700)
    assert (ended.code, "MTQUANT_STORE" in ended.err) == (9, True)


def test_a_store_that_is_a_file(cli, monkeypatch, tmp_path):
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("MTQUANT_STORE", str(tmp_path / "taken"))
    ended = cli("train", "--profile", "smoke")
    assert (ended.code, "a file of that name is in the way" in ended.err) == (9, True)


def test_a_reader_that_goes_away_is_no_error(store):
    code = "import sys; from mtquant.cli.app import run; sys.exit(run(['config', 'show', '--profile', 'smoke']))"
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-u", "-c", code], env=environment(store), stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert ended.stderr == b""


def test_importing_the_command_line_is_light():
    code = (
        "import sys, mtquant.cli.app; print(sorted({'torch', 'pandas', 'mlflow', 'prefect', 'scipy', 'gymnasium',"
        " 'stable_baselines3', 'matplotlib', 'onnx', 'tensorboard'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
