"""Calendar features are functions of the bar's open time."""

import numpy as np

from mtquant.data.sessions import SESSION_NAMES, session_features
from tests.data.make import DAY, HOUR, MONDAY


def at(time: int) -> dict[str, float]:
    return dict(zip(SESSION_NAMES, session_features(np.array([time]))[0].tolist(), strict=True))


def test_a_week_begins_on_monday_at_midnight():
    monday = at(MONDAY)
    assert (monday["day_sin"], monday["day_cos"], monday["week_sin"], monday["week_cos"]) == (0, 1, 0, 1)
    noon = at(MONDAY + 3 * DAY + 12 * HOUR)  # the middle of the day and of the week
    assert np.allclose([noon["day_cos"], noon["week_cos"]], -1)
    assert at(MONDAY + DAY)["week_sin"] > 0 > at(MONDAY - DAY)["week_sin"]


def test_sessions_open_and_close_on_the_hour():
    hours = {name: [h for h in range(24) if at(MONDAY + h * HOUR)[name]] for name in SESSION_NAMES if "open" in name}
    assert hours == {
        "tokyo_open": list(range(9)),
        "london_open": list(range(7, 16)),
        "new_york_open": list(range(12, 21)),
    }


def test_years_before_1970_keep_their_weekday():
    assert at(MONDAY - 3000 * 7 * DAY) == at(MONDAY)
