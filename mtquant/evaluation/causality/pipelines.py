"""Small pipelines from bars to environments: what the suite plants its leaks in, and what it must not blame."""

from collections.abc import Callable, Mapping

import numpy as np

from mtquant.config.agents import EnvironmentSpec, FeatureSpec, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.data.dataset import Dataset
from mtquant.data.features import build_dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits
from mtquant.envs.engine import GameEngine
from mtquant.envs.game import MarketGame
from mtquant.envs.games.joint import JointGame
from mtquant.envs.games.meta_controller import MetaControllerTrainingEnv
from mtquant.envs.games.portfolio import PortfolioGame
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.envs.gym_env import MarketGymEnv
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.evaluation.causality.search import EnvFactory
from mtquant.synthetic.catalogue import CATALOGUE
from mtquant.types import Array

Alter = Callable[[Dataset], Dataset]
MakeGame = Callable[[Dataset, PipelineSpec], MarketGame]

ROWS = 4
TRAIN_SHARE, VALIDATION_SHARE = 0.5, 0.2
GROUP = "forex"
USUAL = FeatureSpec()


def same(dataset: Dataset) -> Dataset:
    """Change nothing."""
    return dataset


def trained_until(market: Market) -> int:
    """Return the end of the train split: the first half, which is the first history of `random_walk`."""
    return int(TRAIN_SHARE * len(market.time))


def split_of(market: Market, whole: int) -> Splits:
    """Return train, validation and test of a market of `whole` bars, as far as `market` reaches."""
    first = int(TRAIN_SHARE * whole)
    second = first + int(VALIDATION_SHARE * whole)
    ends = {"train": (0, first), "validation": (first, second), "test": (second, whole)}
    bars = len(market.time)
    return Splits(*(Split(n, ((a, min(b, bars)),) if a < bars else ()) for n, (a, b) in ends.items()))


def small_spec(market: Market, features: FeatureSpec, fill: str = "next_open") -> PipelineSpec:
    """Return settings for the instruments of `market` with every kind of cost."""
    instruments = {
        symbol: InstrumentSpec(
            group=CATALOGUE[symbol].group,
            half_spread_bps=1.0,
            slippage_bps=0.5,
            financing_long_bps=1.0,
            financing_short_bps=0.5,
        )
        for symbol in market.symbols
    }
    environment = EnvironmentSpec.model_validate(
        {"instruments": market.symbols, "episode_length": 60, "warmup_steps": 30, "costs": "realistic", "fill": fill}
    )
    return PipelineSpec(catalogue=InstrumentsSpec(instruments=instruments), environment=environment, features=features)


def specialist(dataset: Dataset, spec: PipelineSpec) -> MarketGame:
    """Return the game of phase 1."""
    return SpecialistGame(dataset, spec, GROUP)


def joint(dataset: Dataset, spec: PipelineSpec) -> MarketGame:
    """Return the game of phase 3."""
    return JointGame(dataset, spec, context=True, joint=True)


def phase2(dataset: Dataset, spec: PipelineSpec) -> MarketGame:
    """Return the game of phase 2 with all agents speaking."""
    return JointGame(dataset, spec, context=False, joint=False)


def engine(
    make: MakeGame = specialist,
    alter: Alter = same,
    *,
    split: str = "test",
    features: FeatureSpec = USUAL,
    fill: str = "next_open",
    rewire: Callable[[GameEngine], GameEngine] = lambda engine: engine,
) -> EnvFactory:
    """Return a factory of engines: bars to dataset to game; `alter` and `rewire` are where leaks are planted."""

    def build(market: Market) -> GameEngine:
        dataset, spec = prepared(market, features, alter, fill)
        game = make(dataset, spec)
        return rewire(GameEngine(game, dataset.splits[split], ROWS, _unused()))

    return build


def prepared(
    market: Market, features: FeatureSpec = USUAL, alter: Alter = same, fill: str = "next_open", whole: int = 0
) -> tuple[Dataset, PipelineSpec]:
    """Return the dataset of `market` and the settings of its games."""
    spec = small_spec(market, features, fill)
    splits = split_of(market, whole or len(market.time))
    return alter(build_dataset(market, splits, features, planted=False, catalogue=spec.catalogue)), spec


def _batched(market: Market) -> VecMarketEnv:
    dataset, spec = prepared(market)
    return VecMarketEnv(GameEngine(specialist(dataset, spec), dataset.splits.test, ROWS, _unused()), GROUP)


def _meta(market: Market) -> VecMarketEnv:
    dataset, spec = prepared(market)
    acts = {group: _half_long(len(spec.members(group))) for group in spec.groups}
    return MetaControllerTrainingEnv(dataset, spec, dataset.splits.test, acts, rows=ROWS, rng=_unused())


def _half_long(size: int) -> Callable[[Array], Array]:
    return lambda seen: np.full((len(seen), size), 0.5)


def _gymnasium(market: Market) -> MarketGymEnv:
    dataset, spec = prepared(market)
    return MarketGymEnv(specialist(dataset, spec), dataset.splits.test, GROUP)


def _unused() -> np.random.Generator:
    """Return a generator that every check replaces by its own."""
    return np.random.Generator(np.random.PCG64(0))


CLEAN: Mapping[str, tuple[EnvFactory, str]] = {
    "phase 1": (engine(), "one instrument a row, on the test split"),
    "phase 1, train split": (engine(split="train"), "on the train split: nothing later may matter"),
    "phase 2": (engine(phase2), "meta-controller and specialists, all speaking"),
    "phase 3": (engine(joint), "the same with peers in the observation"),
    "portfolio": (engine(PortfolioGame), "the game of baselines and reference policies"),
    "all features": (
        engine(joint, features=FeatureSpec(regimes=True, sessions=True)),
        "with regime and session features",
    ),
    "fixed volatility": (engine(joint, features=FeatureSpec(volatility="fixed")), "volatility of the train split"),
    "fill at the next close": (engine(fill="next_close"), "orders wait a whole bar"),
    "batched view": (_batched, "what phase 1 trains on"),
    "meta view": (_meta, "what phase 2 trains on: one step is several bars"),
    "Gymnasium view": (_gymnasium, "one row for foreign code"),
}
"""Pipelines without a leak, by name: factory and what it is."""
