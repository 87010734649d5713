"""The bars and settings that a documented environment stands on.

Without bars of your own it is a small planted market, generated in memory; otherwise a file, a market or a dataset.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mtquant.config.agents import DataSpec, EnvironmentSpec, FeatureSpec, Phase2Spec, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.config.load import load_yaml, shipped_folder
from mtquant.config.market_games import AccountSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.data.align import align
from mtquant.data.bars import read_bars
from mtquant.data.dataset import Dataset
from mtquant.data.features import Shown, build_dataset
from mtquant.data.market import Market
from mtquant.data.splits import Splits, by_fraction
from mtquant.errors import ConfigError
from mtquant.registry import did_you_mean
from mtquant.synthetic import SYNTHETIC, build_planted
from mtquant.synthetic.planted import Planted
from mtquant.synthetic.settings import with_objective

Bars = Dataset | Market | Path | str | None
"""A dataset, a market, the file of one instrument's bars, the name of a planted market, or None: the default."""
Source = tuple[Market, Splits]
Alter = Callable[[Market], Market]

DEFAULT_MARKET = "embedded"
DEFAULT_SYMBOLS = ("EURUSD", "XAUUSD", "NAS100")
SMALL: dict[str, float] = {"train_histories": 2, "validation_histories": 1, "test_histories": 1, "history_bars": 2200}
"""Size of the default market: a few thousand bars, generated within a tenth of a second."""
STRONG = {"edge_scale": 2.5}
"""The default market's edge over that of `embedded`: three directions at full size pay too much cost for less."""
FILE_SYMBOL = "NQ"
"""Instrument that a file is taken for unless its name begins with another one's."""
NQ = InstrumentSpec(group="equity", contract_value=20.0, half_spread_bps=0.07, commission_bps=0.06, slippage_bps=0.1)
"""E-mini Nasdaq-100: 20 dollars a point; half of one tick of 0.25 and about 2 dollars a side, at 18000 points."""
FEATURES = FeatureSpec(return_half_lives=(1.0,), return_lags=1, indicators=())
"""The games compute their own columns; of a dataset they need volatility, correlation and splits."""


class Ground(NamedTuple):
    """What a game over bars is built from."""

    dataset: Dataset
    spec: PipelineSpec


def catalogue() -> InstrumentsSpec:
    """Return the instruments that the package brings, and NQ."""
    shipped = load_yaml(shipped_folder() / "instruments.yaml")
    known = InstrumentsSpec.model_validate_json(json.dumps(shipped))
    return InstrumentsSpec(instruments=known.instruments | {FILE_SYMBOL: NQ})


def ground_of(
    bars: Bars,
    account: AccountSpec,
    episode_length: int,
    *,
    seed: int = 0,
    limits: LimitsSpec | None = None,
    alter: Alter | None = None,
) -> Ground:
    """Return dataset and settings of `bars`; `alter` changes the market before anything is computed from it.

    Raises `DataError` for broken or too few bars, `ConfigError` for a name or an instrument that is not known.
    """
    if bars is None or (isinstance(bars, str) and bars in SYNTHETIC):
        return _planted_ground(bars, account, episode_length, seed, limits, alter)
    if isinstance(bars, Dataset) and alter is None:
        return Ground(bars, settings(bars.market.symbols, account, episode_length, limits))
    market, splits = _source(bars)
    spec = settings(market.symbols, account, episode_length, limits)
    market = alter(market) if alter else market
    is_planted = isinstance(bars, Dataset) and bars.planted
    return Ground(build_dataset(market, splits, FEATURES, planted=is_planted, catalogue=spec.catalogue), spec)


def settings(
    symbols: Sequence[str], account: AccountSpec, episode_length: int, limits: LimitsSpec | None = None
) -> PipelineSpec:
    """Return the settings of an account on `symbols`; raises `ConfigError` for an instrument without costs."""
    known = catalogue()
    for symbol in symbols:
        if symbol not in known.instruments:
            raise ConfigError(f"`{symbol}` is not in the catalogue.{did_you_mean(symbol, known.instruments)}")
    environment = EnvironmentSpec(
        instruments=tuple(symbols),
        episode_length=episode_length,
        warmup_steps=account.warmup_steps,
        initial_capital=account.initial_capital,
        target_volatility=account.target_volatility,
        costs=account.costs,
        transaction_cost=account.transaction_cost,
        adjustment_rate=account.adjustment_rate,
    )
    return PipelineSpec(
        catalogue=known,
        environment=environment,
        limits=limits or LimitsSpec(),
        features=FEATURES,
        # the games decide every bar
        phase2=Phase2Spec(decision_bars=1),
    )


def default_market(name: str | None, seed: int, train_histories: int | None = None) -> Planted:
    """Return the planted market that environments play without bars of your own, or a small one called `name`."""
    return build_planted(name or DEFAULT_MARKET, _parameters(name, train_histories), Streams(seed), DEFAULT_SYMBOLS)


def _parameters(name: str | None, train_histories: int | None) -> dict[str, float]:
    size = SMALL | ({} if train_histories is None else {"train_histories": train_histories})
    return size if name else size | STRONG


def _planted_ground(
    name: str | None,
    account: AccountSpec,
    episode_length: int,
    seed: int,
    limits: LimitsSpec | None,
    alter: Alter | None,
) -> Ground:
    spec = settings(DEFAULT_SYMBOLS, account, episode_length, limits)
    data = DataSpec(source=name or DEFAULT_MARKET, planted=_parameters(name, account.train_histories))
    spec = with_objective(spec.model_copy(update={"data": data}))
    planted = default_market(name, seed, account.train_histories)
    market = alter(planted.market) if alter else planted.market
    shown = Shown() if planted.signals is None else Shown(planted.signals, planted.signal_names)
    dataset = build_dataset(market, planted.splits, FEATURES, planted=True, catalogue=spec.catalogue, shown=shown)
    return Ground(dataset, spec)


def _source(bars: Dataset | Market | Path | str) -> Source:
    if isinstance(bars, Dataset):
        return bars.market, bars.splits
    if isinstance(bars, Market):
        return bars, by_fraction(bars, DataSpec())
    path = Path(bars)
    named = next((symbol for symbol in catalogue().instruments if path.name.upper().startswith(symbol)), FILE_SYMBOL)
    market = align([read_bars(path, named)])
    return market, by_fraction(market, DataSpec())
