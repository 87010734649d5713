"""The execution game: five agents work one order after the other (`ExecutionEnv`).

Orders, impact and accounting are those of `execution.ExecutionGame` (Almgren and Chriss, 2000); what one agent decides
there is divided among five here, and venues have fees, latencies and a depth that changes from order to order.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mtquant.config.desk_games import ExecutionSpec
from mtquant.config.games import Config, GamesSpec
from mtquant.envs.aec import MakeEngine
from mtquant.envs.engine import Outcome
from mtquant.envs.games.documented import DocumentedAEC, DocumentedParallel, GameView
from mtquant.envs.games.execution import ROUTING_SCALE, ExecutionGame, Fill
from mtquant.envs.ground import Bars
from mtquant.envs.scenario import Scenario
from mtquant.envs.spaces import ActionMap, ObservationLayout
from mtquant.errors import UsageError
from mtquant.sim.kernel import StepResult
from mtquant.synthetic.almgren_chriss import ExecutionParams
from mtquant.types import Array, Bool, Float

DESK = ("position_sizing", "stop_target", "risk_monitor", "portfolio_optimizer", "routing")
BASIS_POINT = 1e-4
STOP_RANGE = 4.0
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
    for the split of least cost. State: observation, words of the step before, share of the episode left.
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


class OrderEngine:
    """N rows of the desk; everything random of an episode is drawn when it begins.

    A row's episode is `steps` long: one order after the other. Equity starts at the price of the largest order and
    falls by what execution costs.
    """

    def __init__(self, game: OrderDesk, rows: int, rng: np.random.Generator) -> None:
        self.game, self.rows, self.rng = game, rows, rng
        count, venues = -(-game.steps // game.order_steps), len(game.venue_names)
        self.memory: dict[str, Array] = {
            "step": np.zeros(rows, dtype=np.int64),
            "end": np.ones(rows, dtype=np.int64),
            "left": np.ones(rows),
            "equity": np.zeros(rows),
            "slippage": np.zeros(rows),
            "sizes": np.ones((rows, count)),
            "depths": np.ones((rows, count, venues)),
            "twap": np.ones((rows, count)),
            "shocks": np.zeros((rows, game.steps)),
            "words": np.zeros((rows, len(DESK) - 1 + venues)),
            "parts": np.zeros((rows, len(PARTS))),
        }
        self.said: dict[str, Float] = {}
        self.scenario = Scenario()
        """Conditions of the episodes that start from now on: `cost_scale` of impact, `volatility_scale` of prices."""

    def begin(self, *, stagger: bool) -> None:
        """Start an episode in every row; with `stagger`, of random remaining lengths."""
        self._draw(np.ones(self.rows, dtype=bool))
        if stagger:
            orders = self.memory["end"] // self.game.order_steps
            self.memory["end"] = self.rng.integers(1, orders + 1) * self.game.order_steps
        self.said = {}

    def restart(self, rows: Bool) -> None:
        """Start new episodes in `rows` [N]."""
        self._draw(rows)

    def _draw(self, rows: Bool) -> None:
        game, memory = self.game, self.memory
        sizing, world = game.settings.agents.position_sizing, game.settings.environment
        count = int(rows.sum())
        orders, venues = memory["depths"].shape[1:]
        choices = (sizing.max_size - sizing.min_size) // sizing.size_increment + 1
        shares = sizing.min_size + sizing.size_increment * self.rng.integers(0, choices, size=(count, orders))
        drawn: dict[str, Any] = {
            "sizes": shares / sizing.max_size,
            "depths": np.exp(world.depth_variation * self.rng.standard_normal((count, orders, venues)))
            / self.scenario.cost_scale,
            "shocks": self.scenario.volatility_scale * self.rng.standard_normal((count, game.steps)),
            "end": max(1, min(int(orders * self.scenario.episode_scale), orders)) * game.order_steps,
            "equity": world.price,
            "left": shares[:, 0] / sizing.max_size,
        }
        impact = 1.0 / (game.depth * drawn["depths"])
        flat = game.twap(drawn["sizes"].reshape(-1), impact.reshape(-1, venues))
        drawn["twap"] = flat.reshape(count, orders)
        for name, array in memory.items():
            array[rows] = drawn.get(name, 0)

    @property
    def orders(self) -> Orders:
        """The orders that are worked now."""
        memory, game = self.memory, self.game
        rows = np.arange(self.rows)
        # a row that has ended shows its last order
        now = np.minimum(memory["step"], memory["end"] - 1)
        index = now // game.order_steps
        size = memory["sizes"][rows, index]
        impact = 1.0 / (game.depth * memory["depths"][rows, index])
        step = memory["step"] - index * game.order_steps
        return Orders(size, impact, memory["left"], step, memory["twap"][rows, index])

    def observe(self, agent: str) -> Array:
        """Return `[N, d]` what every agent sees."""
        return self.game.observe(self.orders, self.memory["slippage"])

    def say(self, agent: str, action: Array) -> None:
        """Take the action `[N, a]` of `agent`, clipped to its bounds. NaN is an error."""
        self.said[agent] = self.game.actions(agent).take(agent, action)

    def play(self, actions: Mapping[str, Array]) -> Outcome:
        """Say `actions` in speaking order and advance."""
        for agent in DESK:
            if agent in actions:
                self.say(agent, actions[agent])
        return self.advance()

    def advance(self) -> Outcome:
        """Sell one slice; agents that stayed silent keep to what they said last."""
        game, memory, orders = self.game, self.memory, self.orders
        edges = np.cumsum([game.actions(agent).size for agent in DESK])[:-1]
        last = dict(zip(DESK, np.split(memory["words"], edges, axis=1), strict=True))
        words = last | self.said
        memory["words"] = np.concatenate([words[agent] for agent in DESK], axis=1)
        self.said = {}
        share, split = game.decode(orders, words)
        shock = memory["shocks"][np.arange(self.rows), np.minimum(memory["step"], game.steps - 1)]
        fill = game.core.fill(orders.left, share, split, shock, orders.impact, game.share_cost)
        memory["parts"] = game.pay(orders, fill, split)
        sold = np.where(fill.sold > 0.0, fill.sold, 1.0)
        unit = game.settings.agents.stop_target.execution_slippage_tolerance * game.settings.environment.price
        memory["slippage"] = np.where(fill.sold > 0.0, fill.cost / sold / unit, 0.0)
        before, memory["equity"] = memory["equity"], memory["equity"] - fill.noise - fill.cost
        memory["step"] = memory["step"] + 1
        done = memory["step"] >= memory["end"]
        self._next_order(fill.left, done)
        total = memory["parts"].sum(axis=1)
        rewards = {agent: total.copy() for agent in DESK}
        return Outcome(rewards, self._booked(before, fill, done), done, np.zeros_like(done))

    def _next_order(self, left: Float, done: Bool) -> None:
        memory, game = self.memory, self.game
        begins = (memory["step"] % game.order_steps == 0) & ~done
        index = np.minimum(memory["step"] // game.order_steps, memory["sizes"].shape[1] - 1)
        memory["left"] = np.where(begins, memory["sizes"][np.arange(self.rows), index], left)
        memory["slippage"] = np.where(begins, 0.0, memory["slippage"])

    def _booked(self, before: Float, fill: Fill, done: Bool) -> StepResult:
        none = np.zeros(self.rows)
        return StepResult(
            t=self.memory["step"] - 1,
            equity_before=before,
            equity=self.memory["equity"],
            gross=-fill.noise[:, None],
            cost=fill.cost[:, None],
            exposure=fill.left[:, None],
            trade=-fill.sold[:, None],
            projection=none,
            breaker=none,
            stops=none,
            done=done,
        )

    def state(self) -> Array:
        """Return `[N, 7 + 4 V + words + 1]` what a centralised critic sees; float32."""
        left = (self.memory["end"] - self.memory["step"]) / self.game.steps
        return np.concatenate([self.observe(DESK[0]), self.memory["words"], left[:, None]], axis=1, dtype=np.float32)

    def parts(self) -> dict[str, Float]:
        """Return `[N]` each part of the last reward by name."""
        return dict(zip(PARTS, self.memory["parts"].T, strict=True))

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that `load_state_dict` continues from exactly."""
        arrays: dict[str, Array] = {name: array.copy() for name, array in self.memory.items()}
        return arrays, {"rng": self.rng.bit_generator.state, "scenario": vars(self.scenario).copy()}

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`; at a step's start, before anyone spoke."""
        self.memory = {name: np.array(arrays[name]) for name in self.memory}
        self.said = {}
        self.rng.bit_generator.state = values["rng"]
        self.scenario = Scenario(**values["scenario"])


class _Methods(GameView):
    """What the documents ask of the execution environment."""

    def engines(self, spec: GamesSpec, bars: Bars, split: str, seed: int, max_cycles: int | None) -> MakeEngine:
        """Return what makes engines of the configured desk; raises `UsageError` for bars."""
        if bars is not None:
            raise UsageError("The execution environment has prices of its own, which trades move; it takes no `bars`.")
        settings = spec.execution
        return partial(OrderEngine, OrderDesk(settings, max_cycles or settings.environment.max_episode_steps))

    @property
    def _desk(self) -> OrderDesk:
        game: OrderDesk = self.row.engine.game  # type: ignore[assignment]
        return game

    def get_execution_venues(self) -> list[str]:
        """Return the venues' names."""
        return list(self._desk.venue_names)

    def get_market_impact_estimate(self, order_size: float) -> float:
        """Return what a share of an order of `order_size` shares loses if it is sold in one step, price units.

        Temporary impact under the split of least cost at the present depths, and half the lasting one. Raises
        `UsageError` for a size that is not positive.
        """
        if not order_size > 0:
            raise UsageError(f"`order_size` is {order_size}; a positive number of shares is needed.")
        desk, engine = self._desk, self.row.engine
        sold = np.array([order_size / desk.settings.agents.position_sizing.max_size])
        impact: Float = engine.orders.impact  # type: ignore[attr-defined]
        slices = desk.best_split(sold, impact) * sold[:, None]
        temporary = (slices**2 * impact).sum(axis=1) / desk.params.tau / sold
        return float(temporary[0] + 0.5 * desk.params.permanent_impact * sold[0])

    def get_venue_latency(self, venue: str) -> float:
        """Return the seconds until an order arrives at `venue`; raises `UsageError` for an unknown one."""
        desk = self._desk
        if venue not in desk.venue_names:
            raise UsageError(f"There is no venue `{venue}`; known: {list(desk.venue_names)}.")
        return float(desk.latency[desk.venue_names.index(venue)])


class ExecutionEnv(_Methods, DocumentedAEC):
    """The execution game agent by agent; see `OrderDesk` for spaces, rewards and state."""


class ExecutionParallelEnv(_Methods, DocumentedParallel):
    """The execution game with all agents choosing at once."""


def create_execution_environment(config: Config = None, **options: Any) -> ExecutionEnv:
    """Return an `ExecutionEnv`; `options` are those of `GameView`, `bars` and `split` without effect."""
    return ExecutionEnv(config, **options)


def env(config: Config = None, **options: Any) -> OrderEnforcingWrapper:
    """Return the AEC environment as PettingZoo's users expect it."""
    return OrderEnforcingWrapper(ExecutionEnv(config, **options))


def parallel_env(config: Config = None, **options: Any) -> ExecutionParallelEnv:
    """Return the Parallel environment."""
    return ExecutionParallelEnv(config, **options)
