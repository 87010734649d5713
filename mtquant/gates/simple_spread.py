"""Cooperative navigation in numpy: N rows of `simple_spread_v3`, of which mpe2 plays a few hundred steps a second.

Lowe et al. (2017). Three agents cover three landmarks and are punished for touching each other. Positions, rewards and
observations are those of mpe2 to the last bit (`tests/gates/test_simple_spread.py`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtquant.envs.spaces import Choice, ObservationLayout
from mtquant.envs.team import TeamEnv, TeamStep
from mtquant.types import Array, Bool, Float, Float32

COUNT = 3
STEPS = 25
LOCAL_RATIO = 0.5
SIZE, TIME, DAMPING, SENSITIVITY = 0.15, 0.1, 0.25, 5.0
CONTACT_FORCE, CONTACT_MARGIN = 1e2, 1e-3
MOVES = np.array([[0.0, 0.0], [-1.0, 0.0], [1.0, 0.0], [0.0, -1.0], [0.0, 1.0]])
PAIRS = ((0, 1), (0, 2), (1, 2))
OTHERS = ((1, 2), (0, 2), (0, 1))
LAYOUT = ObservationLayout((("velocity", 2), ("position", 2), ("landmarks", 6), ("others", 4), ("said", 4)))


class SimpleSpread(TeamEnv):
    """N rows of three agents that move in the plane; episodes have 25 steps."""

    agents = ("agent_0", "agent_1", "agent_2")
    state_width = 18 * COUNT

    def __init__(self, rows: int, rng: np.random.Generator) -> None:
        self.rows, self.rng = rows, rng
        self.position = np.zeros((rows, COUNT, 2))
        self.velocity = np.zeros((rows, COUNT, 2))
        self.landmark = np.zeros((rows, COUNT, 2))
        self.age = np.zeros(rows, dtype=np.int64)
        self._force = np.zeros((rows, COUNT, 2))

    def layout(self, agent: str) -> ObservationLayout:
        """Return own velocity and position, landmarks and agents relative to it, and two silent channels."""
        return LAYOUT

    def actions(self, agent: str) -> Choice:
        """Return the moves."""
        return Choice(("stay", "left", "right", "down", "up"))

    def reset(self, *, stagger: bool = False) -> None:
        """Start an episode in every row."""
        self.restart(np.ones(self.rows, dtype=bool))

    def restart(self, done: Bool) -> None:
        """Place agents and landmarks of `done` rows at random in [-1, 1]^2, agents at rest."""
        drawn = self.rng.uniform(-1.0, 1.0, (int(done.sum()), 2 * COUNT, 2))
        self.position[done], self.landmark[done] = drawn[:, :COUNT], drawn[:, COUNT:]
        self.velocity[done] = 0.0
        self.age[done] = 0

    def observe(self, agent: str) -> Float32:
        """Return `[N, 18]`."""
        return self._observed(self.agents.index(agent))

    def _observed(self, index: int) -> Float32:
        own = self.position[:, index]
        seen = np.zeros((self.rows, 18))
        seen[:, :2], seen[:, 2:4] = self.velocity[:, index], own
        seen[:, 4:10] = (self.landmark - own[:, None]).reshape(self.rows, -1)
        seen[:, 10:14] = (self.position[:, OTHERS[index]] - own[:, None]).reshape(self.rows, -1)
        return seen.astype(np.float32)

    def state(self) -> Float32:
        """Return `[N, 54]` all observations, one behind the other."""
        return np.concatenate([self._observed(index) for index in range(COUNT)], axis=1)

    def say(self, agent: str, action: Array) -> None:
        """Take the moves `[N, 1]` of `agent`."""
        self._force[:, self.agents.index(agent)] = SENSITIVITY * MOVES[action[:, 0].astype(np.int64)]

    def step(self) -> TeamStep:
        """Move everybody."""
        force = self._force + self._contact()
        self.position += self.velocity * TIME
        self.velocity = self.velocity * (1.0 - DAMPING) + force * TIME
        self.age += 1
        done = self.age >= STEPS
        ended = np.repeat(done[:, None], COUNT, axis=1)
        return TeamStep(self._rewards(), ended, ended, done)

    def _contact(self) -> Float:
        """Return `[N, 3, 2]` the forces with which agents push each other apart."""
        force = np.zeros_like(self._force)
        for one, two in PAIRS:
            apart = self.position[:, one] - self.position[:, two]
            distance = np.sqrt(np.square(apart).sum(axis=1))
            depth = np.logaddexp(0.0, -(distance - 2 * SIZE) / CONTACT_MARGIN) * CONTACT_MARGIN
            push = CONTACT_FORCE * apart / distance[:, None] * depth[:, None]
            force[:, one] += push
            force[:, two] -= push
        return force

    def _rewards(self) -> Float:
        apart = self.position[:, :, None] - self.landmark[:, None]
        nearest = np.sqrt(np.square(apart).sum(axis=3)).min(axis=1)
        shared = -nearest[:, 0] - nearest[:, 1] - nearest[:, 2]
        touching = np.zeros((self.rows, COUNT))
        for one, two in PAIRS:
            between = self.position[:, one] - self.position[:, two]
            close = np.sqrt(np.square(between).sum(axis=1)) < 2 * SIZE
            touching[:, one] += close
            touching[:, two] += close
        paid: Float = shared[:, None] * (1.0 - LOCAL_RATIO) - touching * LOCAL_RATIO
        return paid

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that continue these rows exactly."""
        arrays = {name: getattr(self, name).copy() for name in ("position", "velocity", "landmark", "age")}
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        for name in ("position", "velocity", "landmark", "age"):
            setattr(self, name, np.array(arrays[name]))
        self.rng.bit_generator.state = values["rng"]
