"""Baselines: causal, per history, of one size, and what each promises."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.market import Market
from mtquant.data.splits import Split
from mtquant.envs.games.portfolio import AGENT, PortfolioGame
from mtquant.errors import ConfigError, DataError
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.baselines import BASELINES, Baseline, BaselineSetting, ma_crossover
from mtquant.registry import build
from mtquant.types import Float
from tests.tiny import tiny_dataset, tiny_spec

BARS = 1_000
SPLIT = Split("test", ((300, 480), (520, 640)))
YEAR_BEFORE = Split("test", ((300, 480),))


def made(name: str, dataset: Dataset, **changes: object) -> Baseline:
    values = {"split": SPLIT, "turnover": 0.3, "rng": Streams(3).rng("random")} | changes
    setting = BaselineSetting(dataset, dataset.market.symbols, **values)  # type: ignore[arg-type]
    return build(BASELINES, {"name": name, "setting": setting}, "baseline")


def with_bars(dataset: Dataset, ohlcv: Float, volatility: Float) -> Dataset:
    """Return `dataset` with other prices, as long as `ohlcv`."""
    bars, old = len(ohlcv), dataset.market
    market = Market(
        old.symbols, old.time[:bars], ohlcv, old.tradable[:bars], old.history[:bars], old.timeframe, old.bars_per_year
    )
    return replace(
        dataset,
        market=market,
        point_volatility=volatility,
        features=dataset.features[:bars].copy(),
        macro=dataset.macro[:bars].copy(),
    )


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("length", [645, 700, 999])
def test_the_future_changes_nothing(name: str, length: int) -> None:
    dataset = tiny_dataset(bars=BARS)
    table = made(name, dataset).table
    prefix = with_bars(
        dataset, dataset.market.ohlcv[:length].copy(), np.asarray(dataset.point_volatility)[:length].copy()
    )
    np.testing.assert_array_equal(made(name, prefix).table, table[:length])
    # the same with another future instead of none
    ohlcv, volatility = dataset.market.ohlcv.copy(), np.array(dataset.point_volatility)
    ohlcv[length:] *= 1.7
    volatility[length:] *= 0.3
    np.testing.assert_array_equal(made(name, with_bars(dataset, ohlcv, volatility)).table[:length], table[:length])


@pytest.mark.parametrize("name", BASELINES)
def test_another_history_changes_nothing(name: str) -> None:
    dataset = tiny_dataset(bars=BARS)
    ohlcv, volatility = dataset.market.ohlcv.copy(), np.array(dataset.point_volatility)
    ohlcv[:500] = ohlcv[:500][::-1]
    np.testing.assert_array_equal(
        made(name, with_bars(dataset, ohlcv, volatility)).table[500:], made(name, dataset).table[500:]
    )


@pytest.mark.parametrize("name", [n for n in BASELINES if n != "random"])
def test_all_have_one_size_or_none(name: str) -> None:
    dataset = tiny_dataset(bars=BARS)
    table = made(name, dataset, portfolio_volatility=0.12, unit_volatility=0.10).table
    size = np.sqrt(np.einsum("ti,ij,tj->t", table, dataset.correlation, table))
    held = size > 0
    np.testing.assert_allclose(size[held], 1.2)
    assert not held.any() if name == "flat" else held[480]


@pytest.mark.parametrize("name", BASELINES)
def test_rows_do_not_depend_on_each_other(name: str) -> None:
    dataset = tiny_dataset(bars=BARS)
    rng = Streams(1).rng("rows")
    observation = np.column_stack([rng.integers(300, BARS, 7), rng.standard_normal((7, 4))])
    act = made(name, dataset)
    together = act(observation)
    assert together.shape == (7, 4)
    for row in range(7):
        np.testing.assert_array_equal(act(observation[row : row + 1])[0], together[row])


def test_symbols_choose_and_order_the_columns() -> None:
    dataset = tiny_dataset(bars=BARS)
    setting = BaselineSetting(dataset, ("SPX500", "EURUSD"), SPLIT)
    whole = BaselineSetting(dataset, dataset.market.symbols, SPLIT)
    ours, all_of_them = ma_crossover(setting).table, ma_crossover(whole).table
    np.testing.assert_array_equal(np.sign(ours), np.sign(all_of_them[:, [3, 0]]))
    with pytest.raises(DataError, match="DAX40"):
        ma_crossover(BaselineSetting(dataset, ("DAX40",), SPLIT))


@pytest.mark.parametrize("turnover", [0.02, 0.3, 1.0])
def test_random_turns_over_as_much_as_the_agent(turnover: float) -> None:
    dataset = tiny_dataset(bars=6_000)
    table = made("random", dataset, turnover=turnover, split=Split("test", ((0, 6_000),))).table
    inside = np.abs(np.diff(table, axis=0)).sum(axis=1)
    assert np.delete(inside, 2_999).mean() == pytest.approx(turnover, rel=0.05)
    if turnover < 0.1:  # a new history starts anew
        assert inside[2_999] > 5 * inside.mean()
    if turnover > 0.1:
        assert (table**2).sum(axis=1).mean() == pytest.approx(1.0, rel=0.15)


def test_random_says_when_it_cannot_match() -> None:
    dataset = tiny_dataset(bars=BARS)
    assert "could not be matched" in made("random", dataset, turnover=100.0).note
    assert "could not be matched" not in made("random", dataset, turnover=0.5).note
    with pytest.raises(DataError, match="random stream"):
        made("random", dataset, rng=None)


def trending(slope: float) -> Dataset:
    dataset = tiny_dataset(bars=BARS)
    ohlcv = dataset.market.ohlcv.copy()
    climb = np.concatenate([np.arange(500.0), np.arange(500.0)])
    ohlcv[:, :, :4] = (1_000.0 + slope * climb)[:, None, None]
    return with_bars(dataset, ohlcv, np.ones((BARS, 4)))


@pytest.mark.parametrize("name", ["momentum", "ma_crossover"])
@pytest.mark.parametrize("slope", [1.0, -1.0])
def test_followers_follow_and_wait_for_their_window(name: str, slope: float) -> None:
    table = made(name, trending(slope), split=YEAR_BEFORE).table
    wait = 260 if name == "momentum" else 64
    for start in (0, 500):
        assert not table[start : start + wait].any()
        assert (np.sign(table[start + wait : start + 500]) == slope).all()


def test_momentum_leaves_the_last_month_out() -> None:
    dataset = trending(1.0)
    ohlcv = dataset.market.ohlcv.copy()
    ohlcv[400:420, :, :4] = 1.0  # a crash younger than a month is not seen
    table = made("momentum", with_bars(dataset, ohlcv, np.ones((BARS, 4))), split=YEAR_BEFORE).table
    assert (table[400:421] > 0).all()
    assert (table[422:441] < 0).all()


def test_momentum_is_cut_to_what_the_split_offers() -> None:
    dataset = tiny_dataset(bars=BARS)
    short = made("momentum", dataset, split=Split("test", ((500, 600),)))
    assert "from 50 to 4 bars" in short.note
    assert "Cut from 260 bars" in short.note
    assert "Cut" not in made("momentum", dataset, split=YEAR_BEFORE).note
    assert "Cut" in made("momentum", dataset).note
    assert short.table[550:].any()


def test_parts_of_risk_parity_are_equal() -> None:
    dataset = tiny_dataset(bars=BARS)
    x = made("risk_parity", dataset).table[100]
    parts = x * (dataset.correlation @ x)
    np.testing.assert_allclose(parts, parts.mean(), rtol=1e-6)
    assert (x > 0).all()


def test_the_least_variance_is_on_what_moves_least_and_together_least() -> None:
    """Independent instruments: notional weights are in proportion to 1 / variance, but for a little shrinkage."""
    dataset = tiny_dataset(bars=2 * BARS)
    scale = np.array([0.5, 1.0, 1.0, 2.0])
    moves = 0.01 * scale * np.random.default_rng(5).standard_normal((2 * BARS, 4))
    ohlcv = dataset.market.ohlcv.copy()
    ohlcv[:, :, :4] = (1_000.0 * np.cumprod(1.0 + moves, axis=0))[:, :, None]
    volatility = 0.01 * scale * ohlcv[:, :, 3]
    table = made("minimum_variance", with_bars(dataset, ohlcv, volatility)).table
    assert not table[:130].any()
    weights = table[130:1000] * ohlcv[130:1000, :, 3] / volatility[130:1000]
    weights /= weights.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(weights.mean(axis=0), scale**-2 / (scale**-2).sum(), atol=0.06)
    assert (weights >= 0).all()


def test_macd_counts_extremes_less() -> None:
    """Where a trend begins, the signal rises; it is worth less again when it is far from what is usual."""
    rng = np.random.default_rng(6)
    dataset = tiny_dataset(bars=BARS)
    ohlcv = dataset.market.ohlcv.copy()
    walk = 1_000.0 + np.cumsum(rng.standard_normal((BARS, 4)), axis=0)
    walk[400:440] += 3.0 * np.arange(40.0)[:, None]
    ohlcv[:, :, :4] = walk[:, :, None]
    table = made("macd", with_bars(dataset, ohlcv, np.ones((BARS, 4)))).table
    assert not table[:125].any()
    assert (table[410:436] > 0).mean() > 0.9


def test_an_unknown_baseline_is_named() -> None:
    with pytest.raises(ConfigError, match="momentum"):
        made("momentm", tiny_dataset())


def test_through_the_account_buy_and_hold_trades_once_and_flat_never() -> None:
    dataset = tiny_dataset(bars=BARS)
    spec = tiny_spec()
    spec = spec.model_copy(update={"limits": spec.limits.model_copy(update={"enabled": False})})
    game = PortfolioGame(dataset, spec)
    acts = {n: made(n, dataset, split=YEAR_BEFORE) for n in BASELINES}
    results = {n: backtest(game, YEAR_BEFORE, {AGENT: act}, n) for n, act in acts.items()}
    held = results["buy_and_hold"]
    assert (held.trade[0] != 0).all()
    assert np.abs(held.trade[1:]).max() < 1e-9
    notional = held.exposure[0, 0] / (0.01 * np.ones(4))  # point volatility is 1 % of the price
    np.testing.assert_allclose(notional / notional[0], np.ones(4))
    assert not results["flat"].trade.any()
    assert (results["flat"].equity == results["flat"].equity[0]).all()
    assert all((np.abs(r.trade[1:]).sum() > 1.0) for n, r in results.items() if n in ("momentum", "random"))
