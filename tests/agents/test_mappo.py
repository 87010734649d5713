"""The learner of a group: SB3's loss with one agent, masks, what the critic sees, and exact state."""

import json

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import DummyVecEnv

from mtquant.agents.learning.mappo import Batch, MAPPOLearner
from mtquant.agents.learning.ppo import normalise, value_terms
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.learning.team_play import groups_of
from tests.agents.teams import learners, rollout, rows_of, settings
from tests.envs.teams import Duel, Fading, Solo


class Silent(BaseCallback):
    def _on_step(self) -> bool:
        return True


def collected(name: str) -> PPO:
    """Return SB3's learner with one rollout collected, its policy moved since."""
    import gymnasium

    seed_everything(1)
    env = DummyVecEnv([lambda: gymnasium.make(name)] * 4)
    model = PPO(
        "MlpPolicy",
        env,
        n_steps=16,
        batch_size=64,
        n_epochs=1,
        ent_coef=0.02,
        learning_rate=1e-9,
        max_grad_norm=1e9,
        policy_kwargs={"net_arch": {"pi": [8], "vf": [8]}},
        seed=0,
        device="cpu",
    )
    _, callback = model._setup_learn(64, Silent())
    model.collect_rollouts(env, callback, model.rollout_buffer, 16)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape))
    return model


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_with_one_agent_the_loss_is_that_of_sb3(name):
    model = collected(name)
    config = settings(ent_coef=0.02, value_clip_range=None, huber_delta=1e9)
    env = rows_of(lambda: Solo(name), config)
    (learner,) = learners(env, config).values()
    moved = {
        n: p for n, p in model.policy.state_dict().items() if not n.startswith(("value_net", "mlp_extractor.value"))
    }
    learner.policy.load_state_dict(moved, strict=False)
    (batch,) = list(model.rollout_buffer.get(None))
    count = len(batch.returns)
    found = learner.policy_loss(
        Batch(
            batch.observations,
            torch.zeros(count, 0),
            batch.actions.reshape(count, -1),
            batch.old_log_prob,
            normalise(batch.advantages),
            batch.returns,
            batch.old_values,
            torch.ones(count, dtype=torch.bool),
        )
    )
    value = model.policy.predict_values(batch.observations)[:, 0].detach()
    # SB3's mean squared error is twice a Huber loss that never turns linear
    value_loss = 2.0 * float(value_terms(value, batch.old_values, batch.returns, None, 1e9).mean())
    model.train()
    logged = model.logger.name_to_value
    assert found.clip_fraction > 0.05, "the clip must matter"
    assert float(found.surrogate.detach()) == pytest.approx(logged["train/policy_gradient_loss"], rel=1e-4)
    assert float(found.entropy.detach()) == pytest.approx(logged["train/entropy_loss"], rel=1e-5)
    assert found.approx_kl == pytest.approx(logged["train/approx_kl"], rel=1e-4)
    assert found.clip_fraction == pytest.approx(logged["train/clip_fraction"], rel=1e-5)
    assert value_loss == pytest.approx(logged["train/value_loss"], rel=1e-4)


def weights(learner: MAPPOLearner) -> dict[str, np.ndarray]:
    return {name: array for name, array in learner.state_dict()[0].items() if "optimizer" not in name}


def differing(one: dict[str, np.ndarray], two: dict[str, np.ndarray]) -> set[str]:
    return {name for name, array in one.items() if not np.array_equal(array, two[name])}


def test_agents_that_do_not_act_teach_the_policy_nothing():
    """Their actions and probabilities may be anything."""
    config = settings(n_steps=30, reward_structure="cooperative", n_epochs=3)
    env, samples = rollout(Fading, config)
    (group,) = samples.values()
    dead = ~group.active
    scrambled = group._replace(
        action=np.where(dead[..., None], np.float32(9.0), group.action),
        log_prob=np.where(dead, np.float32(-7.0), group.log_prob),
    )
    found = []
    for one in (group, scrambled):
        (learner,) = learners(env, config).values()
        learner.learn(one, 1.0)
        found.append(weights(learner))
    assert dead.any()
    assert not differing(*found)


def test_steps_without_a_turn_teach_nothing_at_all():
    config = settings(n_steps=40)
    env, samples = rollout(Fading, config)
    (group,) = samples.values()
    away = ~group.turn
    assert away.any()
    scrambled = group._replace(
        observation=np.where(away[..., None], np.float32(5.0), group.observation),
        action=np.where(away[..., None], np.float32(9.0), group.action),
    )
    found = []
    for one in (group, scrambled):
        (learner,) = learners(env, config).values()
        learner.learn(one, 1.0)
        found.append(weights(learner))
    assert not differing(*found)


@pytest.mark.parametrize("algorithm", ["mappo", "ippo"])
def test_only_a_centralised_critic_sees_the_state(algorithm):
    config = settings(algorithm=algorithm)
    env, samples = rollout(Duel, config)
    (group,) = samples.values()
    found = []
    for state in (group.state, group.state + 1.0):
        (learner,) = learners(env, config).values()
        learner.learn(group._replace(state=state), 1.0)
        found.append(weights(learner))
    assert bool(differing(*found)) == (algorithm == "mappo")


def test_the_critic_has_moved_and_explains_more():
    config = settings(n_steps=64, n_epochs=30, lr_critic=1e-2)
    env, samples = rollout(Fading, config)
    (group,) = samples.values()
    (learner,) = learners(env, config).values()
    first = learner.learn(group, 1.0)
    for _ in range(10):
        last = learner.learn(group, 1.0)
    assert last["explained_variance"] > max(0.5, first["explained_variance"])
    assert last["value_loss"] < first["value_loss"]


def test_a_linear_rate_ends_at_zero():
    config = settings(learning_rate_schedule="linear")
    env, samples = rollout(Duel, config)
    (group,) = samples.values()
    (learner,) = learners(env, config).values()
    before = weights(learner)
    learner.learn(group, 0.0)
    assert {name.split(".")[1] for name in differing(before, weights(learner))} == {"returns"}


def test_a_divergence_above_the_target_ends_the_passes():
    config = settings(n_epochs=50, learning_rate=0.05)
    env, samples = rollout(Fading, config)
    (group,) = samples.values()
    (free,), (held,) = (
        learners(env, config).values(),
        learners(env, settings(n_epochs=50, learning_rate=0.05, target_kl=0.01)).values(),
    )
    free.learn(group, 1.0)
    held.learn(group, 1.0)
    steps = [int(learner.actor_optimizer.state_dict()["state"][0]["step"]) for learner in (free, held)]
    assert steps[0] == 50 and 0 < steps[1] < 50


def test_minibatches_cover_the_rollout():
    config = settings(batch_size=10, n_epochs=1)
    env, samples = rollout(Duel, config)
    (group,) = samples.values()
    (learner,) = learners(env, config).values()
    learner.learn(group, 1.0)
    count = int(group.turn.sum())
    assert int(learner.critic_optimizer.state_dict()["state"][0]["step"]) == -(-count // 10)


def test_who_shares():
    env = rows_of(Duel, settings())
    (together,) = groups_of(env, share=True, identified=True)
    assert (together.name, together.agents) == ("shared", ("player_0", "player_1"))
    np.testing.assert_array_equal(together.identity, np.eye(2))
    assert groups_of(env, share=True, identified=False)[0].identity.shape == (2, 0)
    apart = groups_of(env, share=False, identified=True)
    assert [(g.name, g.identity.shape) for g in apart] == [("player_0", (1, 0)), ("player_1", (1, 0))]


def test_agents_that_see_or_choose_otherwise_do_not_share():
    from mpe2 import simple_speaker_listener_v4, simple_tag_v3

    env = rows_of(simple_speaker_listener_v4.parallel_env, settings())
    assert [g.agents for g in groups_of(env, share=True, identified=True)] == [("speaker_0",), ("listener_0",)]
    env = rows_of(simple_tag_v3.parallel_env, settings())
    names = [g.name for g in groups_of(env, share=True, identified=True)]
    assert names == ["shared-adversary_0", "agent_0"]


def test_a_learner_continues_to_the_last_bit():
    config = settings(batch_size=10)
    env, samples = rollout(Duel, config)
    (group,) = samples.values()
    (one,), (other,) = learners(env, config, 0).values(), learners(env, config, 1).values()
    one.learn(group, 1.0)
    arrays, values = one.state_dict()
    other.load_state_dict(arrays, json.loads(json.dumps(values)))
    for learner in (one, other):
        torch.manual_seed(3)
        learner.learn(group, 0.5)
    assert not differing(one.state_dict()[0], other.state_dict()[0])
