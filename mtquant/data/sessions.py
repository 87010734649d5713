"""Calendar features of a bar: functions of its open time (UTC) alone."""

import numpy as np

from mtquant.types import Float, Int

HOUR = 3_600_000_000_000
DAY = 24 * HOUR
THURSDAY = 3
"""Day of the week of 1970-01-01, Monday = 0."""
SESSIONS = {"tokyo_open": (0, 9), "london_open": (7, 16), "new_york_open": (12, 21)}
"""Usual hours, UTC, without daylight saving: first hour inside, first hour after."""

SESSION_NAMES = ("day_sin", "day_cos", "week_sin", "week_cos", *SESSIONS)


def session_features(time: Int) -> Float:
    """Return `[T, 7]`: position in the day and in the week on circles, and 0/1 flags of the three main sessions."""
    of_day = (time % DAY) / DAY
    of_week = ((time // DAY + THURSDAY) % 7 + of_day) / 7
    hour = of_day * 24
    circles = [f(2 * np.pi * x) for x in (of_day, of_week) for f in (np.sin, np.cos)]
    flags = [((hour >= start) & (hour < stop)).astype(np.float64) for start, stop in SESSIONS.values()]
    return np.stack([*circles, *flags], axis=1)
