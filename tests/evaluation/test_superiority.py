"""The agent among rivals: better, worse, and as good as the best."""

import math

import numpy as np

from mtquant.evaluation.superiority import superiority

SAMPLES = 200


def gains(agent, rivals, days=800, seed=0):
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(days)
    made = {"agent": agent + common + 0.5 * rng.standard_normal(days)}
    return made | {f"rival{i}": mean + common + 0.5 * rng.standard_normal(days) for i, mean in enumerate(rivals)}


def judged(made):
    return superiority(made, "agent", np.random.default_rng(1), samples=SAMPLES)


def test_a_better_rival_is_found():
    found = judged(gains(0.0, (0.0, 0.3, -0.1)))
    assert found.beaten_p < 0.05
    assert not found.among_the_best
    assert found.confidence_set == ("rival1",)


def test_a_better_agent_stands_alone():
    found = judged(gains(0.3, (0.0, 0.0, -0.1)))
    assert found.beaten_p > 0.5
    assert found.confidence_set == ("agent",)


def test_equals_stay_together():
    found = judged(gains(0.0, (0.0, 0.0)))
    assert found.among_the_best
    assert set(found.confidence_set) == {"agent", "rival0", "rival1"}
    assert set(found.p_values) == {"agent", "rival0", "rival1"}


def test_equals_are_called_beaten_at_the_nominal_rate():
    """The best of five equal rivals is better than the agent by luck; the test allows for that."""
    p = [judged(gains(0.0, (0.0,) * 5, days=250, seed=seed)).beaten_p for seed in range(40)]
    assert np.mean(np.array(p) < 0.05) <= 0.125


def test_nobody_to_compare_with():
    alone = judged({"agent": np.arange(50.0), "twin": np.arange(50.0)})
    assert math.isnan(alone.beaten_p)
    assert not alone.confidence_set
    assert math.isnan(judged(gains(0.0, (0.0,), days=10)).beaten_p)
