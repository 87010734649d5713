"""The record of trials: written once, read back, never lost without a word."""

import json
import math

import pytest

from mtquant.errors import StoreError
from mtquant.store.trials import TRIALS, Trial, market_of, read_trials, record_trial

MARKET = market_of({"EURUSD": "a" * 64, "splits": "b" * 64}, "splits")


def trial(policy, split="test", sharpe=0.5):
    return Trial(policy * 64, split, sharpe, [0, 0], [10, 11], [0.01, -0.02])


def test_every_policy_counts_once(tmp_path):
    for policy in ("a", "b", "a"):
        record_trial(tmp_path, MARKET, trial(policy))
    record_trial(tmp_path, MARKET, trial("a", "validation"))
    assert read_trials(tmp_path, MARKET, "test") == [trial("a"), trial("b")]
    assert read_trials(tmp_path, MARKET, "validation") == [trial("a", "validation")]


def test_a_trial_is_never_rewritten(tmp_path):
    record_trial(tmp_path, MARKET, trial("a", sharpe=0.5))
    record_trial(tmp_path, MARKET, trial("a", sharpe=9.0))
    assert read_trials(tmp_path, MARKET, "test")[0].sharpe == 0.5


def test_a_market_is_its_bars_and_not_its_splits(tmp_path):
    assert market_of({"EURUSD": "a" * 64, "splits": "c" * 64}, "splits") == MARKET
    assert market_of({"EURUSD": "d" * 64}) != MARKET
    assert read_trials(tmp_path, MARKET, "test") == []


@pytest.mark.parametrize("change", [{"sharpe": 0.1}, {"more": 1}])
def test_a_damaged_trial_is_an_error(tmp_path, change):
    record_trial(tmp_path, MARKET, trial("a"))
    path = next((tmp_path / TRIALS).rglob("*.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match="earlier_trials"):
        read_trials(tmp_path, MARKET, "test")


def test_a_trial_without_a_ratio_counts_too(tmp_path):
    record_trial(tmp_path, MARKET, trial("a", sharpe=math.nan))
    assert math.isnan(read_trials(tmp_path, MARKET, "test")[0].sharpe)
