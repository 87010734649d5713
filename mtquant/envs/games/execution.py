"""Selling one order: N rows of the Almgren-Chriss market with its own small accounting.

The simulator's kernel has prices that no trade moves, so an order's impact, and above all its lasting part, cannot
be charged there. This game shares the learner, its checkpoints and the bundle with the market games.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mtquant.envs.batch_env import NOTHING, BatchEnv
from mtquant.envs.spaces import ActionMap, Normaliser, ObservationLayout
from mtquant.errors import UsageError
from mtquant.synthetic.almgren_chriss import ExecutionParams, even_holdings, objective
from mtquant.types import Array, Float, Float32

AGENT = "execution"
ROUTING_SCALE = 3.0
"""Routing actions in [-1, 1] times this are logits: shares of two venues from 0.2 % to 99.8 %."""


class Fill(NamedTuple):
    """What one step of N orders did."""

    sold: Float
    """[N] shares."""
    left: Float
    """[N] shares still held."""
    cost: Float
    """[N] expected cost: spread, temporary and permanent impact."""
    noise: Float
    """[N] what the price moved on the shares still held, as a cost; zero in the mean."""
    temporary: Float
    """[N] the part of the cost that is temporary impact."""


class ExecutionGame:
    """Rules of the order.

    An action `[N, 1]` is the share of the remainder to sell, as -1 (none) to 1 (all); with V > 1 venues V more
    numbers are the logits of the split over `ROUTING_SCALE`. The observation `[N, 2]` has the share of the order
    still held and the share of time left.
    """

    name = "execution_v0"

    def __init__(self, params: ExecutionParams) -> None:
        self.params = params
        self.venues = np.array(params.venue_impact)
        self.layout = ObservationLayout((("left", 1), ("time", 1)))
        self.actions = ActionMap(1 if len(self.venues) == 1 else 1 + len(self.venues), -1.0, 1.0)

    def normaliser(self) -> Normaliser:
        """Return one that centres both numbers and scales them to [-1, 1]."""
        half = np.full(2, 0.5, np.float32)
        return Normaliser(half, half, 10.0)

    def observe(self, step: Array, left: Float) -> Float32:
        """Return `[N, 2]`."""
        time = 1.0 - step / self.params.steps
        return np.stack([left / self.params.shares, time], axis=1).astype(np.float32)

    def decode(self, step: Array, action: Array) -> tuple[Float, Float]:
        """Return the share of the remainder sold `[N]` and its split over venues `[N, V]`.

        The last step sells everything. NaN is an error.
        """
        if not np.isfinite(action).all():
            raise FloatingPointError("An execution action is not finite.")
        clipped = np.clip(action.astype(np.float64), -1.0, 1.0)
        share = np.where(step >= self.params.steps - 1, 1.0, 0.5 * (clipped[:, 0] + 1.0))
        if len(self.venues) == 1:
            return share, np.ones((len(action), 1))
        weight = np.exp(ROUTING_SCALE * clipped[:, 1:])
        return share, weight / weight.sum(axis=1, keepdims=True)

    def fill(
        self,
        left: Float,
        share: Float,
        split: Float,
        shock: Float,
        impact: Float | None = None,
        price: Float | float = 0.0,
    ) -> Fill:
        """Sell `share` [N] of `left` [N] over venues by `split` [N, V]; `shock` [N] are standard normal.

        `impact` [N, V] replaces the venues' temporary impact, `price` [N, V] is what a share costs at each beside it.
        """
        params = self.params
        sold = share * left
        after = left - sold
        slices = split * sold[:, None]
        temporary = (slices**2 * (self.venues if impact is None else impact)).sum(axis=1) / params.tau
        charged = params.half_spread * sold + (slices * price).sum(axis=1)
        cost = charged + temporary + params.permanent_impact * sold * after
        return Fill(sold, after, cost, params.volatility * np.sqrt(params.tau) * shock * after, temporary)

    def encode(self, holdings: Float, split: Float) -> Float:
        """Return `[N steps, a]` the actions that hold `holdings` [N + 1] and split by `split` [V], all positive."""
        before, after = holdings[:-1], holdings[1:]
        share = np.divide(before - after, before, out=np.ones_like(before), where=before > 0)
        action = (2.0 * share - 1.0)[:, None]
        if len(self.venues) == 1:
            return action
        logits = np.log(split)
        centred = (logits - 0.5 * (logits.max() + logits.min())) / ROUTING_SCALE
        out: Float = np.concatenate([action, np.tile(centred, (len(action), 1))], axis=1)
        return out


class ExecutionVecEnv(BatchEnv):
    """N orders in parallel, each begun again when it is done.

    The reward of a step is -(cost + noise + lambda sigma^2 tau left^2) over the value of TWAP, so that an episode of
    TWAP earns -1 in the mean.
    """

    def __init__(self, params: ExecutionParams, rows: int, rng: np.random.Generator) -> None:
        self.game = ExecutionGame(params)
        self.rng = rng
        self.scale = objective(params, even_holdings(params))
        super().__init__(rows, self.game.layout.space(), self.game.actions.space())
        self.step_index = np.zeros(rows, dtype=np.int64)
        self.left = np.full(rows, params.shares)
        self._earned = np.zeros(rows)
        self._actions = np.zeros((rows, self.game.actions.size))
        self._started = False

    def reset(self) -> Array:
        """Begin an order in every row and return `[N, 2]`."""
        self.step_index[:] = 0
        self.left[:] = self.game.params.shares
        self._earned[:] = 0.0
        self._started = True
        return self.game.observe(self.step_index, self.left)

    def step_async(self, actions: Array) -> None:
        """Remember `actions` [N, a] for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        """Sell and return observations, rewards, dones and infos."""
        if not self._started:
            raise UsageError("Call `reset` before `step`.")
        params = self.game.params
        share, split = self.game.decode(self.step_index, self._actions)
        fill = self.game.fill(self.left, share, split, self.rng.standard_normal(self.num_envs))
        held = params.risk_aversion * params.volatility**2 * params.tau * fill.left**2
        reward = -(fill.cost + fill.noise + held) / self.scale
        self.left, self.step_index = fill.left, self.step_index + 1
        self._earned += reward
        done = self.step_index >= params.steps
        infos = [NOTHING] * self.num_envs
        if done.any():
            last = self.game.observe(self.step_index, self.left)
            for row in np.flatnonzero(done):
                ended = {"r": float(self._earned[row]), "l": params.steps, "t": 0.0}
                infos[row] = {"terminal_observation": last[row], "TimeLimit.truncated": False, "episode": ended}
            self.step_index = np.where(done, 0, self.step_index)
            self.left = np.where(done, params.shares, self.left)
            self._earned = np.where(done, 0.0, self._earned)
        return self.game.observe(self.step_index, self.left), reward.astype(np.float32), done, infos

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that continue these orders exactly."""
        arrays: dict[str, Array] = {
            "step": self.step_index.copy(),
            "left": self.left.copy(),
            "earned": self._earned.copy(),
        }
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.step_index, self.left, self._earned = (np.array(arrays[name]) for name in ("step", "left", "earned"))
        self.rng.bit_generator.state = values["rng"]
        self._started = True

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Restart the stream of price moves from `seed`."""
        if seed is not None:
            self.rng = np.random.Generator(np.random.PCG64(seed))
        return [seed] * self.num_envs
