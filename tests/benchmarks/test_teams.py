"""Teams are measured by view and as a whole."""

import math
import warnings

import pytest

from benchmarks.teams import measure_teams
from mtquant.envs.conformance import ENVIRONMENTS


@pytest.mark.slow
def test_every_view_and_both_trainings_are_measured():
    with warnings.catch_warnings():
        # SB3 asks SuperSuit's rows for an attribute that they have by another way.
        warnings.filterwarnings("ignore", message="The `render_mode` attribute is not defined")
        section = measure_teams(seconds=0.1, copies=2, iterations=1)
    assert [row[0] for row in section.rows] == [*ENVIRONMENTS, "tactical, training"]
    found = {(f.bench, f.setting.get("view", f.setting.get("path"))): f for f in section.figures[-6:]}
    assert all(math.isfinite(figure.value) and figure.value > 0 for figure in section.figures)
    ratio = section.figures[-1]
    ours, theirs = (found["team-training", path].value for path in ("mtquant", "SuperSuit and SB3"))
    assert (ratio.bench, ratio.value) == ("team-training-ratio", pytest.approx(ours / theirs))
    assert "batched over AEC" in section.text()
