"""Other futures leave the past alone, change something, and are still markets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.context import Streams
from mtquant.data.market import CLOSE, HIGH, LOW, OPEN, VOLUME
from mtquant.evaluation.causality.perturbation import PERTURBATIONS, gap_after, random_walk, truncated

MARKET = random_walk(Streams(3), bars=200)


def is_a_market(market):
    ohlcv, gone = market.ohlcv, ~market.tradable
    assert (ohlcv[:, :, HIGH] >= ohlcv[:, :, [OPEN, CLOSE]].max(axis=2)).all()
    assert (ohlcv[:, :, LOW] <= ohlcv[:, :, [OPEN, CLOSE]].min(axis=2)).all()
    assert (ohlcv[gone][:, VOLUME] == 0).all()
    held = gone[1:] & (np.diff(market.history) == 0)[:, None]
    np.testing.assert_array_equal(ohlcv[1:, :, CLOSE][held], ohlcv[:-1, :, CLOSE][held])


def test_the_random_walk_is_a_market_with_gaps_and_missing_bars():
    is_a_market(MARKET)
    assert (~MARKET.tradable).mean() == pytest.approx(0.25, abs=0.05)
    gaps = np.abs(MARKET.ohlcv[1:, :, OPEN] / MARKET.close[:-1] - 1.0)
    assert np.median(gaps) > 0.001


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(PERTURBATIONS)), st.integers(0, 90), st.integers(0, 5))
def test_only_later_bars_change(name, present, seed):
    other = PERTURBATIONS[name](MARKET, present, Streams(seed).rng("other"))
    for field in ("ohlcv", "tradable", "macro"):
        np.testing.assert_array_equal(getattr(other, field)[: present + 1], getattr(MARKET, field)[: present + 1])
    assert not np.array_equal(other.ohlcv, MARKET.ohlcv)
    np.testing.assert_array_equal(other.tradable[present + 1], MARKET.tradable[present + 1])
    is_a_market(other)


@given(st.integers(0, 198), st.floats(0.01, 10.0))
def test_a_gap_moves_every_later_bar_that_exists(present, size):
    other = gap_after(MARKET, present, np.full(4, size))
    np.testing.assert_array_equal(other.ohlcv[: present + 1], MARKET.ohlcv[: present + 1])
    later = MARKET.tradable.copy()
    later[: present + 1] = False
    np.testing.assert_allclose(other.ohlcv[later][:, :VOLUME] - MARKET.ohlcv[later][:, :VOLUME], size, rtol=1e-6)
    is_a_market(other)


def test_a_truncated_market_begins_alike():
    short = truncated(MARKET, 120)
    assert len(short.time) == 120
    np.testing.assert_array_equal(short.ohlcv, MARKET.ohlcv[:120])
