"""The tactical game: three agents speak in turn on one instrument (`TacticalMarketEnv`)."""

from functools import partial
from typing import Any

import numpy as np
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mtquant.config.games import Config, GamesSpec
from mtquant.config.market_games import TacticalSpec
from mtquant.data.indicators import Indicator
from mtquant.data.market import CLOSE, HIGH, LOW, OPEN
from mtquant.data.patterns import (
    Gaps,
    entry_location,
    fair_value_gaps,
    fvg_bearish,
    fvg_bullish,
    fvg_distance,
    momentum,
    trend_strength,
)
from mtquant.data.timeframes import length
from mtquant.envs.aec import MakeEngine
from mtquant.envs.game import Table
from mtquant.envs.games.documented import DocumentedAEC, DocumentedParallel, GameView, engines_of
from mtquant.envs.games.strategic import DIRECTIONS
from mtquant.envs.games.window_game import WindowGame
from mtquant.envs.ground import Bars, Ground, ground_of
from mtquant.envs.rewards import outcome_of
from mtquant.envs.spaces import Choice
from mtquant.sim.kernel import StepResult
from mtquant.types import Array, Float, Int

TACTICIANS = ("fvg_agent", "momentum_agent", "entry_opt_agent")
STATES = ("AWAITING_FVG", "AWAITING_MOMENTUM", "AWAITING_ENTRY_OPT", "READY_FOR_AGGREGATION")
TRADED = 0.01
"""Exposure change from which a bar counts as a trade."""
SECOND = 1_000_000_000
COUNTS = ("trades", "entries", "quality", "timing", "slippage", "latency")


class TacticalGame(WindowGame):
    """Agents speak in the order of the state machine: fair value gaps, momentum, entry; then the bar is played.

    Observation: the last 60 bars x 7 columns, oldest first; each agent sees its own, the others are zero, except that
    what earlier agents said in this bar (-1, 0, 1) stands in the last row of their first column. Action: 0 SHORT,
    1 NEUTRAL, 2 LONG. Decision: the median of the votes (`byzantine_tolerance`) or their mean, times `position_scale`.
    Reward, the same for all: profit after costs in u0; the fill's place in the range of its bar, per exposure traded,
    once for every trade and once more for entries (from -1, the worst price, to 1, the best: zero in the mean for who
    cannot foresee the bar); a constant where every agent spoke in its turn; less costs and the risk of latency. State:
    all columns now, their means over 5, 15 and 60 bars, votes, exposure, drawdown, share of the episode left.
    """

    name = "tactical_v1"
    agents = TACTICIANS
    parts = ("profit", "execution_quality", "timing", "coordination", "slippage")

    def __init__(self, ground: Ground, settings: TacticalSpec, steps: int) -> None:
        agents = settings.agents
        columns = {name: getattr(agents, name).observation_columns for name in TACTICIANS}
        super().__init__(ground, settings.environment, steps, columns, _own_columns(settings))
        self.settings = settings
        bar_seconds = length(self.dataset.market.timeframe) / SECOND
        self.latency_risk = float(np.sqrt(agents.entry_opt_agent.timing_precision / bar_seconds))

    def memory(self, rows: int) -> dict[str, Array]:
        """Return neutral votes, no trades and a fresh track."""
        return super().memory(rows) | {
            "votes": np.zeros((rows, len(TACTICIANS))),
            "in_turn": np.zeros(rows, dtype=bool),
            "counts": np.zeros((rows, len(COUNTS))),
        }

    def actions(self, agent: str) -> Choice:
        """Return the three directions."""
        return Choice(DIRECTIONS)

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, 60 x 7]` the agent's columns and the words of those before it."""
        seen = self.seen(agent, table)
        if self.settings.environment.state_machine:
            for earlier in TACTICIANS[: TACTICIANS.index(agent)]:
                if earlier in table.said and self.columns[earlier][0] not in self.columns[agent]:
                    seen[:, -1, self.columns[earlier][0]] = table.said[earlier][:, 0] - 1.0
        return seen.reshape(len(seen), -1)

    @staticmethod
    def status(table: Table) -> str:
        """Return the state of the machine: the first agent that has not spoken is awaited."""
        spoken = [agent in table.said for agent in TACTICIANS]
        return STATES[spoken.index(False) if False in spoken else len(TACTICIANS)]

    def aggregate(self, votes: Float) -> Float:
        """Return `[N]` the team's decision on votes `[N, 3]`.

        The median lies between the votes of any two agents, whatever the third says (Yin et al., 2018).
        """
        if self.settings.environment.byzantine_tolerance:
            # the middle one of three, exactly
            out: Float = np.sort(votes, axis=1)[:, votes.shape[1] // 2]
            return out
        mean: Float = votes.sum(axis=1) / votes.shape[1]
        return mean

    def decode(self, table: Table) -> Float:
        """Return the exposure after one partial adjustment towards the decision."""
        memory = table.memory
        votes = memory["votes"].copy()
        for column, agent in enumerate(TACTICIANS):
            if agent in table.said:
                votes[:, column] = table.said[agent][:, 0] - 1.0
        memory["votes"] = votes
        memory["in_turn"] = np.full(len(votes), tuple(table.said) == TACTICIANS)
        return self.towards(self.settings.environment.position_scale * self.aggregate(votes), table)

    def fill_quality(self, result: StepResult, slot: Int) -> Float:
        """Return `[N]` where each fill lies between the worst (-1) and the best price (1) of its bar; 0: no trade."""
        bar = self.dataset.market.ohlcv[result.t + 1, slot]
        price = bar[:, CLOSE] if self.spec.environment.fill == "next_close" else bar[:, OPEN]
        size = bar[:, HIGH] - bar[:, LOW]
        place = np.where(size > 0.0, 2.0 * (price - bar[:, LOW]) / np.where(size > 0.0, size, 1.0) - 1.0, 0.0)
        trade = result.trade[:, 0]
        out: Float = np.where(np.abs(trade) > TRADED, -np.sign(trade) * place, 0.0)
        return out

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the team's reward for every agent."""
        memory, weights = table.memory, self.settings.rewards
        outcome = outcome_of(result, result.exposure[:, 0] ** 2, self.unit_risk)
        exposure, trade = result.exposure[:, 0], result.trade[:, 0]
        size = np.abs(trade)
        traded = size > TRADED
        quality = self.fill_quality(result, table.sim.state.slots[:, 0])
        entered = traded & (np.abs(exposure) > TRADED) & (np.sign(exposure) != np.sign(exposure - trade))
        latency = self.latency_risk * size
        memory["counts"] = memory["counts"] + np.stack(
            [traded, entered, quality, quality * entered, outcome.cost, latency], axis=1
        )
        self.fell(table, result)
        return self.pay(
            table,
            weights.profit * (outcome.gross - outcome.cost),
            weights.execution_quality * quality * size,
            weights.timing_bonus * quality * size * entered,
            weights.coordination_bonus * memory["in_turn"],
            -weights.slippage_penalty * (outcome.cost + latency),
        )

    def state(self, table: Table) -> Array:
        """Return `[N, 4 x 7 + 6]`."""
        summary = self.summary(table, (1, 5, 15, self.window.bars))
        return np.concatenate([*summary, table.memory["votes"], self.account(table)], axis=1, dtype=np.float32)

    def gaps(self, t: int, slot: int) -> list[dict[str, Any]]:
        """Return the open fair value gaps at a bar, the newest of each direction."""
        market, agent = self.dataset.market, self.settings.agents.fvg_agent
        start = next(first for first, stop in market.history_bounds() if first <= t < stop)
        bars = market.ohlcv[start : t + 1, slot][market.tradable[start : t + 1, slot]]
        if not len(bars):
            return []
        pairs = zip(("bullish", "bearish"), fair_value_gaps(bars, agent.detection_threshold), strict=True)
        return [_told(kind, gaps, agent.confidence_threshold) for kind, gaps in pairs if gaps.born[-1] >= 0]


def _own_columns(settings: TacticalSpec) -> dict[str, Indicator]:
    """Return the indicators that the agents' settings change."""
    agents = settings.agents
    size = agents.fvg_agent.detection_threshold
    bars, threshold = agents.momentum_agent.momentum_window, agents.momentum_agent.trend_threshold
    return {
        "fvg_bullish": partial(fvg_bullish, size=size),
        "fvg_bearish": partial(fvg_bearish, size=size),
        "fvg_distance": partial(fvg_distance, size=size),
        "momentum": partial(momentum, bars=bars),
        "trend_strength": partial(trend_strength, bars=bars, threshold=threshold),
        "entry_location": partial(entry_location, bars=agents.entry_opt_agent.optimization_steps),
    }


def _told(kind: str, gaps: Gaps, threshold: float) -> dict[str, Any]:
    """Return the last state of a gap as a dictionary."""
    confidence = float(gaps.confidence()[-1])
    return {
        "type": kind,
        "lower": float(gaps.lower[-1]),
        "upper": float(gaps.upper[-1]),
        "size": float(gaps.upper[-1] - gaps.lower[-1]),
        "age_bars": int(len(gaps.born) - 1 - gaps.born[-1]),
        "open_share": float(gaps.open_share[-1]),
        "confidence": confidence,
        "confirmed": confidence >= threshold,
    }


class _Methods(GameView):
    """What the documents ask of the tactical environment."""

    def engines(self, spec: GamesSpec, bars: Bars, split: str, seed: int, max_cycles: int | None) -> MakeEngine:
        """Return what makes engines of the configured game."""
        chosen = spec.tactical_marl
        steps = max_cycles or chosen.environment.max_episode_steps
        ground = ground_of(bars, chosen.environment, steps, seed=seed)
        return engines_of(TacticalGame(ground, chosen, steps), split)

    @property
    def _game(self) -> TacticalGame:
        game: TacticalGame = self.row.engine.game  # type: ignore[assignment]
        return game

    def get_state_machine_status(self) -> str:
        """Return which agent is awaited; READY_FOR_AGGREGATION shows in batches only, between words and bar."""
        return self._game.status(self._table)

    def get_fvg_patterns(self) -> list[dict[str, Any]]:
        """Return the open fair value gaps now: type, lower, upper, size, age, open share, confidence, confirmed."""
        state = self._table.sim.state
        return self._game.gaps(int(state.t[0]), int(state.slots[0, 0]))

    def get_execution_metrics(self) -> dict[str, float]:
        """Return what the episode's fills were like: counts, mean quality of trades and entries, costs in u0."""
        counts = dict(zip(COUNTS, self._table.memory["counts"][0].tolist(), strict=True))
        return {
            "trades": counts["trades"],
            "entries": counts["entries"],
            "fill_quality": counts["quality"] / max(counts["trades"], 1.0),
            "entry_quality": counts["timing"] / max(counts["entries"], 1.0),
            "slippage": counts["slippage"],
            "latency": counts["latency"],
        }


class TacticalMarketEnv(_Methods, DocumentedAEC):
    """The tactical game agent by agent; see `TacticalGame` for spaces, rewards and state."""


class TacticalParallelEnv(_Methods, DocumentedParallel):
    """The tactical game with all agents choosing at once: none hears the others."""


def create_tactical_environment(config: Config = None, **options: Any) -> TacticalMarketEnv:
    """Return a `TacticalMarketEnv`; `options` are those of `GameView`."""
    return TacticalMarketEnv(config, **options)


def env(config: Config = None, **options: Any) -> OrderEnforcingWrapper:
    """Return the AEC environment as PettingZoo's users expect it."""
    return OrderEnforcingWrapper(TacticalMarketEnv(config, **options))


def parallel_env(config: Config = None, **options: Any) -> TacticalParallelEnv:
    """Return the Parallel environment."""
    return TacticalParallelEnv(config, **options)
