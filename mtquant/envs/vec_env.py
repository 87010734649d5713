"""`VecMarketEnv`: the view of one learning agent for Stable-Baselines3."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtquant.envs.activity import Activity
from mtquant.envs.batch_env import NOTHING, BatchEnv
from mtquant.envs.engine import GameEngine
from mtquant.errors import UsageError
from mtquant.types import ActFn, Array, Bool


class VecMarketEnv(BatchEnv):
    """N rows of a game as seen by `agent`, the other agents being frozen policies.

    One step plays `bars` bars with the agent's word held and the rewards summed. A row whose episode
    ends starts the next one at once; its last observation is in `terminal_observation`, and
    `TimeLimit.truncated` tells a cut from a ruined account.
    """

    def __init__(
        self, engine: GameEngine, agent: str, others: Mapping[str, ActFn] | None = None, *, bars: int = 1
    ) -> None:
        game = engine.game
        self.engine, self.agent, self.bars = engine, agent, bars
        self.others = dict(others or {})
        missing = [name for name in game.agents if name != agent and name not in self.others]
        if missing:
            raise UsageError(f"Agents {missing} of {game.name} need a policy.")
        super().__init__(engine.rows, game.layout(agent).space(), game.actions(agent).space())
        self._returns = np.zeros(engine.rows)
        self._lengths = np.zeros(engine.rows, dtype=np.int64)
        self._actions = np.zeros((engine.rows, game.actions(agent).size))
        self._started = False
        self.record_noise = False
        """Whether price moves are kept for `recorded_noise`."""
        self._noise: list[tuple[Array, Array]] = []
        self.activity = Activity()
        """What the accounts did since it was taken last; taken at rollout boundaries, so no checkpoint needs it."""

    def forget_noise(self) -> None:
        """Start a new record of price moves."""
        self._noise = []

    def recorded_noise(self) -> tuple[Array, Array]:
        """Return shocks `[S, N, q]` and states `[S, N, q, m]` of the steps since `forget_noise`."""
        if not self._noise:
            return np.zeros((0, self.num_envs, 0), np.float32), np.zeros((0, self.num_envs, 0, 0), np.float32)
        return np.stack([shock for shock, _ in self._noise]), np.stack([state for _, state in self._noise])

    def reset(self) -> Array:
        """Start staggered episodes in all rows and return `[N, d]`."""
        self.engine.begin(stagger=True)
        self._returns[:] = 0.0
        self._lengths[:] = 0
        self._started = True
        return self._observe()

    def _observe(self) -> Array:
        return np.asarray(self.engine.observe(self.agent), dtype=np.float32)

    def step_async(self, actions: Array) -> None:
        """Remember `actions` [N, a] for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        """Play the bars and return observations, rewards, dones and infos."""
        if not self._started:
            raise UsageError("Call `reset` before `step`.")
        reward = np.zeros(self.num_envs)
        done = np.zeros(self.num_envs, dtype=bool)
        terminated = done
        game, table = self.engine.game, self.engine.table
        before = game.noise_state(self.agent, table) if self.record_noise else None
        shock: Array | float = 0.0
        for bar in range(self.bars):
            for name in self.engine.game.agents:
                if name == self.agent:
                    if bar == 0:
                        self.engine.say(name, self._actions)
                else:
                    self.engine.say(name, self.others[name](self.engine.observe(name)))
            outcome = self.engine.advance()
            self.activity.add(outcome.result.exposure, outcome.result.trade)
            reward += np.where(done, 0.0, outcome.rewards[self.agent])
            done = done | outcome.done
            terminated = outcome.terminated
            if before is not None:
                shock = shock + game.noise_shock(self.agent, table, outcome.result)
        if before is not None:
            self._noise.append((np.asarray(shock), before))
        self._returns += reward
        self._lengths += 1
        infos = [NOTHING] * self.num_envs
        observation = self._observe()
        if done.any():
            self._finish(done, terminated, observation, infos)
            observation = self._observe()
        return observation, reward.astype(np.float32), done, infos

    def _finish(self, done: Bool, terminated: Bool, observation: Array, infos: list[dict[str, Any]]) -> None:
        for row in np.flatnonzero(done):
            infos[row] = {
                "terminal_observation": observation[row].copy(),
                "TimeLimit.truncated": not bool(terminated[row]),
                "episode": {"r": float(self._returns[row]), "l": int(self._lengths[row]), "t": 0.0},
            }
        self._returns[done] = 0.0
        self._lengths[done] = 0
        self.engine.restart(done)

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that continue this view exactly."""
        arrays, values = self.engine.state_dict()
        return arrays | {"view.returns": self._returns.copy(), "view.lengths": self._lengths.copy()}, values

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.engine.load_state_dict(arrays, values)
        self._returns = np.array(arrays["view.returns"], dtype=np.float64)
        self._lengths = np.array(arrays["view.lengths"])
        self._started = True

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Restart the episode stream from `seed`; takes effect at the next `reset`."""
        if seed is not None:
            self.engine.rng = np.random.Generator(np.random.PCG64(seed))
        return [seed] * self.num_envs
