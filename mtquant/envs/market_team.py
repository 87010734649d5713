"""`MarketTeam`: a game over the simulator as the multi-agent trainer plays it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtquant.envs.engine import GameEngine, Outcome
from mtquant.envs.game import TeamMarketGame
from mtquant.envs.multi_agent import MultiAgentVecEnv
from mtquant.envs.scenario import RowScenarios, Scenario
from mtquant.envs.spaces import AnyActions, Normaliser, ObservationLayout
from mtquant.envs.team import MarketNoise, TeamEnv, TeamStep
from mtquant.types import Array, Bool, Float32


class MarketTeam(TeamEnv):
    """The rows of a `MultiAgentVecEnv`; all agents act in every bar, and later ones hear earlier ones."""

    simultaneous = False
    has_scenarios = True

    def __init__(self, view: MultiAgentVecEnv) -> None:
        self.view = view
        self.agents, self.rows = view.agents, view.rows
        self.reset(stagger=True)
        self.state_width = view.state().shape[1]
        noise = self._noise_state()
        self.noise_shape = (0, 0) if noise is None else noise.shape[1:]

    def layout(self, agent: str) -> ObservationLayout:
        """Return what `agent` sees."""
        return self.view.engine.game.layout(agent)

    def actions(self, agent: str) -> AnyActions:
        """Return what `agent` may choose."""
        return self.view.engine.game.actions(agent)

    def normaliser(self, agent: str) -> Normaliser:
        """Return what the network does to observations first, as the game says."""
        return self.view.engine.game.input_normaliser(agent)

    def reset(self, *, stagger: bool = False) -> None:
        """Start an episode in every row; with `stagger`, of random remaining lengths, so that they end apart."""
        self.view.engine.begin(stagger=stagger)

    def observe(self, agent: str) -> Float32:
        """Return `[N, d]` what `agent` sees, having heard those who spoke in this bar."""
        return np.asarray(self.view.observe(agent), dtype=np.float32)

    def state(self) -> Float32:
        """Return `[N, s]` what the game shows a centralised critic."""
        return np.asarray(self.view.state(), dtype=np.float32)

    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of `agent`."""
        self.view.say(agent, action)

    def step(self) -> TeamStep:
        """Play the bar."""
        state = self._noise_state()
        outcome = self.view.step()
        shape = (self.rows, len(self.agents))
        rewards = np.stack([outcome.rewards[agent] for agent in self.agents], axis=1)
        gone = np.broadcast_to(outcome.done[:, None], shape)
        cut = np.broadcast_to((outcome.done & ~outcome.terminated)[:, None], shape)
        noise = None if state is None else MarketNoise(self._noise_shock(outcome), state)
        return TeamStep(rewards, gone, cut, outcome.done, noise=noise)

    def _noise_state(self) -> Float32 | None:
        engine = self.view.engine
        if not isinstance(engine, GameEngine) or not isinstance(engine.game, TeamMarketGame):
            return None
        return engine.game.noise_state(self.agents[0], engine.table)

    def _noise_shock(self, outcome: Outcome) -> Float32:
        engine = self.view.engine
        return engine.game.noise_shock(self.agents[0], engine.table, outcome.result)

    def restart(self, done: Bool) -> None:
        """Start new episodes in the rows `done` [N]."""
        self.view.restart(done)

    def begin_scenarios(self, scenarios: Sequence[Scenario]) -> None:
        """Play episodes that start from now on under these, one per row."""
        self.view.engine.curriculum = RowScenarios(scenarios)

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that continue these rows exactly."""
        return self.view.state_dict()

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.view.load_state_dict(arrays, values)
