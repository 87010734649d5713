"""The examples run as a person would start them, and what they train gets better."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))


def said(name: str, steps: int) -> str:
    """Run an example and return what it printed."""
    ended = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), "--steps", str(steps)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def numbers(text: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.\d+", text)]


def test_every_example_is_run_here():
    assert EXAMPLES == ["cleanrl_ppo.py", "rllib_ppo.py", "supersuit_sb3.py"]


def test_one_episode_of_ppo_in_one_file():
    first, last = numbers(said("cleanrl_ppo.py", 250))
    assert first == last, "there was one episode"


@pytest.mark.slow
def test_ppo_in_one_file_gets_better():
    first, last = numbers(said("cleanrl_ppo.py", 10_000))
    assert last > 1.5 * first > 0.0


@pytest.mark.slow
def test_sb3_by_way_of_supersuit_gets_better():
    random, trained = numbers(said("supersuit_sb3.py", 12_000))
    assert trained > 2.0 * random > 0.0


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ray") is None, reason="Ray with RLlib is not installed: docs/marl.md says how")
def test_rllib_learns_by_way_of_its_wrapper():
    first, last = numbers(said("rllib_ppo.py", 2_000))
    assert first != last, "there were two batches"
