"""A small hierarchy under other circumstances: worse where it must be worse, and exact where it can be."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.data.splits import Split
from mtquant.evaluation.assess import Assessor
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.series import Measuring
from mtquant.evaluation.stress import measure_stress
from mtquant.execution.robustness import SWEEP_BPS, Delayed, measure_robustness
from tests.execution.test_attributing import hierarchy
from tests.tiny import tiny_dataset, tiny_spec

SPLIT = Split("test", ((300, 400), (520, 600)))


@pytest.fixture(scope="module")
def found():
    spec, dataset = tiny_spec(), tiny_dataset(bars=1000)
    agents = hierarchy(spec)
    whole = agents.backtest(dataset, spec, SPLIT)
    measuring = Measuring(dataset.correlation, spec.environment.target_volatility * dataset.unit_risk)
    results = {agents.name: whole}
    assessor = Assessor([whole], measuring, Streams(0))
    return whole, measure_robustness(agents, dataset, spec, SPLIT, results, assessor)


def test_more_costs_leave_less(found):
    sweep = found[1].sweep
    assert [point.cost_bps for point in sweep] == list(SWEEP_BPS)
    returns = [point.annual_return for point in sweep]
    assert returns == sorted(returns, reverse=True)
    assert len(set(returns)) == len(returns)


def test_stresses_do_what_they_say(found):
    whole, robust = found
    by_name = {stress.name: stress for stress in robust.stresses}
    base = by_name["as it is"]
    assert base.worst_day == pytest.approx(whole.returns[whole.alive].min())
    assert by_name["volatility x 3"].worst_day < base.worst_day
    assert by_name["spread and all costs x 10"].annual_return < base.annual_return
    # these agents look at nothing, so noise and delay of an equal word change little or nothing
    assert by_name["noise of 0.5 deviations on what is seen"] == base.__class__(
        **{**vars(base), "name": "noise of 0.5 deviations on what is seen"}
    )
    assert by_name["one bar of delay"].annual_return != base.annual_return
    assert len(by_name) == 8
    assert robust.windows == ()


def test_delay_beside_other_circumstances_is_delay_alone(found):
    whole, robust = found
    spec, dataset = tiny_spec(), tiny_dataset(bars=1000)
    agents = hierarchy(spec)
    game = agents.game(dataset, spec)
    late = {agent: Delayed(act, np.zeros(game.actions(agent).size)) for agent, act in agents.acts.items()}
    alone = backtest(game, SPLIT, late, agents.name)
    measuring = Measuring(dataset.correlation, spec.environment.target_volatility * dataset.unit_risk)
    expected = measure_stress("one bar of delay", alone, measuring, Assessor([whole], measuring, Streams(0)).clock)
    assert expected in robust.stresses


def test_only_some_rows_are_late():
    late = Delayed(lambda observation: observation + 1.0, np.zeros(2), (False, True))
    first, second = late(np.full((4, 2), 5.0)), late(np.full((4, 2), 9.0))
    np.testing.assert_array_equal(first[:, 0], [6.0, 6.0, 0.0, 0.0])
    np.testing.assert_array_equal(second[:, 0], [10.0, 10.0, 6.0, 6.0])


def test_a_late_decision_is_the_one_before():
    late = Delayed(lambda observation: observation + 1.0, np.zeros(2))
    first, second = late(np.full((3, 2), 5.0)), late(np.full((3, 2), 9.0))
    np.testing.assert_array_equal(first, np.zeros((3, 2)))
    np.testing.assert_array_equal(second, np.full((3, 2), 6.0))
