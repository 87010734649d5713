"""The macro block: columns before proxies, names that say which, and proxies that mean what they are called."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.data.align import with_macro
from mtquant.data.macro import PLACES, raw_macro
from mtquant.data.market import Market
from tests.data.make import GROUPS, weekdays

BARS = 600


def market_with(symbols: tuple[str, ...], columns: dict[str, np.ndarray] | None = None) -> Market:
    shape = (BARS, len(symbols))
    market = Market(
        symbols, weekdays(BARS), np.ones((*shape, 5)), np.ones(shape, bool), np.zeros(BARS, np.int64), "D1", 261.0
    )
    if not columns:
        return market
    return with_macro(market, np.stack(list(columns.values()), axis=1), tuple(columns))


def block(symbols: tuple[str, ...], eps: np.ndarray, columns: dict[str, np.ndarray] | None = None):
    return raw_macro(market_with(symbols, columns), eps, 10.0, GROUPS)


@pytest.fixture
def noise() -> np.ndarray:
    return Streams(0).rng("macro").standard_normal((BARS, 4))


def test_three_columns_give_levels_and_contrasts(noise):
    columns = {"a": noise[:, 0], "b": noise[:, 1], "c": noise[:, 2]}
    values, names, notes = block(("EURUSD",), noise[:, :1], columns)
    assert names == ("a", "b", "c", "a - b", "b - c") and not notes
    weights = 2.0 ** (-np.arange(300)[::-1] / 10.0)
    assert np.isclose(values[299, 1], (weights * noise[:300, 1]).sum() / weights.sum())
    slow = 2.0 ** (-np.arange(300)[::-1] / 30.0)
    assert np.isclose(values[299, 3], (slow * (noise[:300, 0] - noise[:300, 1])).sum() / slow.sum())


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ((), ("vix (proxy)", "dxy (proxy)", "rates (proxy)", "momentum (proxy)", "correlation (proxy)")),
        (("VIX",), ("VIX", "dxy (proxy)", "rates (proxy)", "momentum (proxy)", "correlation (proxy)")),
        (("rates", "credit"), ("vix (proxy)", "dxy (proxy)", "rates", "credit", "momentum (proxy)")),
        (("x",), ("x", "vix (proxy)", "dxy (proxy)", "rates (proxy)", "momentum (proxy)")),
        (("x", "y"), ("x", "y", "x - y", "vix (proxy)", "dxy (proxy)")),
        (("p", "q", "r", "s"), ("p", "q", "r", "s", "p - q")),
    ],
)
def test_columns_come_before_proxies(noise, given, names):
    symbols = ("EURUSD", "USDJPY", "XAUUSD", "SPX500")
    values, found, notes = block(symbols, noise, {n: noise[:, i] for i, n in enumerate(given)})
    assert found == names and values.shape == (BARS, PLACES) and not notes
    assert values.std(axis=0).all()


def test_columns_beyond_five_are_told(noise):
    values, names, notes = block(("EURUSD",), noise[:, :1], dict.fromkeys("abcdefg", noise[:, 0]))
    assert names == tuple("abcde") and len(notes) == 1 and "['f', 'g']" in notes[0]
    assert values.shape == (BARS, PLACES)


def test_missing_instruments_leave_zeros_and_say_so(noise):
    values, names, _ = block(("BRENT",), noise[:, :1])
    assert names[:3] == ("vix (none)", "dxy (none)", "rates (none)") and names[4] == "correlation (none)"
    assert not values[:, [0, 1, 2, 4]].any() and values[:, 3].any()


def test_a_stronger_dollar_raises_dxy_whichever_side_it_is_quoted(noise):
    rising = np.abs(noise[:, :1]) * 0.1
    for symbols, sign in ((("EURUSD",), -1), (("USDJPY",), 1), (("EURUSD", "XAUUSD"), -1)):
        values, _, _ = block(symbols, np.repeat(rising, len(symbols), axis=1))
        assert (np.sign(values[50:, 1]) == sign).all()


def test_vix_rises_with_equity_moves_and_rates_with_yen_less_gold(noise):
    wild = noise.copy()
    wild[500:] *= 4
    values, _, _ = block(("EURUSD", "USDJPY", "XAUUSD", "SPX500"), wild)
    assert values[510:530, 0].mean() > values[300:500, 0].mean() + 0.3
    steady = np.tile([0.0, 1.0, -1.0, 0.0], (BARS, 1))
    values, _, _ = block(("EURUSD", "USDJPY", "XAUUSD", "SPX500"), steady)
    assert values[-1, 2] > 0 and np.isclose(values[-1, 3], 0.0)


def test_correlation_is_one_for_twins_and_small_for_strangers(noise):
    twins, _, _ = block(("EURUSD", "USDJPY"), noise[:, [0, 0]])
    strangers, _, _ = block(("EURUSD", "USDJPY"), noise[:, [0, 1]])
    assert np.isclose(twins[-1, 4], 1.0) and strangers[200:, 4].mean() < 0.25
