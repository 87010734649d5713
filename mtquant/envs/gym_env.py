"""`MarketGymEnv`: one row of a game as an ordinary Gymnasium environment, for foreign code and benchmarks."""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

from mtquant.data.splits import Split
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame
from mtquant.errors import UsageError
from mtquant.types import ActFn, Array


class MarketGymEnv(gymnasium.Env[Array, Any]):
    """One row as seen by `agent`, the other agents being frozen policies.

    One step plays `bars` bars with the agent's word held and the rewards summed, as in `VecMarketEnv`.
    Training uses the batched views, which play the same engine.
    """

    def __init__(
        self, game: MarketGame, split: Split, agent: str, others: Mapping[str, ActFn] | None = None, *, bars: int = 1
    ) -> None:
        self.agent, self.bars = agent, bars
        self.others = dict(others or {})
        missing = [name for name in game.agents if name != agent and name not in self.others]
        if missing:
            raise UsageError(f"Agents {missing} of {game.name} need a policy.")
        self.metadata = {"render_modes": []}
        self.observation_space = game.layout(agent).space()
        self.action_space: Box | Discrete = game.actions(agent).space()
        self.engine = GameEngine(game, split, 1, self.np_random)
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start an episode; `seed` restarts the stream that episodes are drawn from."""
        super().reset(seed=seed)
        self.engine.rng = self.np_random
        self.engine.begin(stagger=False)
        self._running = True
        return self._observe(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Play the bars; the episode is terminated by a ruined account and truncated at its last bar."""
        if not self._running:
            raise UsageError("Call `reset` before `step`: no episode is running.")
        reward, ended, ruined = 0.0, False, False
        for bar in range(self.bars):
            for name in self.engine.game.agents:
                if name != self.agent:
                    self.engine.say(name, self.others[name](self.engine.observe(name)))
                elif bar == 0:
                    self.engine.say(name, np.asarray(action)[None])
            outcome = self.engine.advance()
            reward += float(outcome.rewards[self.agent][0])
            ended, ruined = bool(outcome.done[0]), bool(outcome.terminated[0])
            if ended:
                break
        self._running = not ended
        return self._observe(), reward, ruined, ended and not ruined, {}

    def _observe(self) -> Array:
        return np.asarray(self.engine.observe(self.agent)[0], dtype=np.float32)
