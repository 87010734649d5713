"""The hidden-regime gate without its budget: the filter scores 1, the best constant allocation 0."""

import numpy as np
import pytest

from mtquant.agents.hierarchy import ConstantBudgets, Hierarchy
from mtquant.config.load import load_pipeline
from mtquant.context import Streams
from mtquant.envs.games.joint import META, JointGame
from mtquant.evaluation.oracles.noise_free import captured_gain, score_result, sharpe_interval, volatility_ratio
from mtquant.evaluation.oracles.policies import allocation, phase2
from mtquant.execution.sources import open_source
from mtquant.gates.definitions import HIDDEN_REGIME
from mtquant.gates.shares import path_set
from mtquant.synthetic.registry import build_planted, evaluation_paths
from mtquant.synthetic.settings import with_objective

FEW = tuple(f"data.planted.{split}_histories=1" for split in ("train", "validation", "test"))
WARMUP = 150


@pytest.fixture(scope="module")
def paths():
    spec = with_objective(load_pipeline("default", None, (*HIDDEN_REGIME, *FEW)))
    planted = build_planted("hidden-regime", spec.data.planted, Streams(0), spec.environment.instruments)
    fresh = evaluation_paths(planted, Streams(0), 12, 550)
    return path_set(open_source(spec).dataset(spec), fresh, spec)


def hold_one(observation):
    """Return the action of a desk that holds one unit of one instrument."""
    return np.ones((len(observation), 1))


def test_what_the_meta_says_is_what_is_held(paths):
    budgets = np.array([0.3, 0.5, 0.2])
    meta = ConstantBudgets.of(budgets, paths.spec.phase2.budget_limit)
    desks = dict.fromkeys(paths.spec.groups, hold_one)
    result = Hierarchy("phase2", {**desks, META: meta}, context=False, joint=False).backtest(
        paths.dataset, paths.spec, paths.split
    )
    np.testing.assert_allclose(result.exposure, np.broadcast_to(budgets, result.exposure.shape), rtol=1e-6)
    assert not result.cost.any()
    whole = ConstantBudgets.of(np.array([1.4, 0.05, 0.04]), paths.spec.phase2.budget_limit)
    capped = Hierarchy("phase2", {**desks, META: whole}, context=False, joint=False).backtest(
        paths.dataset, paths.spec, paths.split
    )
    assert capped.exposure.max() == pytest.approx(1.0), "one position is capped by the risk layer"
    truth = paths.planted.truth
    score = score_result(result, truth, volatility_ratio(paths.dataset, truth))
    found = sharpe_interval(score)
    assert found.low < found.value == score.sharpe < found.high


def test_the_scale_runs_from_the_best_constant_allocation_to_the_filter(paths):
    every = paths.spec.phase2.decision_bars
    static = paths.score(allocation(paths.planted, warmup=WARMUP, common=False))
    best = paths.score(phase2(paths.planted, None, WARMUP, every, paths.spec.phase2.budget_smoothing))
    assert captured_gain(best, static, best).value == 1.0
    assert captured_gain(static, static, best).value == 0.0
    slow = paths.score(phase2(paths.planted, None, WARMUP, 4 * every, paths.spec.phase2.budget_smoothing))
    assert captured_gain(slow, static, best).value < 0.80, "deciding every 20 bars would not pass"


def test_the_meta_sees_the_report_through_one_mean(paths):
    game = JointGame(paths.dataset, paths.spec, context=False, joint=False)
    assert paths.dataset.macro_names[0] == "macro_regime"
    assert game.decision_bars <= 5
