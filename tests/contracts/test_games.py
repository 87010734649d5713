"""Every game: spaces that fit, observations that change nothing, rewards for every agent, exact repetition."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.envs.games import GAMES
from mtquant.envs.spaces import Choice
from mtquant.errors import UsageError
from tests.contracts.asserts import assert_same_twice
from tests.envs.made import MADE, engine_of, joint_actions
from tests.tiny import tiny_dataset, tiny_spec

ROWS = 7


@pytest.fixture(params=MADE)
def game(request):
    return MADE[request.param](tiny_dataset(missing=0.2), tiny_spec())


def test_no_game_is_left_out():
    made = {type(make(tiny_dataset(), tiny_spec())) for make in MADE.values()}
    assert made == set(GAMES.values())


def test_names_and_agents(game):
    assert game.name.rsplit("_v", 1)[1].isdigit()
    assert len(set(game.agents)) == len(game.agents) > 0


def test_observations_fit_their_layout(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=True)
    for agent in game.agents:
        layout = game.layout(agent)
        seen = engine.observe(agent)
        assert seen.shape == (ROWS, layout.width)
        assert np.isfinite(seen).all()
        assert layout.space().contains(seen[0].astype(np.float32))
        names = [name for name, _ in layout.blocks]
        assert len(set(names)) == len(names)
        assert layout.slice(names[-1]).stop == layout.width


def test_observing_changes_nothing(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=True)
    engine.play(joint_actions(game, Streams(0).rng("a"), ROWS))
    before = engine.state_dict()[0]
    for agent in (*game.agents, *reversed(game.agents)):
        np.testing.assert_array_equal(engine.observe(agent), engine.observe(agent))
    for name, array in engine.state_dict()[0].items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_every_agent_is_paid_a_finite_reward(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=True)
    rng = Streams(0).rng("a")
    for _ in range(70):
        outcome = engine.play(joint_actions(game, rng, ROWS))
        assert tuple(outcome.rewards) == game.agents
        for reward in outcome.rewards.values():
            assert reward.shape == (ROWS,)
            assert np.isfinite(reward).all()
        if outcome.done.any():
            engine.restart(outcome.done)


def test_words_beyond_the_bounds_count_as_the_bounds(game):
    if any(isinstance(game.actions(a), Choice) for a in game.agents):
        pytest.skip("choices have no bounds to be cut to")
    rng = Streams(1).rng("a")
    free, bound = engine_of(game, ROWS), engine_of(game, ROWS)
    for engine in (free, bound):
        engine.begin(stagger=False)
    for _ in range(10):
        actions = {a: 100.0 * rng.standard_normal((ROWS, game.actions(a).size)) for a in game.agents}
        cut = {a: np.clip(x, game.actions(a).low, game.actions(a).high) for a, x in actions.items()}
        paid, expected = free.play(actions).rewards, bound.play(cut).rewards
        for agent in game.agents:
            np.testing.assert_array_equal(paid[agent], expected[agent])


def test_memory_has_a_row_per_row_and_returns_to_its_start(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=False)
    fresh = {name: array.copy() for name, array in engine.table.memory.items()}
    assert all(len(array) == ROWS for array in fresh.values())
    for _ in range(3):
        engine.play(joint_actions(game, Streams(2).rng("a"), ROWS))
    mask = np.arange(ROWS) % 2 == 0
    moved = {name: array.copy() for name, array in engine.table.memory.items()}
    engine.restart(mask)
    for name, array in engine.table.memory.items():
        np.testing.assert_array_equal(array[mask], fresh[name][mask], err_msg=name)
        np.testing.assert_array_equal(array[~mask], moved[name][~mask], err_msg=name)


def test_nothing_that_is_not_finite_is_taken(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=False)
    for agent in game.agents:
        for bad in (np.nan, np.inf):
            word = np.zeros((ROWS, game.actions(agent).size))
            word[3, 0] = bad
            with pytest.raises(FloatingPointError, match=agent):
                engine.say(agent, word)


def test_what_is_no_choice_is_refused_with_the_agent_and_what_is_allowed(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=False)
    for agent in game.agents:
        choices = game.actions(agent)
        if not isinstance(choices, Choice):
            continue
        for bad in (-1.0, 0.5, len(choices.names)):
            word = np.zeros((ROWS, 1))
            word[3] = bad
            with pytest.raises(UsageError, match=f"`{agent}`.*0 {choices.names[0]}, 1 {choices.names[1]}"):
                engine.say(agent, word)


def test_the_critic_sees_finite_numbers_of_one_length(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=True)
    width = engine.state().shape[1]
    rng = Streams(4).rng("a")
    for _ in range(20):
        engine.restart(engine.play(joint_actions(game, rng, ROWS)).done)
        seen = engine.state()
        assert seen.shape == (ROWS, width) and seen.dtype == np.float32
        assert np.isfinite(seen).all()


def test_parts_of_a_reward_add_up_to_it(game):
    engine = engine_of(game, ROWS)
    engine.begin(stagger=True)
    rng = Streams(5).rng("a")
    for _ in range(30):
        outcome = engine.play(joint_actions(game, rng, ROWS))
        parts = engine.parts()
        assert tuple(parts) == game.parts
        if parts:
            for reward in outcome.rewards.values():
                np.testing.assert_allclose(sum(parts.values()), reward, rtol=1e-12, atol=1e-12)
        engine.restart(outcome.done)


def test_the_same_seed_and_actions_give_the_same_bits(game):
    def total() -> np.ndarray:
        engine = engine_of(game, ROWS, seed=3)
        engine.begin(stagger=True)
        rng = Streams(3).rng("a")
        sums = np.zeros((len(game.agents), ROWS))
        for _ in range(80):
            outcome = engine.play(joint_actions(game, rng, ROWS))
            sums += np.stack([outcome.rewards[a] for a in game.agents])
            if outcome.done.any():
                engine.restart(outcome.done)
        return sums

    assert_same_twice(total)
