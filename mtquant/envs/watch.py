"""What an environment may be asked to tell of its bars: a log, step times, checks, and a picture."""

import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mtquant.config.games import GamesSpec
from mtquant.envs.drawing import Frame, draw, write
from mtquant.envs.engine import Engine, Outcome
from mtquant.errors import UsageError
from mtquant.types import Float

RENDER_MODES = ("human", "ansi", "rgb_array")
FRAMES = 200
"""Bars that a picture shows."""
LEDGER_TOLERANCE = 1e-9
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Switches:
    """What is told; everything is off by default, because it costs time."""

    log: bool = False
    times: bool = False
    check: bool = False

    @classmethod
    def of(cls, spec: GamesSpec) -> "Switches":
        """Return the switches of a configuration; `debug` sets all of them."""
        return cls(
            spec.debug or spec.verbose_logging,
            spec.debug or spec.performance_monitoring,
            spec.debug or spec.state_validation,
        )


@dataclass
class Watch:
    """Follows one row of an engine from bar to bar."""

    switches: Switches
    render_mode: str | None
    frames: list[Frame] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    steps: int = 0
    _since: float = 0.0

    def __post_init__(self) -> None:
        if self.render_mode is not None and self.render_mode not in RENDER_MODES:
            raise UsageError(f"`render_mode` is `{self.render_mode}`; {list(RENDER_MODES)} or None are known.")

    def begin(self) -> None:
        """Forget the episode before."""
        self.frames, self.steps = [], 0
        self._since = time.perf_counter()

    def saw(self, engine: Engine, outcome: Outcome, words: Mapping[str, str]) -> None:
        """Take one bar that was played with `words`."""
        self.steps += 1
        if self.switches.check:
            check(engine, outcome)
        if self.render_mode is not None or self.switches.log:
            result = outcome.result
            frame = Frame(
                self.steps,
                float(result.equity[0]),
                float(np.sum(result.exposure[0])),
                {agent: float(paid[0]) for agent, paid in outcome.rewards.items()},
                dict(words),
            )
            self.frames = [*self.frames[1 - FRAMES :], frame]
            if self.switches.log:
                _log.debug("%s", write(engine.game.name, frame))
        if self.switches.times:
            now = time.perf_counter()
            self.seconds.append(now - self._since)
            self._since = now

    def performance(self) -> dict[str, float]:
        """Return number, mean and slowest of the measured bars, seconds; nothing where none was measured."""
        if not self.seconds:
            return {}
        spent = np.array(self.seconds)
        return {
            "bars": float(len(spent)),
            "mean_seconds": float(spent.mean()),
            "p99_seconds": float(np.quantile(spent, 0.99)),
            "bars_per_second": float(1.0 / spent.mean()),
        }

    def render(self, name: str) -> str | NDArray[np.uint8] | None:
        """Return the text (`ansi`) or the picture (`rgb_array`) of the episode so far; `human` writes the text."""
        if self.render_mode == "rgb_array":
            return draw(name, self.frames)
        text = write(name, self.frames[-1] if self.frames else None)
        if self.render_mode == "human":
            sys.stdout.write(text + "\n")
            return None
        return text if self.render_mode == "ansi" else None


def check(engine: Engine, outcome: Outcome) -> None:
    """Raise `FloatingPointError` where a bar left the account, the rewards or what agents see in disorder."""
    result = outcome.result
    booked: Float = result.equity_before + result.gross.sum(axis=1) - result.cost.sum(axis=1)
    scale = np.maximum(np.abs(result.equity_before), 1.0)
    if not (np.abs(result.equity - booked) <= LEDGER_TOLERANCE * scale).all():
        raise FloatingPointError(f"{engine.game.name}: equity {result.equity} is not what was booked, {booked}.")
    for agent, paid in outcome.rewards.items():
        if not np.isfinite(paid).all():
            raise FloatingPointError(f"{engine.game.name}: the reward of `{agent}` is {paid}.")
    for agent in engine.game.agents:
        if not np.isfinite(engine.observe(agent)).all():
            raise FloatingPointError(f"{engine.game.name}: the observation of `{agent}` is not finite.")
