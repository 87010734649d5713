"""What Stable-Baselines3 relies on: automatic restarts, staggered starts, sums over episodes, exact state."""

import numpy as np
import pytest

from mtquant.config.agents import EnvironmentSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.envs.gym_env import MarketGymEnv
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.errors import UsageError
from tests.envs.made import MADE, engine_of
from tests.tiny import SYMBOLS, tiny_dataset, tiny_spec

ROWS = 16


def specialist_view(seed: int = 0, rows: int = ROWS) -> VecMarketEnv:
    game = MADE["specialist"](tiny_dataset(), tiny_spec())
    return VecMarketEnv(engine_of(game, rows, seed), game.agents[0])


def play(env: VecMarketEnv, bars: int, seed: int = 0):
    rng = Streams(seed).rng("actions")
    return [env.step(rng.uniform(-1, 1, (env.num_envs, 1))) for _ in range(bars)]


def test_infos_carry_the_whole_episode():
    env = specialist_view()
    env.reset()
    earned, lengths, ended = np.zeros(ROWS), np.zeros(ROWS, int), 0
    for _, reward, done, infos in play(env, 150):
        earned += reward
        lengths += 1
        for row in np.flatnonzero(done):
            ended += 1
            assert infos[row]["episode"]["r"] == pytest.approx(earned[row], rel=1e-5, abs=1e-5)
            assert infos[row]["episode"]["l"] == lengths[row]
            earned[row], lengths[row] = 0.0, 0
        assert all(info == {} for row, info in enumerate(infos) if not done[row])
    assert ended >= 2 * ROWS


def test_episodes_start_staggered_and_are_whole_afterwards():
    env = specialist_view(rows=64)
    env.reset()
    first, second = np.zeros(64, int), np.zeros(64, int)
    for bar, (_, _, done, _) in enumerate(play(env, 121), start=1):
        second = np.where(done & (first > 0) & (second == 0), bar - first, second)
        first = np.where(done & (first == 0), bar, first)
    assert len(set(first.tolist())) > 20
    assert first.max() <= 60
    assert set(second[second > 0].tolist()) == {60}


def test_restarted_rows_show_a_flat_account_and_others_go_on():
    env = specialist_view()
    env.reset()
    rng = Streams(0).rng("actions")
    for _ in range(70):
        seen, _, done, infos = env.step(rng.uniform(-1, 1, (ROWS, 1)))
        at = env.engine.game.layout("forex").slice("position").start
        assert (seen[done, at] == 0.0).all()
        for row in np.flatnonzero(done):
            assert infos[row]["terminal_observation"][at] != 0.0
    assert (env.engine.sim.state.cash[done] == env.engine.sim.rules.initial_capital).all()


def test_state_continues_exactly_in_another_process_view():
    env = specialist_view()
    env.reset()
    play(env, 30)
    arrays, values = env.state_dict()
    kept = {name: array.copy() for name, array in arrays.items()}
    expected = play(env, 100, seed=5)
    other = specialist_view(seed=99)
    other.load_state_dict(kept, values)
    for (seen, reward, done, infos), (again, paid, over, news) in zip(expected, play(other, 100, seed=5), strict=True):
        np.testing.assert_array_equal(seen, again)
        np.testing.assert_array_equal(reward, paid)
        np.testing.assert_array_equal(done, over)
        assert [info.get("episode") for info in infos] == [info.get("episode") for info in news]
    for name, array in kept.items():
        np.testing.assert_array_equal(array, arrays[name], err_msg=f"the snapshot's {name} changed while playing on")


def test_same_seed_same_episodes_and_other_seed_others():
    def starts(seed: int) -> list[int]:
        env = specialist_view()
        assert env.seed(seed) == [seed] * ROWS
        env.reset()
        return env.engine.sim.state.t.tolist()

    assert starts(3) == starts(3) != starts(4)


def test_ruin_terminates_and_is_not_called_a_cut():
    environment = EnvironmentSpec(instruments=SYMBOLS, episode_length=60, warmup_steps=10)
    spec = tiny_spec(environment=environment, limits=LimitsSpec(enabled=False))
    game = MADE["portfolio"](tiny_dataset(), spec)
    env = VecMarketEnv(engine_of(game, 8), "portfolio")
    env.reset()
    ruins = 0
    for _ in range(30):
        equity = env.engine.sim.state.equity
        assert (equity > 0.05 * environment.initial_capital).all(), "a ruined row must have been restarted"
        _, reward, done, infos = env.step(np.full((8, 4), 50.0))
        assert np.isfinite(reward).all()
        ruins += sum(not infos[row]["TimeLimit.truncated"] for row in np.flatnonzero(done))
    assert ruins > 0


def test_wrong_use_is_named():
    game = MADE["joint"](tiny_dataset(), tiny_spec())
    with pytest.raises(UsageError, match=r"\['forex', 'commodities', 'equity'\] of joint_v0 need a policy"):
        VecMarketEnv(engine_of(game, 2), "meta")
    with pytest.raises(UsageError, match="need a policy"):
        MarketGymEnv(game, game.dataset.splits.train, "meta", {"forex": np.tanh})
    with pytest.raises(UsageError, match="reset"):
        specialist_view().step(np.zeros((ROWS, 1)))
    view = specialist_view()
    view.reset()
    with pytest.raises(FloatingPointError, match="forex"):
        view.step(np.full((ROWS, 1), np.nan))
    game = MADE["specialist"](tiny_dataset(), tiny_spec())
    alone = MarketGymEnv(game, game.dataset.splits.train, "forex")
    with pytest.raises(UsageError, match="reset"):
        alone.step(np.zeros(1))


def test_attributes_and_methods_answer_once_per_row():
    env = specialist_view()
    assert env.get_attr("bars") == [1] * ROWS
    assert env.get_attr("bars", [0, 3]) == [1, 1]
    env.set_attr("bars", 2)
    assert env.bars == 2
    assert env.env_is_wrapped(object, 1) == [False]
    assert len(env.env_method("seed", 1, indices=[0])) == 1
