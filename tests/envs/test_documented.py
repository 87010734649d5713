"""The documented environments as PettingZoo's users meet them."""

import copy
import importlib
import pickle  # noqa: TID251 - users do; the package never loads one
import warnings
from functools import cache

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo.test import performance_benchmark
from pettingzoo.utils import aec_to_parallel

from mtquant.context import Streams
from mtquant.envs import team_v1
from mtquant.envs.conformance import CHECKS, ENVIRONMENTS, EXPECTED_WARNINGS, environment, run_check, strict
from mtquant.envs.games.order_engine import ExecutionEnv
from mtquant.errors import ConfigError, DataError, UsageError
from mtquant.types import Array
from tests.tiny import tiny_market

DOCUMENTED = {
    "strategic": ((48, 13), ("mlmi_expert", "nwrqk_expert", "regime_expert"), [3, 3, 3], 83),
    "tactical": ((60, 7), ("fvg_agent", "momentum_agent", "entry_opt_agent"), [3, 3, 3], 34),
    "risk": ((10,), ("position_sizing", "stop_target", "risk_monitor", "portfolio_optimizer"), [5] * 4, 21),
    "execution": (
        (19,),
        ("position_sizing", "stop_target", "risk_monitor", "portfolio_optimizer", "routing"),
        [1, 1, 1, 1, 3],
        27,
    ),
    "tactical-team": ((7,), ("tactical_agent", "risk_agent", "execution_agent"), [5] * 3, 13),
    "strategic-team": ((13,), ("strategic_agent", "portfolio_manager", "regime_detector"), [7] * 3, 19),
}
MODULES = {"strategic_v1": "strategic", "tactical_v1": "tactical", "risk_v1": "risk", "execution_v1": "execution"}
FEW = 40


def joint(env, rng) -> dict[str, Array]:
    """Return valid random actions of every agent, as its space gives them."""
    out = {}
    for agent in env.possible_agents:
        space = env.action_space(agent)
        out[agent] = rng.integers(space.n) if isinstance(space, Discrete) else rng.uniform(-1, 1, space.shape)
    return out


def played(env, actions) -> None:
    """Play one bar agent by agent."""
    for agent in env.possible_agents:
        assert env.agent_selection == agent
        env.step(actions[agent])


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_spaces_are_the_documented_ones(name):
    shape, agents, sizes, state = DOCUMENTED[name]
    env = environment(name).env().unwrapped
    assert tuple(env.possible_agents) == agents
    for agent, size in zip(agents, sizes, strict=True):
        seen, choices = env.observation_space(agent), env.action_space(agent)
        assert seen == Box(-np.inf, np.inf, shape, np.float32)
        assert seen is env.observation_space(agent) and choices is env.action_space(agent)
        assert choices == (Discrete(size) if name != "execution" else Box(-1.0, 1.0, (size,), np.float32))
    env.reset(seed=0)
    assert env.state().shape == (state,)
    assert all(env.observe(agent).shape == shape for agent in agents)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pettingzoo_tests_pass_for_few_cycles(name, check):
    assert run_check(name, check, FEW) == ""


@pytest.mark.slow
@pytest.mark.parametrize("check", ["api_test", "parallel_api_test", "seed_test", "parallel_seed_test"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pettingzoo_tests_pass_for_many_cycles(name, check):
    assert run_check(name, check, 1000) == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pettingzoo_benchmark_runs(name):
    with strict():
        performance_benchmark(environment(name).env())


def test_every_expected_warning_still_comes():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        CHECKS["api_test"](environment("strategic"), 2)
    for text in EXPECTED_WARNINGS:
        with warnings.catch_warnings(record=True) as left:
            warnings.simplefilter("always")
            warnings.filterwarnings("ignore", message=rf"(\x1b\[\d+m)?(WARN: )?{text}")
            for warning in seen:
                warnings.warn(str(warning.message), stacklevel=1)
        assert len(left) < len(seen), f"nothing warns about `{text}` any more"


@pytest.mark.parametrize(("module", "name"), MODULES.items())
def test_modules_are_what_pettingzoo_users_import(module, name):
    found = importlib.import_module(f"mtquant.envs.{module}")
    env = found.env(max_cycles=3)
    assert env.unwrapped.metadata["name"] == module
    assert isinstance(env.unwrapped, found.raw_env)
    assert tuple(found.parallel_env(max_cycles=3).possible_agents) == DOCUMENTED[name][1]


def test_team_modules_take_the_team():
    assert team_v1.env("strategic").unwrapped.metadata["name"] == "strategic_team_v1"
    assert team_v1.parallel_env("tactical").metadata["name"] == "tactical_team_v1"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_all_views_play_the_same(name):
    """Ledger, rewards and state of AEC, Parallel and batch, to the last bit, over the end of an episode."""
    made = environment(name)
    aec, parallel = made.env(max_cycles=8).unwrapped, made.parallel_env(max_cycles=8)
    batch = aec.batch(3, Streams(0).rng("batch"))
    batch.reset()
    arrays, values = batch.state_dict()
    single = {key: array[1:2] for key, array in arrays.items()}
    aec.reset()
    parallel.reset()
    for env in (aec, parallel):
        env.row.engine.load_state_dict(single, values)
    rng, done = Streams(1).rng("actions"), False
    while not done:
        actions = joint(aec, rng)
        for agent in batch.agents:
            np.testing.assert_array_equal(aec.observe(agent).ravel(), batch.observe(agent)[1])
            word = np.tile(np.asarray(actions[agent], dtype=np.float64).reshape(1, -1), (3, 1))
            batch.say(agent, word)
            aec.step(actions[agent])
        outcome = batch.step()
        seen, rewards, terminated, truncated, _ = parallel.step(actions)
        done = bool(outcome.done[1])
        for agent in batch.agents:
            assert aec.rewards[agent] == rewards[agent] == outcome.rewards[agent][1]
            np.testing.assert_array_equal(seen[agent].ravel(), batch.observe(agent)[1])
            assert (aec.terminations[agent], aec.truncations[agent]) == (terminated[agent], truncated[agent])
            assert (terminated[agent] or truncated[agent]) == done
        np.testing.assert_array_equal(aec.state(), batch.state()[1])
        np.testing.assert_array_equal(parallel.state(), batch.state()[1])
        for key, array in batch.state_dict()[0].items():
            np.testing.assert_array_equal(aec.row.engine.state_dict()[0][key], array[1:2], err_msg=key)
            np.testing.assert_array_equal(parallel.row.engine.state_dict()[0][key], array[1:2], err_msg=key)


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pettingzoo_conversion_plays_like_our_parallel_view(name):
    made = environment(name)
    ours, theirs = made.parallel_env(max_cycles=5), aec_to_parallel(made.env(max_cycles=5))
    ours.reset(seed=3)
    theirs.reset(seed=3)
    rng = Streams(2).rng("actions")
    while ours.agents:
        actions = joint(ours, rng)
        one, two = ours.step(actions), theirs.step(actions)
        for agent in actions:
            np.testing.assert_array_equal(one[0][agent], two[0][agent])
            assert one[1][agent] == two[1][agent]
    assert not theirs.agents


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda env: pickle.loads(pickle.dumps(env))])  # noqa: S301
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_copies_continue_like_the_original(name, copied):
    """Users copy and pickle environments; the package itself never loads a pickle."""
    env = environment(name).env(max_cycles=12)
    env.reset(seed=1)
    rng = Streams(0).rng("actions")
    for _ in range(3):
        played(env, joint(env, rng))
    other = copied(env)
    actions = [joint(env, rng) for _ in range(4)]
    for word in actions:
        played(env, word)
    untouched = other.unwrapped.row.engine.state_dict()[0]
    assert not np.array_equal(env.unwrapped.state(), other.unwrapped.state())
    for word in actions:
        played(other, word)
    assert env.rewards == other.rewards
    np.testing.assert_array_equal(env.unwrapped.state(), other.unwrapped.state())
    assert set(untouched) == set(env.unwrapped.row.engine.state_dict()[0])


@cache
def checked(name):
    """Return an environment in which every bar is held against the ledger (`watch.check`)."""
    return environment(name).parallel_env(config={"state_validation": True}, max_cycles=20)


def words(space) -> st.SearchStrategy:
    if isinstance(space, Discrete):
        return st.integers(0, int(space.n) - 1)
    size = space.shape[0]
    return st.lists(st.floats(-1, 1, width=32), min_size=size, max_size=size).map(np.array)


@pytest.mark.parametrize("name", ENVIRONMENTS)
@settings(max_examples=8)
@given(data=st.data())
def test_any_valid_actions_keep_observations_in_space_and_rewards_with_the_ledger(name, data):
    env = checked(name)
    env.reset(seed=data.draw(st.integers(0, 1000), label="seed"))
    every = st.fixed_dictionaries({agent: words(env.action_space(agent)) for agent in env.possible_agents})
    for actions in data.draw(st.lists(every, min_size=1, max_size=20), label="actions"):
        before = env.row.engine.state_dict()[0]
        seen, rewards, *_, infos = env.step(actions)
        for agent, observation in seen.items():
            assert np.isfinite(observation).all()
            assert env.observation_space(agent).contains(observation)
            parts = infos[agent]["reward_parts"]
            assert sum(parts.values()) == pytest.approx(rewards[agent], rel=1e-9, abs=1e-12)
        earned = profit_of(name, env, before)
        if earned is not None:
            assert infos[env.possible_agents[0]]["reward_parts"]["profit"] == pytest.approx(earned, rel=1e-9, abs=1e-9)
        if not env.agents:
            break


def profit_of(name, env, before) -> float | None:
    """Return the bar's profit in u0 from the accounts alone; None where the reward has no such part."""
    if name in ("execution", "risk"):
        return None
    equity = before["sim.equity"][0]
    return (env.row.engine.sim.state.equity[0] - equity) / equity / env.row.engine.game.unit_risk


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_invalid_actions_name_agent_and_what_is_allowed(name):
    env = environment(name).env(max_cycles=3)
    env.reset()
    agent = env.possible_agents[0]
    allowed = {
        "strategic": "0 SHORT, 1 NEUTRAL, 2 LONG",
        "tactical": "0 SHORT, 1 NEUTRAL, 2 LONG",
        "risk": "0 REDUCE_RISK, 1 SLIGHT_REDUCE, 2 MAINTAIN, 3 SLIGHT_INCREASE, 4 INCREASE_RISK",
        "execution": "1 numbers from -1 to 1",
        "tactical-team": "0 HOLD, 1 BUY_SMALL, 2 BUY_LARGE, 3 SELL_SMALL, 4 SELL_LARGE",
        "strategic-team": "5 REDUCE_RISK, 6 INCREASE_RISK",
    }[name]
    for bad in ([17.0], [-1.5], [np.nan], [0.0, 0.0], None) if name == "execution" else (17, -1, 0.5, [0, 0], None):
        with pytest.raises(UsageError, match=f"`{agent}` chose .*{allowed}"):
            env.step(bad)
    with pytest.raises(UsageError, match=r"no agent `nobody`.*" + agent):
        env.observation_space("nobody")


def test_a_silent_or_unknown_agent_and_a_finished_episode():
    env = environment("strategic").parallel_env(max_cycles=2)
    with pytest.raises(UsageError, match="reset"):
        env.step({})
    env.reset(seed=0)
    with pytest.raises(UsageError, match=r"`nobody`.*mlmi_expert"):
        env.step({"nobody": 1})
    env.step({"mlmi_expert": 2})
    env.step({})
    assert env.agents == []
    with pytest.raises(UsageError, match="reset"):
        env.step({})


def test_wrong_arguments_are_refused():
    with pytest.raises(ConfigError, match="matrx_shape"):
        environment("strategic").env({"strategic_marl": {"environment": {"matrx_shape": [48, 13]}}})
    with pytest.raises(UsageError, match="max_cycles"):
        environment("risk").env(max_cycles=0)
    with pytest.raises(UsageError, match=r"render_mode.*rgb_array"):
        environment("risk").env(render_mode="video")
    with pytest.raises(UsageError, match="bars"):
        ExecutionEnv(bars=tiny_market())
    with pytest.raises(UsageError, match=r"strategc.*Did you mean `strategic`"):
        environment("strategc")
    with pytest.raises(DataError, match="absent"):
        environment("tactical").env(bars="absent.csv")


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_pictures_and_texts_show_the_episode(name, capsys):
    made = environment(name)
    picture, text = made.env(render_mode="rgb_array").unwrapped, made.env(render_mode="ansi").unwrapped
    screen, blind = made.env(render_mode="human").unwrapped, made.env().unwrapped
    for env in (picture, text, screen, blind):
        env.reset(seed=2)
    empty = picture.render()
    rng = Streams(0).rng("actions")
    for _ in range(5):
        actions = joint(picture, rng)
        for env in (picture, text, screen, blind):
            played(env, actions)
    assert empty.shape == picture.render().shape == (480, 640, 3)
    assert not np.array_equal(empty, picture.render())
    shown = text.render()
    assert shown.startswith(f"{text.metadata['name']}: bar 5, equity ")
    assert all(agent in shown for agent in text.possible_agents)
    assert screen.render() is None and capsys.readouterr().out == shown + "\n"
    assert blind.render() is None


def test_debug_mode_logs_measures_and_checks(caplog):
    env = environment("tactical").env({"debug": True}).unwrapped
    env.reset(seed=0)
    with caplog.at_level("DEBUG", logger="mtquant.envs.watch"):
        for _ in range(3):
            played(env, dict.fromkeys(env.possible_agents, 2))
    assert len(caplog.records) == 3
    assert "fvg_agent: LONG" in caplog.text
    assert env.performance()["bars"] == 3
    engine = env.row.engine
    engine.sim.state = engine.sim.state._replace(equity=engine.sim.state.equity + 1.0)
    with pytest.raises(FloatingPointError, match="booked"):
        played(env, dict.fromkeys(env.possible_agents, 0))
    assert environment("tactical").env().unwrapped.performance() == {}
