"""The execution game played: N rows of orders, and the PettingZoo environments (`ExecutionEnv`)."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from mtquant.config.games import Config, GamesSpec
from mtquant.envs.aec import MakeEngine
from mtquant.envs.engine import Outcome
from mtquant.envs.games.documented import DocumentedAEC, DocumentedParallel, GameView
from mtquant.envs.games.execution import Fill
from mtquant.envs.games.order_desk import DESK, PARTS, OrderDesk, Orders
from mtquant.envs.ground import Bars
from mtquant.envs.scenario import REAL_TASK, ScenarioSource
from mtquant.errors import UsageError
from mtquant.sim.kernel import StepResult
from mtquant.types import Array, Bool, Float, Int

SCALES = ("cost_scale", "volatility_scale", "episode_scale")


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
        self.usual = game.input_normaliser(DESK[0])
        self.curriculum: ScenarioSource | None = None
        """Where new episodes get `cost_scale` (of impact), `volatility_scale` and `episode_scale` from; the desk sees
        no market that could be noisy."""

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
        count, conditions = int(rows.sum()), self._conditions(np.flatnonzero(rows))
        orders, venues = memory["depths"].shape[1:]
        choices = (sizing.max_size - sizing.min_size) // sizing.size_increment + 1
        shares = sizing.min_size + sizing.size_increment * self.rng.integers(0, choices, size=(count, orders))
        drawn: dict[str, Any] = {
            "sizes": shares / sizing.max_size,
            "depths": np.exp(world.depth_variation * self.rng.standard_normal((count, orders, venues)))
            / conditions["cost_scale"][:, None, None],
            "shocks": conditions["volatility_scale"][:, None] * self.rng.standard_normal((count, game.steps)),
            "end": np.clip((orders * conditions["episode_scale"]).astype(np.int64), 1, orders) * game.order_steps,
            "equity": world.price,
            "left": shares[:, 0] / sizing.max_size,
        }
        impact = 1.0 / (game.depth * drawn["depths"])
        flat = game.twap(drawn["sizes"].reshape(-1), impact.reshape(-1, venues))
        drawn["twap"] = flat.reshape(count, orders)
        for name, array in memory.items():
            array[rows] = drawn.get(name, 0)

    def _conditions(self, rows: Int) -> dict[str, Float]:
        """Return `[n]` of each scale for the episodes that begin in `rows`."""
        given = [REAL_TASK] * len(rows) if self.curriculum is None else self.curriculum.scenarios(rows)
        return {name: np.array([getattr(one, name) for one in given]) for name in SCALES}

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
        usual = self.usual
        seen = np.clip((self.observe(DESK[0]) - usual.mean) / usual.std, -usual.clip, usual.clip)
        return np.concatenate([seen, self.memory["words"], left[:, None]], axis=1, dtype=np.float32)

    def parts(self) -> dict[str, Float]:
        """Return `[N]` each part of the last reward by name."""
        return dict(zip(PARTS, self.memory["parts"].T, strict=True))

    def state_dict(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return arrays and JSON values that `load_state_dict` continues from exactly."""
        arrays: dict[str, Array] = {name: array.copy() for name, array in self.memory.items()}
        return arrays, {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`; at a step's start, before anyone spoke."""
        self.memory = {name: np.array(arrays[name]) for name in self.memory}
        self.said = {}
        self.rng.bit_generator.state = values["rng"]


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
