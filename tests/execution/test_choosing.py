"""Which phase an evaluation says deploys."""

from dataclasses import dataclass

import pytest

from mtquant.evaluation.content import Promotion
from mtquant.evaluation.statistics import Interval
from mtquant.execution.choosing import judge_phases


@dataclass(frozen=True)
class Judge:
    """Stands for an assessor: a phase beats another where its worth is more than 1 above."""

    def promotion(self, later, earlier):
        """Return the comparison of two worths."""
        gain = float(later - earlier)
        return Promotion(str(later), str(earlier), Interval(gain, gain - 1.0, gain + 1.0), Interval(0.0))


@pytest.mark.parametrize(
    ("worths", "deployed", "compared"),
    [
        ((0, 5, 10), 3, ["5 0", "10 5"]),
        ((0, 5, 5), 2, ["5 0", "5 5"]),
        ((0, 5, 3), 2, ["5 0", "3 5"]),
        ((5, 0, 10), 3, ["0 5", "10 0", "10 5"]),
        ((5, 0, 3), 1, ["0 5", "3 0", "3 5"]),
        ((5, 5, 5), 1, ["5 5", "5 5", "5 5"]),
        ((5, 4.5, 6.2), 3, ["4.5 5", "6.2 4.5", "6.2 5"]),
    ],
)
def test_the_last_phase_that_beat_those_before_it_deploys(worths, deployed, compared):
    promotions, found = judge_phases(Judge(), worths)
    assert found == deployed
    assert [f"{p.later} {p.earlier}" for p in promotions] == compared
