"""A name that no registry has is refused before training, with a suggestion."""

import pytest

from mtquant.config.agents import EvaluationSpec, FeatureSpec, Phase3Spec, RewardSpec
from mtquant.errors import ConfigError
from mtquant.execution.names import check_names
from tests.execution.real import small_spec


def test_the_defaults_exist():
    check_names(small_spec())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"phase3": Phase3Spec(aggregator={"name": "upgrat"})}, ("phase3.aggregator.name", "`upgrad`")),
        ({"phase3": Phase3Spec(reward=RewardSpec(name="log_retrun"))}, ("phase3.reward.name", "`log_return`")),
        ({"features": FeatureSpec(indicators=("rsi", "masd"))}, ("features.indicators[1]", "`macd`")),
        ({"evaluation": EvaluationSpec(baselines=("flat", "momentun"))}, ("evaluation.baselines[1]", "`momentum`")),
    ],
)
def test_a_wrong_name_says_where_and_what_was_meant(changes, words):
    with pytest.raises(ConfigError) as caught:
        check_names(small_spec(**changes))
    assert all(word in str(caught.value) for word in words)
