"""`init` writes settings that training accepts, and overwrites nothing."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from mtquant.cli.init import IGNORE, SETTINGS
from mtquant.config.load import resolve
from mtquant.context import Streams


def write_bars(path, bars=1200, step="1D"):
    rng = Streams(0).rng(path.name)
    close = np.exp(np.cumsum(0.005 * rng.standard_normal(bars)))
    opened = np.concatenate([close[:1], close[:-1]])
    size, unit = int(step[:-1]), step[-1]
    stamps = np.datetime64("2020-01-06T00:00:00") + np.arange(bars) * np.timedelta64(size, unit)
    rows = [
        f"{stamp},{o:.6f},{max(o, c) * 1.001:.6f},{min(o, c) * 0.999:.6f},{c:.6f},10"
        for stamp, o, c in zip(stamps, opened, close, strict=True)
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["time,open,high,low,close,volume", *rows]) + "\n")


@pytest.fixture
def bars(cli):
    """Return a folder with daily bars of three instruments, one of them without costs, and hourly ones of a third."""
    for name in ("EURUSD_D1.csv", "XAUUSD.csv", "PEPPER_D1.csv"):
        write_bars(Path("bars") / name)
    write_bars(Path("bars/GBPUSD_H1.csv"), step="1h")
    Path("bars/US30_D1.csv").write_text("not,bars\n")
    return Path("bars")


def test_the_settings_fit_the_bars(cli, bars):
    ended = cli("init", "mine", "--data", "bars")
    assert (ended.code, ended.err) == (0, "")
    spec = resolve(None, Path("mine") / SETTINGS).spec
    assert spec.environment.instruments == ("EURUSD", "XAUUSD")
    assert (spec.data.timeframe, spec.data.source) == ("D1", str(bars.resolve()))
    assert "left out: PEPPER has no costs in the catalogue" in ended.out
    assert "left out: 1 files of H1 bars" in ended.out
    assert "left out: US30_D1.csv: " in ended.out
    assert "# " in (text := (Path("mine") / SETTINGS).read_text())
    assert "PEPPER: {group: " in text
    assert "  cd mine\n  mtquant plan --config mtquant.yaml\n" in ended.out
    assert cli("plan", "--config", "mine/mtquant.yaml", "--profile", "smoke").code == 0


def test_bars_inside_the_folder_are_named_from_there(cli, bars, monkeypatch):
    assert cli("init", "--data", "bars").code == 0
    assert resolve(None, Path(SETTINGS)).spec.data.source == "bars"
    assert "cd " not in cli("init", "other").out.split("Next:")[0]
    ended = cli("plan", "--config", SETTINGS, "--profile", "smoke")
    assert (ended.code, "phase1-commodities" in ended.out, "phase1-equity" in ended.out) == (0, True, False)


def test_costs_that_are_shown_can_be_stated(cli, bars):
    assert cli("init", "--data", "bars").code == 0
    text = Path(SETTINGS).read_text()
    stated = text.replace("# catalogue:", "catalogue:").replace("#   instruments:", "  instruments:")
    stated = stated.replace("#     PEPPER", "    PEPPER").replace("[EURUSD, XAUUSD]", "[EURUSD, XAUUSD, PEPPER]")
    Path(SETTINGS).write_text(stated)
    assert cli("plan", "--config", SETTINGS, "--profile", "smoke").code == 0


def test_without_bars_there_is_a_place_for_them(cli):
    ended = cli("init", "mine")
    assert ended.code == 0
    assert sorted(path.relative_to("mine").as_posix() for path in Path("mine").rglob("*") if path.is_file()) == [
        IGNORE,
        "data/raw/README.txt",
        SETTINGS,
    ]
    spec = resolve("default").spec
    assert resolve(None, Path("mine") / SETTINGS).spec == spec
    uncommented = [line.removeprefix("# ") for line in (Path("mine") / SETTINGS).read_text().splitlines()[4:]]
    Path("whole.yaml").write_text("\n".join(line for line in uncommented if not line[:1].isupper()))
    found = resolve(None, Path("whole.yaml")).spec
    assert [found.phase1, found.phase2, found.phase3, found.seed] == [spec.phase1, spec.phase2, spec.phase3, 0]
    assert found.data.source == "data/raw"
    assert "mtquant import YOUR-BARS --out data/raw" in ended.out


def test_git_ignores_results_and_bars(cli):
    cli("init", "mine")
    subprocess.run(["git", "init", "-q", "mine"], check=True)
    for path in ("models/runs/r/run.json", "logs/phase1/training.log", "data/raw/EURUSD_D1.csv"):
        assert subprocess.run(["git", "-C", "mine", "check-ignore", "-q", path], check=False).returncode == 0
    assert subprocess.run(["git", "-C", "mine", "check-ignore", "-q", SETTINGS], check=False).returncode == 1


def test_nothing_is_overwritten(cli, bars):
    Path(".gitignore").write_text("mine\n")
    ended = cli("init")
    assert ended.code == 0
    assert "was there and stays as it is" in ended.out
    assert Path(".gitignore").read_text() == "mine\n"
    before = Path(SETTINGS).read_text()
    ended = cli("init", "--data", "bars")
    assert (ended.code, "is not overwritten" in ended.err) == (2, True)
    assert Path(SETTINGS).read_text() == before


def test_a_folder_without_bars_writes_nothing(cli, bars):
    Path("empty").mkdir()
    for path in ("EURUSD_D1.csv", "XAUUSD.csv", "GBPUSD_H1.csv"):
        (bars / path).unlink()
    for source, message in (("nowhere", "is no folder"), ("empty", "no bars"), ("bars", "bars of PEPPER, none of")):
        ended = cli("init", "mine", "--data", source)
        assert (ended.code, message in ended.err) == (4, True)
    assert not Path("mine").exists()


def test_too_few_bars_are_told_at_once(cli):
    write_bars(Path("few/EURUSD_D1.csv"), bars=100)
    ended = cli("init", "mine", "--data", "few")
    assert ended.code == 4
    assert "is written, but training would stop" in ended.err
