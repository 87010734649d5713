"""Rules of the execution game: five agents work one order after the other.

Orders, impact and accounting are those of `execution.ExecutionGame` (Almgren and Chriss, 2000); what one agent decides
there is divided among five here, and venues have fees, latencies and a depth that changes from order to order.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mtquant.config.desk_games import ExecutionSpec
from mtquant.envs.games.execution import ROUTING_SCALE, ExecutionGame, Fill
from mtquant.envs.spaces import ActionMap, Normaliser, ObservationLayout
from mtquant.synthetic.almgren_chriss import ExecutionParams
from mtquant.types import Array, Float

DESK = ("position_sizing", "stop_target", "risk_monitor", "portfolio_optimizer", "routing")
BASIS_POINT = 1e-4
STOP_RANGE = 4.0
OBSERVED = 5.0
"""Largest number that a network sees, in usual sizes."""
PARTS = ("shortfall", "speed", "impact", "venue")


class Orders(NamedTuple):
    """The orders of N rows that are worked now; `[N]`, `[N, V]` where venues differ."""

    size: Float
    """Shares, the largest order being one."""
    impact: Float
    """[N, V] temporary impact of each venue."""
    left: Float
    step: Array
    """Step of the order."""
    twap: Float
    """What the order costs, its risk included, in equal slices: the unit of rewards."""


class OrderDesk:
    """Rules of the desk.

    Observation, the same for all: size of the order, share left, time left, half-spread and volatility (basis points
    of the price), then for every venue its depth over the configured mean, its latency over the target, its fee and
    the impact of an equal slice of what is left (basis points), then cost of the last slice and risk of what is left
    over what is accepted. Actions are numbers in [-1, 1]. `position_sizing`: share of what is left to sell, from none
    to all. `portfolio_optimizer` raises or lowers it by up to `execution_cost_weight`. `stop_target`: the impact at
    which the slice is cut. `risk_monitor`: the risk that may be left, which enlarges the slice. `routing`, one number
    per venue: logits of the split over 3. The last step sells everything. Reward, the same for all, over the cost of
    TWAP: less implementation shortfall and the risk of what is left, a bonus for fast venues, less impact, a bonus
    for the split of least cost. State: observation in usual sizes, words of the step before, share of the episode
    left.
    """

    name = "execution_v1"
    agents = DESK
    parts = PARTS

    def __init__(self, settings: ExecutionSpec, steps: int) -> None:
        world = settings.environment
        self.settings, self.steps = settings, steps
        self.order_steps = min(world.order_steps, steps)
        self.venue_names = world.execution_venues
        venues = [world.venues[name] for name in self.venue_names]
        self.depth = np.array([venue.depth for venue in venues])
        self.latency = np.array([venue.latency for venue in venues])
        self.fee = np.array([venue.fee for venue in venues])
        # what the price is expected to move against an order that is on its way
        self.share_cost = self.fee + world.volatility * np.sqrt(self.latency / world.horizon_seconds)
        self.fast = self.latency < world.latency_target
        self.params = ExecutionParams(
            # one step would leave nothing to decide and has no schedule
            steps=max(self.order_steps, 2),
            volatility=world.volatility,
            venue_impact=tuple((1.0 / self.depth).tolist()),
            permanent_impact=world.permanent_impact,
            half_spread=world.half_spread,
            risk_aversion=world.risk_aversion,
        )
        self.core = ExecutionGame(self.params)

    def layout(self, agent: str) -> ObservationLayout:
        """Return the names of what every agent sees."""
        per_venue = tuple(f"{what}_{v}" for what in ("depth", "latency", "fee", "impact") for v in self.venue_names)
        names = ("size", "left", "time", "half_spread", "volatility", *per_venue, "slippage", "risk")
        return ObservationLayout(tuple((name, 1) for name in names))

    def input_normaliser(self, agent: str) -> Normaliser:
        """Return the usual size of what is seen of an order that is sold evenly; what is the same in all orders is 0.

        Volatility in basis points alone is 8 by default, and the impact of a late slice many times that: a network
        that saw them as they are would begin saturated.
        """
        world = self.settings.environment
        first = Orders(np.ones(1), 1.0 / self.depth[None], np.ones(1), np.zeros(1, dtype=np.int64), np.ones(1))
        mean = self.observe(first, np.zeros(1))[0]
        std = np.ones_like(mean)
        venues = len(self.depth)
        depths, impacts = slice(5, 5 + venues), slice(5 + 3 * venues, 5 + 4 * venues)
        std[depths] = np.maximum(mean[depths] * world.depth_variation, 0.1)
        std[impacts] = np.maximum(mean[impacts], 0.1)
        # size, what is left, time and risk lie between 0 and what they are in the first step of the largest order
        shares = [0, 1, 2, len(mean) - 1]
        mean[shares], mean[impacts] = 0.5 * mean[shares], 0.5 * mean[impacts]
        std[shares] = np.maximum(0.6 * mean[shares], 0.1)
        return Normaliser(mean, std.astype(np.float32), OBSERVED)

    def actions(self, agent: str) -> ActionMap:
        """Return one number, or one per venue for `routing`."""
        return ActionMap(len(self.venue_names) if agent == "routing" else 1, -1.0, 1.0)

    def observe(self, orders: Orders, slippage: Float) -> Array:
        """Return `[N, 7 + 4 V]` float32."""
        world, params = self.settings.environment, self.params
        bps = BASIS_POINT * world.price
        remaining = np.maximum(self.order_steps - orders.step, 1)
        equal = (orders.left / remaining)[:, None] * orders.impact / params.tau
        one = np.ones_like(orders.left)
        columns = [
            orders.size,
            orders.left / orders.size,
            remaining / self.order_steps,
            one * world.half_spread / bps,
            one * world.volatility / bps,
            *(1.0 / orders.impact / self.depth.mean()).T,
            *(one * value / world.latency_target for value in self.latency),
            *(one * value / bps for value in self.fee),
            *(equal / bps).T,
            slippage,
            self._risk(orders.left, orders.step, orders.size) / self.settings.agents.risk_monitor.execution_risk_limit,
        ]
        seen: Array = np.clip(np.stack(columns, axis=1), -1e3, 1e3).astype(np.float32)
        return seen

    def decode(self, orders: Orders, words: Mapping[str, Float]) -> tuple[Float, Float]:
        """Return the share of what is left that is sold `[N]` and its split over venues `[N, V]`."""
        world, agents, params = self.settings.environment, self.settings.agents, self.params
        share = 0.5 * (words["position_sizing"][:, 0] + 1.0)
        share = share * (1.0 + agents.portfolio_optimizer.execution_cost_weight * words["portfolio_optimizer"][:, 0])
        sold = np.minimum(share, 1.0) * orders.left
        joint = 1.0 / (1.0 / orders.impact).sum(axis=1)
        tolerated = agents.stop_target.execution_slippage_tolerance * world.price
        sold = np.minimum(sold, tolerated * STOP_RANGE ** words["stop_target"][:, 0] * params.tau / joint)
        accepted = agents.risk_monitor.execution_risk_limit * (1.0 + words["risk_monitor"][:, 0])
        unit = self._risk(orders.size, orders.step + 1, orders.size)
        most = np.where(unit > 0.0, orders.size * accepted / np.where(unit > 0.0, unit, 1.0), orders.left)
        sold = np.maximum(sold, orders.left - most)
        sold = np.where(orders.step >= self.order_steps - 1, orders.left, np.clip(sold, 0.0, orders.left))
        weight = np.exp(ROUTING_SCALE * words["routing"])
        if agents.routing.venue_selection_algorithm == "proportional":
            weight = weight / orders.impact
        share = np.where(orders.left > 0.0, sold / np.where(orders.left > 0.0, orders.left, 1.0), 1.0)
        return share, weight / weight.sum(axis=1, keepdims=True)

    def _risk(self, left: Float, step: Array, size: Float) -> Float:
        """Return `[N]` the standard deviation of the worth of `left` until the order has to end, per share ordered."""
        ahead = np.maximum(self.order_steps - step, 0) / self.order_steps
        out: Float = self.params.volatility * np.sqrt(ahead * self.params.horizon) * left / size
        return out

    def slice_cost(self, sold: Float, split: Float, impact: Float) -> Float:
        """Return `[N]` what a slice costs at the venues: fees, latency and temporary impact."""
        slices = split * sold[:, None]
        out: Float = (slices * self.share_cost + slices**2 * impact / self.params.tau).sum(axis=1)
        return out

    def best_split(self, sold: Float, impact: Float) -> Float:
        """Return `[N, V]` the split of least cost: marginal costs of the venues that are used are equal.

        q_v = max(0, (mu - f_v) tau / (2 eta_v)); venues enter by fee, so mu is found by trying the cheapest m.
        """
        order = np.argsort(self.share_cost, kind="stable")
        fee, eta = self.share_cost[order], impact[:, order]
        mu = (2.0 * sold[:, None] / self.params.tau + np.cumsum(fee / eta, axis=1)) / np.cumsum(1.0 / eta, axis=1)
        # the smallest m whose price does not reach the next venue's fee
        enough = mu <= np.append(fee[1:], np.inf)
        chosen = np.take_along_axis(mu, enough.argmax(axis=1)[:, None], axis=1)
        amount = np.maximum(chosen - fee, 0.0) / eta
        total = amount.sum(axis=1, keepdims=True)
        weight = np.where(total > 0.0, amount / np.where(total > 0.0, total, 1.0), np.eye(len(fee))[0])
        out = np.empty_like(weight)
        out[:, order] = weight
        return out

    def twap(self, size: Float, impact: Float) -> Float:
        """Return `[N]` what orders cost in equal slices, optimally routed, their risk included."""
        params, count = self.params, self.order_steps
        piece = size / count
        left = size[:, None] * (1.0 - np.arange(1, count + 1) / count)
        venues = self.slice_cost(piece, self.best_split(piece, impact), impact)
        lasting = params.permanent_impact * piece * left.sum(axis=1)
        risk = params.risk_aversion * params.volatility**2 * params.tau * (left**2).sum(axis=1)
        out: Float = count * (params.half_spread * piece + venues) + lasting + risk
        return out

    def pay(self, orders: Orders, fill: Fill, split: Float) -> Float:
        """Return `[N, 4]` the parts of the reward."""
        weights, params = self.settings.rewards, self.params
        held = params.risk_aversion * params.volatility**2 * params.tau * fill.left**2
        done = fill.sold / orders.size
        least = self.slice_cost(fill.sold, self.best_split(fill.sold, orders.impact), orders.impact)
        spent = self.slice_cost(fill.sold, split, orders.impact)
        well = np.where(spent > 0.0, least / np.where(spent > 0.0, spent, 1.0), 1.0)
        parts = [
            -weights.shortfall * (fill.cost + weights.price_noise * fill.noise + held) / orders.twap,
            weights.speed_bonus * done * (split * self.fast).sum(axis=1),
            -weights.impact_penalty * fill.temporary / orders.twap,
            weights.venue_bonus * done * well,
        ]
        out: Float = self.settings.environment.reward_scaling * np.stack(parts, axis=1)
        return out
