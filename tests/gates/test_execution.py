"""The execution gate without its budget: a unit that is reused, continued, and measured against the closed form."""

import numpy as np
import pytest
from stable_baselines3.common.policies import ActorCriticPolicy

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.policy import build_policy, hold, policy_arguments
from mtquant.envs.games.execution import AGENT, ExecutionGame
from mtquant.gates.execution import ExcessOverTwap, ExecutionTraining, finish_execution
from mtquant.synthetic.almgren_chriss import ExecutionParams

SHORT = ExecutionTraining(2560)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


def test_a_training_is_done_once(store):
    first = finish_execution(store, SHORT, 0)
    again = finish_execution(store, SHORT, 0)
    assert first.keys == again.keys
    assert again.unit.attempts() == 1
    assert [line.step for line in first.unit.journal.read()] == [2560]
    done = first.unit.verify()
    assert done.outputs == {f"{AGENT}/weights": first.bundle().digest}


def test_seed_and_settings_make_another_unit(store):
    key = finish_execution(store, SHORT, 0).keys
    other = finish_execution(store, SHORT, 1)
    assert other.keys != key
    assert other.config_digest == finish_execution(store, SHORT, 0).config_digest
    calm = ExecutionTraining(2560, ExecutionParams(risk_aversion=50.0))
    assert finish_execution(store, calm, 0).keys != key


class Run:
    """A finished run whose agent sells the same share of the remainder in every step."""

    params = ExecutionParams()

    def __init__(self, action):
        game = ExecutionGame(self.params)
        arguments = policy_arguments(
            game.normaliser(), actor_hidden=(), critic_hidden=(), log_std_init=0.0, weight_decay=0.0
        )
        policy: ActorCriticPolicy = build_policy(game.layout.space(), game.actions.space(), 0.0, arguments)
        hold(policy, action)
        self.made = PolicyBundle(AGENT, game.layout, game.actions, (), (), (), 10.0, policy, False)

    def bundle(self):
        return self.made


def test_the_measure_is_the_share_of_the_gain_over_twap():
    # A constant share nearly is the optimum here, because the holding decays at a nearly constant rate.
    kappa = Run.params.kappa * Run.params.tau
    constant = ExcessOverTwap()(Run(2.0 * (1.0 - np.exp(-kappa)) - 1.0))
    assert 0.9 < constant.value < 1.0
    assert constant.low == constant.value == constant.high
    assert ExcessOverTwap()(Run(1.0)).value < -1.0, "selling at once is worse than TWAP"
    assert ExcessOverTwap()(Run(-1.0)).value < -1.0, "so is waiting for the end"
