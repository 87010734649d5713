"""`TeamEnv`: N rows of any environment with several agents, as the multi-agent trainer plays them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtquant.envs.scenario import Scenario
from mtquant.envs.spaces import AnyActions, Normaliser, ObservationLayout, unchanged
from mtquant.types import Array, Bool, Float, Float32


class MarketNoise(NamedTuple):
    """What no action changes and yet decides much of what is paid; the same for every agent of a team.

    `learning.ppo.noise_variates` takes it out of advantages.
    """

    shock: Float32
    """[N, q] price moves of the step."""
    state: Float32
    """[N, q, m] what later positions depend on, before anybody acted in the step."""


class TeamStep(NamedTuple):
    """What one step brought; every entry is `[N, n]` with the agents in order, but `done` is `[N]`."""

    rewards: Float
    """Paid after the agent acted in this step."""
    gone: Bool
    """The agent's own episode ended with this step."""
    cut: Bool
    """Of those: it was cut by a time limit, so what would have followed still has value."""
    done: Bool
    """The row's episode is over; it waits for `restart`."""
    early: Float | None = None
    """Paid in this step before the agent acted: it belongs to the agent's turn before."""
    noise: MarketNoise | None = None
    """Price moves, where a market decides what is paid."""


class TeamEnv(ABC):
    """N rows, all agents learning.

    Within a step: `observe` and `say` agent by agent in the order of `agents`, then `step`. An agent whose episode
    ended shows its last observation until `restart`.
    """

    agents: tuple[str, ...]
    """In speaking order."""
    rows: int
    state_width: int
    """Length of `state`."""
    simultaneous = True
    """Whether no agent sees what others say in the same step."""
    noise_shape = (0, 0)
    """Shocks q and numbers m of the state of each in `TeamStep.noise`; (0, 0): there is none."""
    has_scenarios = False
    """Whether episodes can be made easier or harder."""

    @abstractmethod
    def layout(self, agent: str) -> ObservationLayout:
        """Return what `agent` sees, `d` numbers."""

    @abstractmethod
    def actions(self, agent: str) -> AnyActions:
        """Return what `agent` may choose, `a` numbers."""

    def normaliser(self, agent: str) -> Normaliser:
        """Return what the network does to observations first; by default nothing."""
        return unchanged(self.layout(agent).width)

    @abstractmethod
    def reset(self, *, stagger: bool = False) -> None:
        """Start an episode in every row; with `stagger`, where that is possible, of random remaining lengths."""

    @abstractmethod
    def observe(self, agent: str) -> Float32:
        """Return `[N, d]` what `agent` sees, having heard those who spoke in this step."""

    @abstractmethod
    def state(self) -> Float32:
        """Return `[N, s]` what a centralised critic sees beside an observation."""

    def active(self, agent: str) -> Bool:
        """Return `[N]` whether `agent` is asked to act in this step."""
        return np.ones(self.rows, dtype=bool)

    @abstractmethod
    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of `agent`; rows in which it is not active do not count."""

    @abstractmethod
    def step(self) -> TeamStep:
        """Play the step with what was said."""

    @abstractmethod
    def restart(self, done: Bool) -> None:
        """Start new episodes in the rows `done` [N]."""

    def begin_scenarios(self, scenarios: Sequence[Scenario]) -> None:  # noqa: B027 - only markets have scenarios
        """Play episodes that start from now on under these, one per row; only where `has_scenarios`."""

    def close(self) -> None:  # noqa: B027 - rows of arrays hold nothing
        """Release what the rows hold."""

    @abstractmethod
    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that continue these rows exactly."""

    @abstractmethod
    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
