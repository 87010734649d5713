"""Alarms: what a learning curve says when something is wrong, read off the lines of a unit's journal.

Pure functions of the journal, so that `status`, the report and the tracking server say the same, at any time and
about runs that are long over. An alarm needs `PERSISTENCE` lines in a row (one bad update is none) and fires once
per agent and rule, at the first line that completes them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtquant.errors import StoreError
from mtquant.store.journal import JournalLine
from mtquant.store.runs import RunRecord, unit_of_run

PERSISTENCE = 3
"""Lines in a row."""
SETTLED = 0.25
"""Share of the lines after which a critic has had time to learn something."""
LEAST_STD_SHARE = 0.05
"""Action deviation over its first value. Policies that learned a known optimum end between 0.2 and 1.3; at 0.05 the
gradient of the log-likelihood is twenty times as steep as at the start, and nothing new is tried."""
LEAST_EXPLAINED = -0.5
"""Explained variance. Zero is what a constant would do, and on markets the truth is barely above it; half below
zero, the critic's own errors are half as large as what it should explain, and advantages are mostly those errors."""
MOST_KL = 0.1
"""Approximate KL divergence of one update: five times the usual target of 0.02, beyond what the clip should allow."""
MOST_COMMON = 0.95
"""Share of bars on which the exposure was the same to 0.02 risk units. Exploration alone spreads it further, so the
policy sits at a bound or has nothing left to explore with."""
MOST_TURNOVER = 1.5
"""Mean trade over mean exposure, per bar: positions drawn anew each bar give the square root of 2, a partial
adjustment much less; more is a position that flips its sign back and forth."""


@dataclass(frozen=True)
class Alarm:
    """One rule that a journal broke."""

    rule: str
    """Key of `RULES`."""
    agent: str
    """Agent of a joint training; empty where a unit trains one."""
    step: int
    """Step of the line that completed it."""
    value: float
    text: str

    def __str__(self) -> str:
        who = f"{self.agent}: " if self.agent else ""
        return f"{who}{self.text} ({self.rule} {self.value:.3g} at step {self.step:,})"


Values = Mapping[str, float]
"""Metrics of one agent in one line."""


@dataclass(frozen=True)
class Rule:
    """What is measured of a line, and when it is too much."""

    measure: Callable[[Values, Values], float | None]
    """From the line and the agent's first one; None where they do not say."""
    broken: Callable[[float], bool]
    text: str
    from_share: float = 0.0
    """Share of the lines before which the rule does not apply."""


def _of(name: str) -> Callable[[Values, Values], float | None]:
    return lambda now, _: now.get(name)


def _ratio(top: str, bottom: str) -> Callable[[Values, Values], float | None]:
    def measure(now: Values, _: Values) -> float | None:
        return now[top] / now[bottom] if top in now and now.get(bottom, 0.0) > 0.0 else None

    return measure


def _std_share(now: Values, first: Values) -> float | None:
    start = first.get("action_std", 0.0)
    return now["action_std"] / start if "action_std" in now and start > 0.0 else None


def _not_finite(now: Values, _: Values) -> float | None:
    """Return the first loss or reward that is no number; an undefined explained variance is none of them."""
    known = [value for name, value in now.items() if name in NUMBERS]
    return next((value for value in known if not math.isfinite(value)), 0.0) if known else None


NUMBERS = ("policy_loss", "value_loss", "approx_kl", "action_std", "reward_per_step", "utility_per_bar")
"""Metrics that are numbers as long as training is sound."""

RULES: dict[str, Rule] = {
    "not a number": Rule(_not_finite, lambda v: not math.isfinite(v), "a loss or reward is no number"),
    "action_std": Rule(_std_share, lambda v: v < LEAST_STD_SHARE, "exploration collapsed"),
    "explained_variance": Rule(
        _of("explained_variance"),
        lambda v: v < LEAST_EXPLAINED,
        "the critic explains less than a constant would",
        SETTLED,
    ),
    "approx_kl": Rule(_of("approx_kl"), lambda v: v > MOST_KL, "updates move the policy too far"),
    "exposure_common": Rule(_of("exposure_common"), lambda v: v > MOST_COMMON, "the exposure is stuck at one value"),
    "turnover": Rule(
        _ratio("turnover_per_bar", "exposure_size"), lambda v: v > MOST_TURNOVER, "positions flip back and forth"
    ),
}
"""Rules by name; the name is the measure that is shown with an alarm."""


def alarms(lines: Sequence[JournalLine]) -> tuple[Alarm, ...]:
    """Return the alarms of a journal, in the order in which they went off."""
    by_agent: dict[str, list[tuple[int, Values]]] = {}
    for line in lines:
        for agent, values in _by_agent(line.metrics).items():
            by_agent.setdefault(agent, []).append((line.step, values))
    found = [
        alarm
        for agent, series in by_agent.items()
        for name, rule in RULES.items()
        if (alarm := _first(agent, name, rule, series)) is not None
    ]
    return tuple(sorted(found, key=lambda alarm: (alarm.step, alarm.agent, alarm.rule)))


def run_alarms(root: Path, record: RunRecord) -> dict[str, tuple[Alarm, ...]]:
    """Return the alarms of every unit of a run that has any; units that cannot be read have none to tell."""
    found = {}
    for name in record.units:
        try:
            lines = unit_of_run(root, record, name).journal.read()
        except StoreError:
            # its state is `damaged`, which says more
            continue
        if gone_off := alarms(lines):
            found[name] = gone_off
    return found


def _by_agent(metrics: Values) -> dict[str, dict[str, float]]:
    """Return metrics by agent: `forex/approx_kl` is `approx_kl` of forex, names without an agent are of ''."""
    out: dict[str, dict[str, float]] = {}
    for key, value in metrics.items():
        agent, _, name = key.rpartition("/")
        out.setdefault(agent, {})[name] = value
    return out


def _first(agent: str, name: str, rule: Rule, series: Sequence[tuple[int, Values]]) -> Alarm | None:
    first, broken = series[0][1], 0
    for step, values in series[int(rule.from_share * len(series)) :]:
        value = rule.measure(values, first)
        if value is None:
            continue
        broken = broken + 1 if rule.broken(value) else 0
        # what is no number stays so, and training may end before it is written three times
        if broken == (1 if name == "not a number" else PERSISTENCE):
            return Alarm(name, agent, step, value, rule.text)
    return None
