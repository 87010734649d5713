"""Small PettingZoo environments of every kind, and one agent of Gymnasium as a team."""

import itertools
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from pettingzoo import AECEnv, ParallelEnv

GOAL = 12
LIVES = 10


class Duel(AECEnv):
    """Two agents in turn raise a count by 0 to 2; it ends at `GOAL`, whoever gets there.

    The second is paid what the first says, the first less what the second says: both are paid by the other's move.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "duel_v0", "render_modes": []}

    def __init__(self) -> None:
        super().__init__()
        self.possible_agents = ["player_0", "player_1"]
        self.render_mode = None
        self._seen = Box(0.0, 20.0, (3,), dtype=np.float32)
        self._choices = Discrete(3)

    def observation_space(self, agent: str) -> Box:
        return self._seen

    def action_space(self, agent: str) -> Discrete:
        return self._choices

    def observe(self, agent: str) -> np.ndarray:
        return np.array([self.count, self.luck, self.possible_agents.index(agent)], dtype=np.float32)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        if seed is not None:
            self.rng = np.random.Generator(np.random.PCG64(seed))
        self.agents = list(self.possible_agents)
        self.count, self.luck = int(self.rng.integers(4)), 0.0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations, self.truncations = (dict.fromkeys(self.agents, False) for _ in range(2))
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection = self.agents[0]

    def render(self) -> None:
        """Nothing is drawn."""

    def close(self) -> None:
        """Nothing to release."""

    def step(self, action: Any) -> None:
        agent = self.agent_selection
        if self.terminations[agent] or self.truncations[agent]:
            self._was_dead_step(action)
            return
        other = self.possible_agents[1 - self.possible_agents.index(agent)]
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        self.count += int(action)
        self.luck = float(self.rng.random())
        self.rewards[other] = float(action) if agent == "player_0" else -float(action)
        if self.count >= GOAL:
            self.terminations = dict.fromkeys(self.agents, True)
        self.agent_selection = other
        self._accumulate_rewards()


class Fading(ParallelEnv):
    """Three agents of which each dies in its own time; who lives is paid its action, and 1 for each one dead."""

    metadata: ClassVar[dict[str, Any]] = {"name": "fading_v0", "render_modes": []}

    def __init__(self, cycles: int = LIVES) -> None:
        self.possible_agents = ["agent_0", "agent_1", "agent_2"]
        self.cycles = cycles
        self._seen = Box(0.0, 20.0, (2,), dtype=np.float32)
        self._choices = Box(-1.0, 1.0, (1,), dtype=np.float32)
        self.render_mode = None

    def observation_space(self, agent: str) -> Box:
        return self._seen

    def action_space(self, agent: str) -> Box:
        return self._choices

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self.rng = np.random.Generator(np.random.PCG64(seed))
        self.agents = list(self.possible_agents)
        self.age = 0
        self.ends = dict(zip(self.agents, self.rng.integers(2, self.cycles + 3, 3), strict=True))
        return self._observations(), {agent: {} for agent in self.agents}

    def _observations(self) -> dict[str, np.ndarray]:
        return {agent: np.array([self.age + 1, self.ends[agent]], dtype=np.float32) for agent in self.agents}

    def step(self, actions: dict[str, Any]) -> Any:
        assert set(actions) == set(self.agents)
        self.age += 1
        dead = len(self.possible_agents) - len(self.agents)
        rewards = {agent: float(actions[agent][0]) + dead for agent in self.agents}
        ended = {agent: bool(self.age >= self.ends[agent]) for agent in self.agents}
        cut = dict.fromkeys(self.agents, self.age >= self.cycles)
        seen, infos = self._observations(), {agent: {} for agent in self.agents}
        self.agents = [agent for agent in self.agents if not (ended[agent] or cut[agent])]
        return seen, rewards, ended, cut, infos


class Restless(Fading):
    """Not determined by its seed: every episode that anybody begins is another."""

    metadata: ClassVar[dict[str, Any]] = {"name": "restless_v0", "render_modes": []}
    begun = itertools.count()

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=next(self.begun))


class Solo(ParallelEnv):
    """A Gymnasium environment as a team of one."""

    def __init__(self, name: str) -> None:
        self.env = gymnasium.make(name)
        self.metadata = {"name": name, "render_modes": []}
        self.possible_agents = ["agent"]
        self.render_mode = None

    def observation_space(self, agent: str) -> Any:
        return self.env.observation_space

    def action_space(self, agent: str) -> Any:
        return self.env.action_space

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.agents = list(self.possible_agents)
        seen, info = self.env.reset(seed=seed)
        return {"agent": seen}, {"agent": info}

    def step(self, actions: dict[str, Any]) -> Any:
        seen, reward, ended, cut, info = self.env.step(actions["agent"])
        if ended or cut:
            self.agents = []
        return tuple({"agent": value} for value in (seen, float(reward), ended, cut, info))

    def close(self) -> None:
        self.env.close()
