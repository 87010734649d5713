"""The strategic game: three experts vote on the direction of one instrument (`StrategicMarketEnv`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mtquant.config.games import Config, GamesSpec
from mtquant.config.market_games import StrategicSpec
from mtquant.envs.aec import MakeEngine
from mtquant.envs.game import Table
from mtquant.envs.games.documented import DocumentedAEC, DocumentedParallel, GameView, engines_of, named
from mtquant.envs.games.window_game import WindowGame
from mtquant.envs.ground import Bars, Ground, ground_of
from mtquant.envs.rewards import outcome_of
from mtquant.envs.spaces import ActionMap, Actions, Choice
from mtquant.envs.track import sharpe_step
from mtquant.sim.kernel import StepResult
from mtquant.types import Array, Float

EXPERTS = ("mlmi_expert", "nwrqk_expert", "regime_expert")
DIRECTIONS = ("SHORT", "NEUTRAL", "LONG")
SUMMARY_BARS = (1, 6, 12, 24)
"""Means of the columns over these last bars and over the whole window are part of the critic's state."""
STRONG = 0.5
"""Size of a regime column from which the regime is named after it."""


class StrategicGame(WindowGame):
    """Three experts see the same matrix of bars x columns, each its own columns; the others are zero.

    Observation: the last 48 bars x 13 columns, oldest first, float32. Action: 0 SHORT, 1 NEUTRAL, 2 LONG, or (setting
    `actions: probabilities`) a probability of each, which votes P(LONG) - P(SHORT); three zeros are NEUTRAL.
    Decision: the mean of the votes by expertise, times `position_scale`; the exposure goes `adjustment_rate` of the
    way there. Reward, the same for all: the bar's profit after costs in units of u0 (the risk of exposure 1 over one
    bar), plus `synergy_bonus` of it where all agree on a direction, less the growth of the drawdown, plus the
    differential Sharpe ratio. State: columns now, their means over 6, 12, 24 and 48 bars, their deviation over 48
    (6 x 13), exposure, drawdown, share of the episode left, moments of returns: 83 numbers.
    """

    name = "strategic_v1"
    agents = EXPERTS
    parts = ("profit", "synergy", "drawdown", "sharpe")

    def __init__(self, ground: Ground, settings: StrategicSpec, steps: int) -> None:
        expert = {name: getattr(settings.agents, name) for name in EXPERTS}
        columns = {name: expert[name].observation_columns for name in EXPERTS}
        super().__init__(ground, settings.environment, steps, columns)
        self.settings = settings
        weight = np.array([expert[name].expertise_weight for name in EXPERTS])
        self.weight = weight / weight.sum()

    def memory(self, rows: int) -> dict[str, Array]:
        """Return neutral votes and a fresh track."""
        return super().memory(rows) | {"votes": np.zeros((rows, len(EXPERTS)))}

    def actions(self, agent: str) -> Actions:
        """Return the three directions, or a probability of each."""
        if self.settings.environment.actions == "probabilities":
            return ActionMap(len(DIRECTIONS), 0.0, 1.0)
        return Choice(DIRECTIONS)

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, 48 x 13]` the expert's columns of the last bars."""
        seen = self.seen(agent, table)
        return seen.reshape(len(seen), -1)

    def vote(self, word: Float) -> Float:
        """Return `[N]` what an action says, from -1 (short) to 1 (long)."""
        if word.shape[1] == 1:
            return word[:, 0] - 1.0
        total = word.sum(axis=1)
        return np.where(total > 0.0, (word[:, 2] - word[:, 0]) / np.where(total > 0.0, total, 1.0), 0.0)

    def decode(self, table: Table) -> Float:
        """Return the exposure after one partial adjustment towards the weighted vote."""
        votes = table.memory["votes"].copy()
        for column, agent in enumerate(EXPERTS):
            if agent in table.said:
                votes[:, column] = self.vote(table.said[agent])
        table.memory["votes"] = votes
        return self.towards(self.settings.environment.position_scale * (votes * self.weight).sum(axis=1), table)

    def synergy(self, votes: Float) -> Float:
        """Return `[N]` the agreement of votes `[N, 3]` on a direction, from 0 to 1; 1: all want the same, in full."""
        together = np.abs((votes * self.weight).sum(axis=1))
        same = (votes > 0.0).all(axis=1) | (votes < 0.0).all(axis=1)
        return np.where(same, together, 0.0)

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the team's reward for every expert."""
        memory, weights = table.memory, self.settings.rewards
        outcome = outcome_of(result, result.exposure[:, 0] ** 2, self.unit_risk)
        profit = outcome.gross - outcome.cost
        earned = profit if weights.synergy == "earned" else np.ones_like(profit)
        return self.pay(
            table,
            profit,
            weights.synergy_bonus * self.synergy(memory["votes"]) * earned,
            -weights.drawdown_penalty * self.fell(table, result),
            weights.sharpe_bonus * sharpe_step(memory, outcome, weights.sharpe_rate),
        )

    def state(self, table: Table) -> Array:
        """Return `[N, 83]`."""
        account = [self.account(table), table.memory["sharpe"]]
        summary = self.summary(table, (*SUMMARY_BARS, self.window.bars))
        return np.concatenate([*summary, self.deviation(table), *account], axis=1, dtype=np.float32)

    def regimes(self, t: int, slot: int) -> dict[str, Any]:
        """Return the regime at a bar, from the columns that the regime expert sees."""
        values = named(self.window.names, self.window.table[t, slot])
        seen = {self.window.names[i]: values[self.window.names[i]] for i in self.columns[EXPERTS[2]]}
        trend, volatility = values.get("trend_state", 0.0), values.get("volatility_state", 0.0)
        return {
            "trend": _called(trend, ("down", "sideways", "up")),
            "volatility": _called(volatility, ("calm", "usual", "turbulent")),
            "columns": seen,
        }


def _called(value: float, names: Sequence[str]) -> str:
    return names[1 + (value > STRONG) - (value < -STRONG)]


class _Methods(GameView):
    """What the documents ask of the strategic environment."""

    def engines(self, spec: GamesSpec, bars: Bars, split: str, seed: int, max_cycles: int | None) -> MakeEngine:
        """Return what makes engines of the configured game."""
        chosen = spec.strategic_marl
        steps = max_cycles or chosen.environment.max_episode_steps
        ground = ground_of(bars, chosen.environment, steps, seed=seed)
        return engines_of(StrategicGame(ground, chosen, steps), split)

    @property
    def _game(self) -> StrategicGame:
        game: StrategicGame = self.row.engine.game  # type: ignore[assignment]
        return game

    def get_synergy_score(self) -> float:
        """Return the agreement of the last decision, from 0 to 1."""
        return float(self._game.synergy(self._table.memory["votes"])[0])

    def get_regime_state(self) -> dict[str, Any]:
        """Return the regime now: `trend`, `volatility` and the columns they are named after."""
        state = self._table.sim.state
        return self._game.regimes(int(state.t[0]), int(state.slots[0, 0]))

    def get_agent_contributions(self) -> dict[str, float]:
        """Return what each expert adds to the last decision, from -1 to 1; they sum to the decision."""
        return named(EXPERTS, self._table.memory["votes"][0] * self._game.weight)


class StrategicMarketEnv(_Methods, DocumentedAEC):
    """The strategic game agent by agent; see `StrategicGame` for spaces, rewards and state."""


class StrategicParallelEnv(_Methods, DocumentedParallel):
    """The strategic game with all experts choosing at once."""


def create_strategic_environment(config: Config = None, **options: Any) -> StrategicMarketEnv:
    """Return a `StrategicMarketEnv`; `options` are those of `GameView`."""
    return StrategicMarketEnv(config, **options)


def env(config: Config = None, **options: Any) -> OrderEnforcingWrapper:
    """Return the AEC environment as PettingZoo's users expect it."""
    return OrderEnforcingWrapper(StrategicMarketEnv(config, **options))


def parallel_env(config: Config = None, **options: Any) -> StrategicParallelEnv:
    """Return the Parallel environment."""
    return StrategicParallelEnv(config, **options)
