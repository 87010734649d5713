"""Small datasets and specs that tests share."""

import numpy as np

from mtquant.config.agents import EnvironmentSpec, PipelineSpec
from mtquant.config.instruments import InstrumentSpec, InstrumentsSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split, Splits

SYMBOLS = ("EURUSD", "GBPUSD", "XAUUSD", "SPX500")
GROUPS = {"EURUSD": "forex", "GBPUSD": "forex", "XAUUSD": "commodities", "SPX500": "equity"}
DAY = 86_400_000_000_000


def tiny_spec(**changes: object) -> PipelineSpec:
    """Return a spec over four instruments with every kind of cost."""
    catalogue = InstrumentsSpec(
        instruments={
            symbol: InstrumentSpec(
                group=group,
                half_spread_bps=1.0,
                commission_bps=0.5,
                slippage_bps=0.5,
                financing_long_bps=1.0,
                financing_short_bps=0.5,
                contract_value=2.0,
            )
            for symbol, group in GROUPS.items()
        }
    )
    environment = EnvironmentSpec(instruments=SYMBOLS, episode_length=60, warmup_steps=10, costs="realistic")
    values = {"catalogue": catalogue, "environment": environment} | changes
    return PipelineSpec(**values)


def tiny_market(seed: int = 0, bars: int = 400, hours: int = 24, missing: float = 0.0) -> Market:
    """Return a random walk of four instruments in two histories, `hours` a bar."""
    rng = Streams(seed).rng("tiny")
    count = len(SYMBOLS)
    steps = 0.01 * rng.standard_normal((bars, count))
    gaps = 0.002 * rng.standard_normal((bars, count))
    close = np.array([1.1, 1.3, 1900.0, 4200.0]) * np.cumprod(1.0 + steps, axis=0)
    previous = np.concatenate([close[:1], close[:-1]])
    opened = previous * (1.0 + gaps)
    tradable = rng.random((bars, count)) >= missing
    tradable[0] = True
    for t in range(1, bars):
        hold = ~tradable[t]
        close[t, hold] = close[t - 1, hold]
        opened[t, hold] = close[t - 1, hold]
    high, low = np.maximum(opened, close), np.minimum(opened, close)
    ohlcv = np.stack([opened, high, low, close, np.where(tradable, 100.0, 0.0)], axis=-1)
    half = bars // 2
    return Market(
        SYMBOLS,
        np.arange(bars) * (DAY * hours // 24),
        ohlcv,
        tradable,
        np.repeat([0, 1], [half, bars - half]),
        "D1" if hours == 24 else "H1",
        260.0 * 24 / hours,
    )


def tiny_dataset(seed: int = 0, bars: int = 400, hours: int = 24, missing: float = 0.0, width: int = 4) -> Dataset:
    """Return a dataset over `tiny_market` with random causal features."""
    market = tiny_market(seed, bars, hours, missing)
    rng = Streams(seed).rng("features")
    half = bars // 2
    correlation = np.full((4, 4), 0.2) + 0.8 * np.eye(4)
    correlation[0, 1] = correlation[1, 0] = 0.6
    splits = Splits(
        Split("train", ((0, half),)),
        Split("validation", ((half, half + half // 2),)),
        Split("test", ((half + half // 2, bars),)),
    )
    features = rng.standard_normal((bars, 4, width)).astype(np.float32)
    return Dataset(
        market,
        splits,
        features,
        tuple(f"f{i}" for i in range(width)),
        (0, 1),
        np.zeros(width),
        np.ones(width),
        0.01 * np.abs(market.close),
        correlation,
        rng.standard_normal((bars, 5)).astype(np.float32),
        tuple("abcde"),
        False,
    )
