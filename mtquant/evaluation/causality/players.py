"""One way to play every kind of environment, and to say of all that it gives out when it may be known."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from mtquant.data.dataset import Dataset
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame
from mtquant.envs.gym_env import MarketGymEnv
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.errors import UsageError
from mtquant.types import Array, Float, Int

NEVER = np.iinfo(np.int64).max
"""Bar of what is not compared: rows whose first episode is over."""
REACH = 3.0
"""Bound of random actions where the environment's own is wider."""


@dataclass(frozen=True)
class Seen:
    """One vector that an environment gave out."""

    kind: str
    """`statistic`, `episode`, `position`, `reward` or `observation`."""
    what: str
    """For people: `observation of forex`."""
    values: Float
    """[R, d]"""
    bar: Int
    """[R] the last bar that the values may depend on."""
    names: tuple[str, ...] = ()
    """[d] names of the entries, where there are any."""


@dataclass(frozen=True)
class Access:
    """What cannot be guessed of an environment that is not of this package."""

    bar: Callable[[Any], int]
    """The bar whose close was seen last, as an index into the market."""
    statistics: Callable[[Any], Mapping[str, Array]] | None = None
    """Everything fitted beforehand: normaliser, chosen instruments, chosen model."""
    positions: Callable[[Any], Array] | None = None
    """Units held; they may depend on the bar at whose close they were decided, not on the one that filled them."""
    names: tuple[str, ...] = ()
    """Names of the observation's entries."""


class Player(ABC):
    """Plays an environment with given actions."""

    @abstractmethod
    def draw(self, rng: np.random.Generator, count: int) -> list[Any]:
        """Return `count` random actions."""

    @abstractmethod
    def begin(self, seed: int) -> list[Seen]:
        """Start an episode and return what is known before the first action."""

    @abstractmethod
    def play(self, action: Any) -> list[Seen]:
        """Act once and return what came of it."""

    @property
    @abstractmethod
    def bars(self) -> Int:
        """[R] the bar each row stands at; `NEVER` where its episode is over."""

    @property
    @abstractmethod
    def paid(self) -> Float:
        """[R] what the last action was paid."""


def player_of(env: Any, access: Access | None) -> Player:
    """Return the player of an engine, a batched view or a Gymnasium environment.

    Raises `UsageError` for anything else, and for a foreign environment without `access`.
    """
    if isinstance(env, GameEngine):
        return EnginePlayer(env)
    if isinstance(env, VecMarketEnv):
        return VecPlayer(env)
    if not isinstance(env, gymnasium.Env):
        raise UsageError(f"A {type(env).__name__} is no engine, batched view or Gymnasium environment.")
    if access is None:
        inner = env.unwrapped
        if not isinstance(inner, MarketGymEnv):
            raise UsageError("An environment of another package needs `access`: at which bar does it stand?")
        access = own_access(inner)
    return GymPlayer(env, access)


def own_access(env: MarketGymEnv) -> Access:
    """Return how this package's Gymnasium view is looked into."""
    return Access(
        bar=lambda e: int(e.unwrapped.engine.sim.state.t[0]),
        statistics=lambda e: statistics_of(e.unwrapped.engine.game.dataset),
        positions=lambda e: np.asarray(e.unwrapped.engine.sim.state.units)[0],
        names=entry_names(env.engine.game, env.agent),
    )


def statistics_of(dataset: Dataset) -> dict[str, Array]:
    """Return all statistics of the train split."""
    own = {name: getattr(dataset, name) for name in ("feature_mean", "feature_std", "correlation")}
    return own | dict(dataset.statistics)


def entry_names(game: MarketGame, agent: str) -> tuple[str, ...]:
    """Return the names of an observation's entries: the block, and the feature where the block holds features."""
    dataset = game.dataset
    signals = tuple(dataset.feature_names[i] for i in dataset.signal_columns)
    inside = {
        "features": dataset.feature_names,
        "group_remainder": signals,
        "market_remainder": signals,
        "macro": dataset.macro_names,
    }
    names = []
    for block, width in game.layout(agent).blocks:
        known = inside.get(block.partition(".")[0], ())
        entries = known if len(known) == width else tuple(str(i) for i in range(width))
        names += [block if width == 1 else f"{block}: {entry}" for entry in entries]
    return tuple(names)


def _fitted(statistics: Mapping[str, Array], features: tuple[str, ...] = ()) -> list[Seen]:
    """Return what was fitted, which no bar that is played may change."""
    out = []
    for name, values in statistics.items():
        flat = np.ravel(np.asarray(values, dtype=np.float64))[None]
        names = features if name.startswith("feature_") else ()
        out.append(Seen("statistic", f"statistic {name}", flat, np.array([-1]), names))
    return out


class EnginePlayer(Player):
    """All agents of a game, every row an account; ends with the first row whose episode ends."""

    def __init__(self, engine: GameEngine) -> None:
        self.engine = engine
        self._paid = np.zeros(engine.rows)
        self._ended = False

    @cached_property
    def _names(self) -> dict[str, tuple[str, ...]]:
        return {agent: entry_names(self.engine.game, agent) for agent in self.engine.game.agents}

    def draw(self, rng: np.random.Generator, count: int) -> list[Any]:
        """Return joint actions."""
        spaces = {agent: self.engine.game.actions(agent) for agent in self.engine.game.agents}
        rows = self.engine.rows
        return [{a: s.sample(rng, rows, REACH) for a, s in spaces.items()} for _ in range(count)]

    def begin(self, seed: int) -> list[Seen]:
        """Start an episode in every row."""
        self.engine.rng = np.random.Generator(np.random.PCG64(seed))
        self.engine.begin(stagger=False)
        self._ended = False
        state = self.engine.sim.state
        start = np.concatenate([state.t[:, None], state.slots], axis=1).astype(np.float64)
        episode = Seen("episode", "episode", start, self.bars, ("start", *("instrument",) * state.slots.shape[1]))
        dataset = self.engine.game.dataset
        return [*_fitted(statistics_of(dataset), dataset.feature_names), episode, *self._observed()]

    def play(self, action: Any) -> list[Seen]:
        """Play one bar."""
        outcome = self.engine.play(action)
        result, after = outcome.result, np.asarray(self.engine.sim.state.t)
        self._paid = np.asarray(result.equity - result.equity_before)
        self._ended = bool(outcome.done.any())
        symbols = self.engine.sim.symbols if self.engine.sim.slots > 1 else ("",)
        decided = [
            Seen("position", what, np.asarray(values), after - 1, symbols)
            for what, values in (("units held", self.engine.sim.state.units), ("exposure", result.exposure))
        ]
        account = np.concatenate([result.gross, result.cost, result.equity[:, None]], axis=1)
        names = (*(f"gross {s}" for s in symbols), *(f"cost {s}" for s in symbols), "equity")
        earned = [Seen("reward", f"reward of {a}", r[:, None], after) for a, r in outcome.rewards.items()]
        return [*decided, *earned, Seen("reward", "account", account, after, names), *self._observed()]

    def _observed(self) -> list[Seen]:
        return [
            Seen("observation", f"observation of {a}", np.asarray(self.engine.observe(a)), self.bars, names)
            for a, names in self._names.items()
        ]

    @property
    def bars(self) -> Int:
        """Where the rows stand, [R]."""
        now = np.asarray(self.engine.sim.state.t)
        return np.full_like(now, NEVER) if self._ended else now

    @property
    def paid(self) -> Float:
        """[R] profit of the account."""
        return self._paid


class VecPlayer(Player):
    """The batched view of one learning agent; rows count until their first episode is over."""

    def __init__(self, env: VecMarketEnv) -> None:
        self.env = env
        self._alive = np.ones(env.num_envs, dtype=bool)
        self._paid = np.zeros(env.num_envs)
        self._names = entry_names(env.engine.game, env.agent)

    def draw(self, rng: np.random.Generator, count: int) -> list[Any]:
        """Return actions `[R, a]`."""
        space = self.env.engine.game.actions(self.env.agent)
        return [space.sample(rng, self.env.num_envs, REACH) for _ in range(count)]

    def begin(self, seed: int) -> list[Seen]:
        """Start staggered episodes."""
        self.env.seed(seed)
        seen = self.env.reset()
        self._alive[:] = True
        slots = np.asarray(self.env.engine.sim.state.slots, dtype=np.float64)
        episode = np.concatenate([self.bars[:, None].astype(np.float64), slots], axis=1)
        dataset = self.env.engine.game.dataset
        fitted = _fitted(statistics_of(dataset), dataset.feature_names)
        return [*fitted, Seen("episode", "episode", episode, self.bars), self._observed(seen)]

    def play(self, action: Any) -> list[Seen]:
        """Play one step of the view."""
        seen, reward, done, _ = self.env.step(action)
        self._alive &= ~done
        self._paid = np.asarray(reward, dtype=np.float64)
        units = np.asarray(self.env.engine.sim.state.units)
        # a row that has just ended shows the next episode already: its last reward is left out with it
        bars = self.bars
        return [
            Seen("position", "units held", units, np.where(self._alive, bars - 1, NEVER)),
            Seen("reward", f"reward of {self.env.agent}", self._paid[:, None], bars),
            self._observed(np.asarray(seen)),
        ]

    def _observed(self, seen: Array) -> Seen:
        return Seen("observation", f"observation of {self.env.agent}", np.array(seen), self.bars, self._names)

    @property
    def bars(self) -> Int:
        """Where the rows stand, [R]."""
        return np.where(self._alive, np.asarray(self.env.engine.sim.state.t), NEVER)

    @property
    def paid(self) -> Float:
        """The rewards, [R]."""
        return self._paid


class GymPlayer(Player):
    """A Gymnasium environment, of whatever package."""

    def __init__(self, env: gymnasium.Env[Any, Any], access: Access) -> None:
        self.env, self.access = env, access
        self._paid = np.zeros(1)
        self._ended = False

    def draw(self, rng: np.random.Generator, count: int) -> list[Any]:
        """Return samples of the action space."""
        self.env.action_space.seed(int(rng.integers(2**31)))
        return [self.env.action_space.sample() for _ in range(count)]

    def begin(self, seed: int) -> list[Seen]:
        """Start an episode."""
        seen, _ = self.env.reset(seed=seed)
        self._ended = False
        episode = Seen("episode", "episode", self.bars[:, None].astype(np.float64), self.bars, ("start",))
        fitted = _fitted(self.access.statistics(self.env)) if self.access.statistics else []
        return [*fitted, episode, self._observed(seen)]

    def play(self, action: Any) -> list[Seen]:
        """Play one step."""
        seen, reward, terminated, truncated, _ = self.env.step(action)
        bars = self.bars
        self._ended = bool(terminated or truncated)
        self._paid = np.array([float(reward)])
        out = [Seen("reward", "reward", self._paid[:, None], bars), self._observed(seen, bars)]
        if self.access.positions is None:
            return out
        held = np.ravel(np.asarray(self.access.positions(self.env), dtype=np.float64))[None]
        return [Seen("position", "units held", held, bars - 1), *out]

    def _observed(self, seen: Any, bars: Int | None = None) -> Seen:
        flat = gymnasium.spaces.flatten(self.env.observation_space, seen)
        values = np.asarray(flat, dtype=np.float64)[None]
        return Seen("observation", "observation", values, self.bars if bars is None else bars, self.access.names)

    @property
    def bars(self) -> Int:
        """Where it stands, [1]."""
        return np.array([NEVER if self._ended else self.access.bar(self.env)], dtype=np.int64)

    @property
    def paid(self) -> Float:
        """The reward, [1]."""
        return self._paid
