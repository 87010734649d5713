"""Alarms: each goes off on a journal that deserves it, and on no other."""

import math

import pytest

from mtquant.evaluation.alarms import PERSISTENCE, RULES, alarms
from mtquant.store.journal import JournalLine

SOUND = {
    "approx_kl": 0.005,
    "clip_fraction": 0.05,
    "explained_variance": 0.05,
    "policy_loss": -0.001,
    "value_loss": 2.0,
    "action_std": 0.25,
    "reward_per_step": 0.01,
    "exposure_size": 0.4,
    "exposure_common": 0.05,
    "turnover_per_bar": 0.2,
}
BROKEN = {
    "not a number": {"value_loss": math.nan},
    "action_std": {"action_std": 0.25 * 0.04},
    "explained_variance": {"explained_variance": -0.8},
    "approx_kl": {"approx_kl": 0.3},
    "exposure_common": {"exposure_common": 0.99},
    "turnover": {"turnover_per_bar": 0.7},
}


def journal(count=20, broken=None, at=(), agent=""):
    """Return lines of which those `at` carry what is `broken`."""
    head = f"{agent}/" if agent else ""
    return [
        JournalLine(1000 * (i + 1), 0.0, {head + k: v for k, v in (SOUND | (broken or {} if i in at else {})).items()})
        for i in range(count)
    ]


def test_every_rule_has_a_case():
    assert set(BROKEN) == set(RULES)


def test_a_sound_journal_is_quiet():
    assert alarms(journal()) == ()
    assert alarms([]) == ()


@pytest.mark.parametrize("agent", ["", "forex"])
@pytest.mark.parametrize("rule", RULES)
def test_each_alarm_goes_off_where_it_should(rule, agent):
    found = alarms(journal(broken=BROKEN[rule], at=range(10, 20), agent=agent))
    assert [(alarm.rule, alarm.agent) for alarm in found] == [(rule, agent)]
    assert found[0].step == 1000 * (10 + (1 if rule == "not a number" else PERSISTENCE))
    assert rule in str(found[0])


@pytest.mark.parametrize("rule", [name for name in RULES if name != "not a number"])
def test_a_bad_update_or_two_are_none(rule):
    assert alarms(journal(broken=BROKEN[rule], at=(8, 9, 11, 12))) == ()


def test_an_undefined_explained_variance_is_no_alarm():
    assert alarms(journal(broken={"explained_variance": math.nan}, at=range(20))) == ()


def test_a_critic_may_begin_badly():
    assert alarms(journal(broken=BROKEN["explained_variance"], at=range(5))) == ()
    assert len(alarms(journal(broken=BROKEN["explained_variance"], at=range(8)))) == 1


def test_metrics_that_a_journal_does_not_have_are_left_out():
    lines = [JournalLine(i, 0.0, {"utility_per_bar": 0.01}) for i in range(10)]
    assert alarms(lines) == ()


def test_agents_are_told_apart():
    lines = [
        JournalLine(i, 0.0, {"forex/approx_kl": 0.5, "meta/approx_kl": 0.001, "utility_per_bar": 0.0})
        for i in range(10)
    ]
    assert [(alarm.agent, alarm.rule) for alarm in alarms(lines)] == [("forex", "approx_kl")]
