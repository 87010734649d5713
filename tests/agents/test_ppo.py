"""Our loss and advantages are Stable-Baselines3's on the same batch."""

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback

from mtquant.agents.learning.algorithms import build_ppo
from mtquant.agents.learning.ppo import advantages, advantages_of_turns, normalise, ppo_losses, value_terms
from mtquant.agents.learning.state import seed_everything
from mtquant.config.phases import PPOSpec
from mtquant.context import Streams
from mtquant.envs.spaces import Normaliser
from mtquant.envs.vec_env import VecMarketEnv
from tests.envs.made import MADE, engine_of
from tests.tiny import tiny_dataset, tiny_spec

STEPS, ROWS = 12, 5


def episodes(seed: int) -> tuple[np.ndarray, ...]:
    rng = Streams(seed).rng("rollout")
    reward = rng.standard_normal((STEPS, ROWS)).astype(np.float32)
    value = rng.standard_normal((STEPS, ROWS)).astype(np.float32)
    start = rng.random((STEPS, ROWS)) < 0.3
    return reward, value, rng.standard_normal(ROWS).astype(np.float32), start, rng.random(ROWS) < 0.3


@settings(max_examples=30)
@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 1), lam=st.floats(0, 1))
def test_advantages_are_those_of_the_rollout_buffer(seed, gamma, lam):
    reward, value, last, start, done = episodes(seed)
    space = Box(-1, 1, (1,))
    buffer = RolloutBuffer(STEPS, space, space, gae_lambda=lam, gamma=gamma, n_envs=ROWS)
    buffer.reset()
    for step in range(STEPS):
        blank = np.zeros((ROWS, 1), np.float32)
        buffer.add(blank, blank, reward[step], start[step], torch.from_numpy(value[step]), torch.zeros(ROWS))
    buffer.compute_returns_and_advantage(torch.from_numpy(last), done)
    ours = advantages(reward, value, last, start, done, gamma, lam)
    np.testing.assert_array_equal(ours, buffer.advantages)


@settings(max_examples=20)
@given(seed=st.integers(0, 10_000))
def test_advantages_of_several_streams_are_those_of_each(seed):
    first, second = episodes(seed), episodes(seed + 1)
    ends = first[3:]
    both = advantages(
        np.stack([first[0], second[0]], axis=-1),
        np.stack([first[1], second[1]], axis=-1),
        np.stack([first[2], second[2]], axis=-1),
        *ends,
        0.9,
        0.95,
    )
    for stream, (reward, value, last, *_) in enumerate((first, second)):
        np.testing.assert_array_equal(both[..., stream], advantages(reward, value, last, *ends, 0.9, 0.95))


def estimates_of_one_stream(rewards, values, last, ends, gamma, lam):
    """Return generalised advantage estimates of turns that follow each other, by their definition."""
    count = len(rewards)
    out = np.zeros(count)
    for first in range(count):
        weight = 1.0
        for turn in range(first, count):
            following = 0.0 if ends[turn] else last if turn == count - 1 else values[turn + 1]
            out[first] += weight * (rewards[turn] + gamma * following - values[turn])
            weight *= gamma * lam
            if ends[turn]:
                break
    return out


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), gamma=st.floats(0, 1), lam=st.floats(0, 1), often=st.floats(0.1, 1.0))
def test_advantages_of_turns_are_those_of_the_turns_alone(seed, gamma, lam, often):
    """Steps without a turn are left out; what they pay belongs to the turn before."""
    rng = Streams(seed).rng("turns")
    reward, value = (rng.standard_normal((STEPS, ROWS)).astype(np.float32) for _ in range(2))
    last = rng.standard_normal(ROWS).astype(np.float32)
    ends, turn = rng.random((STEPS, ROWS)) < 0.2, rng.random((STEPS, ROWS)) < often
    found = advantages_of_turns(reward, value, last, ends, turn, gamma, lam)
    assert (found[~turn] == 0.0).all()
    for row in range(ROWS):
        places = np.flatnonzero(turn[:, row])
        # a stream that ended without a turn in its last step ended with the turn before
        paid, over = [], []
        for place, after in zip(places, [*places[1:], STEPS], strict=len(places) > 0):
            gap = np.arange(place, after)
            ended = np.flatnonzero(ends[gap, row])
            paid.append(reward[gap[: ended[0] + 1] if len(ended) else gap, row].sum())
            over.append(bool(len(ended)))
        expected = estimates_of_one_stream(paid, value[places, row], last[row], over, gamma, lam)
        np.testing.assert_allclose(found[places, row], expected, rtol=1e-4, atol=1e-4)


def test_values_pay_for_the_worse_of_two_errors():
    target, before = torch.tensor([0.0, 0.0, 5.0]), torch.tensor([1.0, 1.0, 1.0])
    value = torch.tensor([0.9, 0.0, 1.1], requires_grad=True)
    free = value_terms(value, before, target, None, 10.0)
    torch.testing.assert_close(free, 0.5 * (value - target) ** 2)
    clipped = value_terms(value, before, target, 0.2, 10.0)
    torch.testing.assert_close(clipped, torch.tensor([0.5 * 0.81, 0.5 * 0.64, 0.5 * 3.9**2]))
    clipped.sum().backward()
    # the second has moved beyond the clip, towards its target: it is not pulled on
    assert (value.grad == 0).tolist() == [False, True, False]
    assert float(value_terms(value, before, target, None, 1.0)[2].detach()) == pytest.approx(3.9 - 0.5)


class Silent(BaseCallback):
    def _on_step(self) -> bool:
        return True


def collected(ent_coef: float) -> PPO:
    """Return a learner that has collected one rollout and whose policy has moved since."""
    seed_everything(3)
    game = MADE["specialist"](tiny_dataset(), tiny_spec())
    env = VecMarketEnv(engine_of(game, 8), game.agents[0])
    spec = PPOSpec(
        n_envs=8,
        n_steps=16,
        batch_size=128,
        n_epochs=1,
        ent_coef=ent_coef,
        max_grad_norm=1e9,
        actor_hidden=(8,),
        critic_hidden=(8,),
        learning_rate_schedule="constant",
        learning_rate=1.0,
        noise_baseline=False,
    )
    width = game.layout("forex").width
    model = build_ppo(
        env,
        spec,
        128,
        normaliser=Normaliser(np.zeros(width, np.float32), np.ones(width, np.float32), 10.0),
        seed=3,
        device="cpu",
        persistence=(1.0,),
    )
    _, callback = model._setup_learn(128, Silent())
    model.collect_rollouts(env, callback, model.rollout_buffer, 16)
    rng = Streams(0).rng("move")
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.add_(torch.from_numpy(0.3 * rng.standard_normal(tuple(parameter.shape)).astype(np.float32)))
    return model


@pytest.mark.parametrize("ent_coef", [0.0, 0.02])
def test_loss_has_the_gradient_of_sb3(ent_coef):
    model = collected(ent_coef)
    policy, buffer = model.policy, model.rollout_buffer
    policy.optimizer = torch.optim.SGD(policy.parameters(), lr=1.0)
    before = [p.detach().clone() for p in policy.parameters()]
    (batch,) = list(buffer.get(None))
    value, log_prob, entropy = policy.evaluate_actions(batch.observations, batch.actions)
    found = ppo_losses(log_prob, entropy, batch.old_log_prob, normalise(batch.advantages), 0.2)
    value_loss = torch.nn.functional.mse_loss(batch.returns, value.flatten())
    loss = found.surrogate + ent_coef * found.entropy + 0.5 * value_loss
    expected = torch.autograd.grad(loss, list(policy.parameters()))
    model.train()
    moved = [old - p.detach() for old, p in zip(before, policy.parameters(), strict=True)]
    assert max(float(g.abs().max()) for g in expected) > 0.01
    for gradient, step in zip(expected, moved, strict=True):
        torch.testing.assert_close(step, gradient, rtol=1e-4, atol=1e-6)
    logged = model.logger.name_to_value
    assert 0.05 < found.clip_fraction < 1.0, "the clip must matter"
    assert found.clip_fraction == pytest.approx(logged["train/clip_fraction"], rel=1e-5)
    assert found.approx_kl == pytest.approx(logged["train/approx_kl"], rel=1e-4)
    assert float(found.surrogate.detach()) == pytest.approx(logged["train/policy_gradient_loss"], rel=1e-4)
    assert float(found.entropy.detach()) == pytest.approx(logged["train/entropy_loss"], rel=1e-5)


def test_clipped_samples_pull_no_further():
    ratio = torch.tensor([1.5, 1.5, 0.5, 0.5])
    log_prob = torch.log(ratio).requires_grad_()
    advantage = torch.tensor([1.0, -1.0, 1.0, -1.0])
    loss = ppo_losses(log_prob, torch.zeros(4), torch.zeros(4), advantage, 0.2)
    loss.surrogate.backward()
    assert (log_prob.grad == 0).tolist() == [True, False, False, True]
    assert float(loss.surrogate.detach()) == pytest.approx(-(1.2 - 1.5 + 0.5 - 0.8) / 4)
    assert loss.clip_fraction == 1.0
