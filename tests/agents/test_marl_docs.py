"""The Python of docs/marl.md runs as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "marl.md").read_text(), re.DOTALL | re.MULTILINE)

NAMES = ["trainer", "unified", "package", "gpu", "parallel"]


def test_there_is_something_to_run():
    assert len(BLOCKS) == len(NAMES)


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=NAMES)
def test_the_page_s_python_runs(block, tmp_path):
    ended = subprocess.run(
        [sys.executable, "-c", block],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout
