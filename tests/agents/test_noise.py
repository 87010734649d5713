"""Taking the market's noise out of advantages: nothing that is subtracted may depend on what was chosen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer

from mtquant.agents.learning.noise import QuietRolloutBuffer
from mtquant.agents.learning.ppo import noise_variates, without_noise
from mtquant.context import Streams
from mtquant.envs.games.joint import META
from mtquant.envs.games.meta_controller import MetaControllerTrainingEnv
from mtquant.envs.vec_env import VecMarketEnv
from tests.envs.made import MADE, engine_of, squashed
from tests.tiny import tiny_dataset, tiny_spec

STEPS, SAMPLES = 15, 4


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), shocks=st.integers(1, 3), width=st.integers(1, 3))
def test_variates_are_states_times_decayed_sums_of_later_moves_of_the_same_episode(seed, shocks, width):
    rng = Streams(seed).rng("x")
    shock = rng.standard_normal((STEPS, SAMPLES, shocks)).astype(np.float32)
    state = rng.standard_normal((STEPS, SAMPLES, shocks, width)).astype(np.float32)
    start, done = rng.random((STEPS, SAMPLES)) < 0.2, rng.random(SAMPLES) < 0.5
    decays = (0.9, 0.3)
    found = noise_variates(shock, state, start, done, decays).reshape(STEPS, SAMPLES, shocks, width, 2)
    for t in range(STEPS):
        for b in range(SAMPLES):
            ends = next((u for u in range(t + 1, STEPS) if start[u, b]), STEPS)
            for place, decay in enumerate(decays):
                total = sum(decay ** (u - t) * shock[u, b].astype(float) for u in range(t, ends))
                np.testing.assert_allclose(found[t, b, :, :, place], state[t, b] * total[:, None], rtol=1e-4, atol=1e-4)


def test_what_the_moves_explain_is_removed_and_the_rest_stays():
    rng = Streams(1).rng("x")
    variates = rng.standard_normal((200, 50, 3)).astype(np.float32)
    signal = rng.standard_normal((200, 50, 2)).astype(np.float32)
    noise = variates @ np.array([[5.0, 0.0], [0.0, -3.0], [1.0, 1.0]], dtype=np.float32)
    cleaned = without_noise(signal + noise + 0.7, variates)
    np.testing.assert_allclose(cleaned, signal + 0.7, atol=0.15)
    assert cleaned.var() < 1.05 * signal.var() < 0.2 * (signal + noise).var()


def test_a_market_that_does_not_move_changes_nothing():
    advantage = Streams(2).rng("x").standard_normal((10, 4, 1)).astype(np.float32)
    np.testing.assert_array_equal(without_noise(advantage, np.zeros((10, 4, 3), np.float32)), advantage)


def specialists() -> VecMarketEnv:
    game = MADE["specialist"](tiny_dataset(), tiny_spec())
    return VecMarketEnv(engine_of(game, 6), "forex")


def portfolios() -> VecMarketEnv:
    dataset, spec = tiny_dataset(), tiny_spec()
    game = MADE["joint-phase2"](dataset, spec)
    acts = {group: squashed(game.actions(group).size) for group in spec.groups}
    return MetaControllerTrainingEnv(dataset, spec, dataset.splits.train, acts, rows=6, rng=Streams(0).rng("e"))


@pytest.mark.parametrize("make", [specialists, portfolios])
def test_no_choice_changes_the_recorded_moves(make):
    """Whatever an agent does, the moves stay, and the states before its first choice too."""
    found = []
    for size in (-0.8, 0.0, 0.9):
        env = make()
        env.record_noise = True
        env.seed(4)
        env.reset()
        for _ in range(10):
            env.step(np.full((6, env.action_space.shape[0]), size))
        found.append(env.recorded_noise())
        equity = env.engine.sim.state.equity
        assert (equity != 100_000.0).all() or size == 0.0
    for shock, state in found[1:]:
        np.testing.assert_array_equal(shock, found[0][0])
        np.testing.assert_array_equal(state[0], found[0][1][0])
    assert np.abs(found[0][0]).max() > 0.1


def test_joint_specialists_record_their_own_instruments_moves():
    game = MADE["joint"](tiny_dataset(), tiny_spec())
    engine = engine_of(game, 3)
    engine.begin(stagger=False)
    t = engine.sim.state.t.copy()
    result = engine.play({}).result
    close, scale = game.dataset.market.close, game.dataset.point_volatility
    moves = (close[t + 1] - close[t]) / scale[t]
    for group, slots in game.members.items():
        shock = game.noise_shock(group, engine.table, result)
        np.testing.assert_allclose(shock, moves[:, slots].reshape(-1, 1), rtol=1e-6)
        state = game.noise_state(group, engine.table)
        assert state.shape[:2] == shock.shape
    assert game.noise_shock(META, engine.table, result).shape == (3, 3)


def test_critics_still_learn_the_whole_returns():
    env = specialists()
    env.record_noise = True
    env.seed(1)
    sizes = {"gamma": 0.9, "gae_lambda": 0.95, "n_envs": 6}
    plain = RolloutBuffer(16, env.observation_space, env.action_space, **sizes)
    quiet = QuietRolloutBuffer(16, env.observation_space, env.action_space, source=env, persistence=(1.0, 0.7), **sizes)
    seen = env.reset()
    start = np.ones(6, dtype=bool)
    rng = Streams(0).rng("a")
    for _ in range(16):
        action = rng.uniform(-1, 1, (6, 1)).astype(np.float32)
        after, reward, done, _ = env.step(action)
        for buffer in (plain, quiet):
            buffer.add(seen, action, reward, start, torch.zeros(6), torch.zeros(6))
        seen, start = after, done
    for buffer in (plain, quiet):
        buffer.compute_returns_and_advantage(torch.zeros(6), start)
    np.testing.assert_array_equal(quiet.returns, plain.returns)
    assert quiet.advantages.var() < plain.advantages.var()
    assert quiet.noise_removed == pytest.approx(1.0 - quiet.advantages.var() / plain.advantages.var(), rel=1e-5)
    quiet.reset()
    assert len(env.recorded_noise()[0]) == 0
