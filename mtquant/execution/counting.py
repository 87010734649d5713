"""Counting what was tried: a measured policy goes into the store's record of trials and is judged among the others."""

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.evaluation.assess import Assessor
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import by_day
from mtquant.evaluation.skill import judge_skill
from mtquant.evaluation.trials import Search, judge_search
from mtquant.store.explanation import CLOCK, MACRO, SPLITS
from mtquant.store.trials import Trial, market_of, read_trials, record_trial
from mtquant.store.units import UnitHandle, UnitSpec

POLICY = "phase3-joint"
"""Unit whose key says which policies a trial measured."""


def count_trial(
    spec: PipelineSpec, unit: UnitSpec, handle: UnitHandle, assessor: Assessor, result: BacktestResult, policy: str
) -> Search:
    """Record `result` as a trial and return what is left of it among all trials on the same bars and split.

    `policy` is a digest of what was trained: measured again, by whatever code, it is the same trial.
    """
    days = by_day(result, assessor.clock, assessor.measuring)
    index = assessor.clock.days()
    own = Trial(
        policy=policy,
        split=spec.evaluation.split,
        sharpe=judge_skill(days.returns, days.per_year, free=assessor.measuring.risk_free_rate).sharpe,
        passes=np.repeat(np.arange(len(index)), [len(day) for day in index]).tolist(),
        days=np.concatenate(index).tolist(),
        returns=np.concatenate(days.returns).tolist(),
    )
    root, market = handle.unit.root, market_of(unit.inputs["data"], SPLITS, CLOCK, MACRO)
    record_trial(root, market, own)
    trials = read_trials(root, market, own.split)
    return judge_search(
        own, trials, days, earlier=spec.evaluation.earlier_trials, free=assessor.measuring.risk_free_rate
    )
