"""What docs/tracking.md says about using the champion works as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

from mtquant.execution.registering import promote
from mtquant.tracking.location import SETTINGS
from mtquant.tracking.publisher import Publisher
from tests.execution.finished import finished_run
from tests.tracking.exports import make_small_export

PAGE = Path(__file__).parents[2] / "docs" / "tracking.md"


def test_the_champion_is_loaded_and_used_as_the_page_says(root, tmp_path):
    run = finished_run(root, export=make_small_export)
    promote(root, run.run_id)
    publisher = Publisher(root)
    publisher.publish(run.run_id)
    (block,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    environment = os.environ | SETTINGS | {"MLFLOW_TRACKING_URI": publisher.uri}
    ended = subprocess.run(
        # Only what the model asks for may be needed: mtquant is not on the path.
        [sys.executable, "-W", "ignore", "-c", block],
        env=environment | {"PYTHONPATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "'said': array([[0., 0.]], dtype=float32)" in ended.stdout
