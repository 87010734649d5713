"""The two teams of document 5: three agents that propose changes of one position, on 5- and on 30-minute bars."""

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mtquant.config.games import Config, GamesSpec
from mtquant.config.market_games import TeamSpec
from mtquant.envs.aec import MakeEngine
from mtquant.envs.game import Table
from mtquant.envs.games.documented import DocumentedAEC, DocumentedParallel, GameView, engines_of
from mtquant.envs.games.window_game import WindowGame
from mtquant.envs.ground import Bars, Ground, ground_of
from mtquant.envs.rewards import outcome_of
from mtquant.envs.spaces import Choice, ObservationLayout, index_of
from mtquant.sim.kernel import StepResult
from mtquant.types import Array, Float

Team = Literal["tactical", "strategic"]


class Roster(NamedTuple):
    """Who is in a team, and what each may do."""

    agents: tuple[str, ...]
    choices: tuple[str, ...]


ROSTERS: dict[Team, Roster] = {
    "tactical": Roster(
        ("tactical_agent", "risk_agent", "execution_agent"),
        ("HOLD", "BUY_SMALL", "BUY_LARGE", "SELL_SMALL", "SELL_LARGE"),
    ),
    "strategic": Roster(
        ("strategic_agent", "portfolio_manager", "regime_detector"),
        (
            "HOLD",
            "BUY_CONSERVATIVE",
            "BUY_AGGRESSIVE",
            "SELL_CONSERVATIVE",
            "SELL_AGGRESSIVE",
            "REDUCE_RISK",
            "INCREASE_RISK",
        ),
    ),
}


class TeamGame(WindowGame):
    """Three agents see the same columns of the last bar and each proposes a change of the position; the mean is traded.

    Observation: 7 (tactical) or 13 (strategic) columns, the exposure held among them. Action: the documents' lists,
    HOLD first. BUY and SELL change the exposure by `small_step` or `large_step`, INCREASE_RISK multiplies it by
    `risk_step`, REDUCE_RISK divides it; it stays within `position_scale`. Reward, the same for all: profit after
    costs in u0. State: the columns, words of the bar before, exposure, drawdown, share
    of the episode left.
    """

    parts = ("profit",)

    def __init__(self, ground: Ground, settings: TeamSpec, team: Team, steps: int) -> None:
        self.agents, self.choices = ROSTERS[team]
        super().__init__(ground, settings, steps, dict.fromkeys(self.agents, range(len(settings.columns))))
        self.settings = settings
        self.name = f"{team}_team_v1"
        small, large, factor = settings.small_step, settings.large_step, settings.risk_step
        count = len(self.choices)
        self.step = np.array([0.0, small, large, -small, -large, 0.0, 0.0])[:count]
        self.factor = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0 / factor, factor])[:count]

    def memory(self, rows: int) -> dict[str, Array]:
        """Return words that hold and a fresh track."""
        return super().memory(rows) | {"words": np.zeros((rows, len(self.agents)), dtype=np.int64)}

    def layout(self, agent: str) -> ObservationLayout:
        """Return the columns of the last bar; a window of several bars is a matrix."""
        layout = super().layout(agent)
        return ObservationLayout(layout.blocks) if self.window.bars == 1 else layout

    def actions(self, agent: str) -> Choice:
        """Return the team's list."""
        return Choice(self.choices)

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, bars x columns]`, the same for every agent."""
        seen = self.seen(agent, table)
        return seen.reshape(len(seen), -1)

    def decode(self, table: Table) -> Float:
        """Return the mean of the proposed exposures; who is silent holds."""
        held = table.sim.exposure()[:, 0]
        words = np.zeros((len(held), len(self.agents)), dtype=np.int64)
        for column, agent in enumerate(self.agents):
            if agent in table.said:
                words[:, column] = index_of(table.said[agent])
        table.memory["words"] = words
        proposed = held[:, None] * self.factor[words] + self.step[words]
        scale = self.settings.position_scale
        return self.towards(np.clip(proposed.sum(axis=1) / len(self.agents), -scale, scale), table)

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the profit for every agent."""
        outcome = outcome_of(result, result.exposure[:, 0] ** 2, self.unit_risk)
        self.fell(table, result)
        return self.pay(table, outcome.gross - outcome.cost)

    def state(self, table: Table) -> Array:
        """Return `[N, columns + 6]`."""
        words = table.memory["words"] / (len(self.choices) - 1.0)
        return np.concatenate([*self.summary(table, (1,)), words, self.account(table)], axis=1, dtype=np.float32)


class _Methods(GameView):
    team: ClassVar[Team]

    def engines(self, spec: GamesSpec, bars: Bars, split: str, seed: int, max_cycles: int | None) -> MakeEngine:
        """Return what makes engines of the configured team."""
        settings: TeamSpec = getattr(spec, self.team)
        steps = max_cycles or settings.episode_length
        return engines_of(TeamGame(ground_of(bars, settings, steps, seed=seed), settings, self.team, steps), split)


class TacticalTeamEnv(_Methods, DocumentedAEC):
    """The tactical team agent by agent; see `TeamGame`."""

    team = "tactical"


class TacticalTeamParallelEnv(_Methods, DocumentedParallel):
    """The tactical team, all choosing at once."""

    team = "tactical"


class StrategicTeamEnv(_Methods, DocumentedAEC):
    """The strategic team agent by agent; see `TeamGame`."""

    team = "strategic"


class StrategicTeamParallelEnv(_Methods, DocumentedParallel):
    """The strategic team, all choosing at once."""

    team = "strategic"


AEC: dict[Team, type[DocumentedAEC]] = {"tactical": TacticalTeamEnv, "strategic": StrategicTeamEnv}
PARALLEL: dict[Team, type[DocumentedParallel]] = {
    "tactical": TacticalTeamParallelEnv,
    "strategic": StrategicTeamParallelEnv,
}


def create_team_environment(team: Team, config: Config = None, **options: Any) -> DocumentedAEC:
    """Return the AEC environment of a team; `options` are those of `GameView`."""
    return AEC[team](config, **options)


def env(team: Team = "tactical", config: Config = None, **options: Any) -> OrderEnforcingWrapper:
    """Return the AEC environment as PettingZoo's users expect it."""
    return OrderEnforcingWrapper(AEC[team](config, **options))


def parallel_env(team: Team = "tactical", config: Config = None, **options: Any) -> DocumentedParallel:
    """Return the Parallel environment."""
    return PARALLEL[team](config, **options)
