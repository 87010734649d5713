"""`MultiAgentVecEnv`: the batched view of all agents, for joint training."""

from collections.abc import Mapping
from typing import Any, Generic

from typing_extensions import TypeVar

from mtquant.envs.engine import Engine, GameEngine, Outcome
from mtquant.types import Array, Bool

E = TypeVar("E", bound=Engine, default=GameEngine)


class MultiAgentVecEnv(Generic[E]):
    """N rows of a game, all agents learning.

    Within a bar: `observe` and `say` agent by agent in speaking order, then `step`; or `play` with all
    actions at once. Rows whose episode ended show its last observations until `restart`.
    """

    def __init__(self, engine: E) -> None:
        self.engine = engine
        self.agents = engine.game.agents
        self.rows = engine.rows

    def reset(self) -> None:
        """Start staggered episodes in all rows."""
        self.engine.begin(stagger=True)

    def observe(self, agent: str) -> Array:
        """Return `[N, d]` what `agent` sees, having heard those who spoke in this bar."""
        return self.engine.observe(agent)

    def state(self) -> Array:
        """Return `[N, s]` what a centralised critic sees."""
        return self.engine.state()

    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of `agent`."""
        self.engine.say(agent, action)

    def step(self) -> Outcome:
        """Play the bar."""
        return self.engine.advance()

    def restart(self, done: Bool) -> None:
        """Start new episodes in the rows `done` [N]; does nothing when there are none."""
        if done.any():
            self.engine.restart(done)

    def play(self, actions: Mapping[str, Array]) -> Outcome:
        """Say all `actions` in speaking order and step."""
        return self.engine.play(actions)

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that continue this view exactly."""
        return self.engine.state_dict()

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.engine.load_state_dict(arrays, values)
