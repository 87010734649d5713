"""Noise is as large as it was asked for, on what is seen of the market only, and is not there where it was not."""

import numpy as np
import pytest

from mtquant.context import Streams
from mtquant.envs.games.joint import META
from mtquant.envs.scenario import REAL_TASK, Scenario
from mtquant.sim.simulator import Episode
from tests.envs.made import MADE, engine_of, joint_actions
from tests.tiny import tiny_dataset, tiny_spec


class Fixed:
    """Gives the rows the scenarios of a list, over and over."""

    def __init__(self, scenarios: list[Scenario]) -> None:
        self.given = scenarios

    def scenarios(self, rows: np.ndarray) -> list[Scenario]:
        return [self.given[row % len(self.given)] for row in rows]

    def placed(self, rows: np.ndarray, episode: Episode) -> None:
        """Nothing to hear."""


def pair(rows: int, levels: list[float], name: str = "joint"):
    """Return an engine under noise and one without, in the same episodes."""
    game = MADE[name](tiny_dataset(bars=2000), tiny_spec())
    noisy, clean = engine_of(game, rows), engine_of(game, rows)
    noisy.curriculum = Fixed([Scenario(noise_level=level) for level in levels])
    noisy.begin(stagger=False)
    clean.begin_episode(
        Episode(noisy.sim.state.t, noisy.sim.state.end, noisy.sim.state.slots, np.ones(rows), np.ones(rows))
    )
    return noisy, clean


@pytest.mark.parametrize("agent", [META, "forex", "equity"])
def test_noise_has_the_size_asked_for_in_every_column_of_the_market(agent):
    noisy, clean = pair(600, [0.1, 0.4])
    seen = []
    for _ in range(20):
        seen.append(noisy.observe(agent) - clean.observe(agent))
        noisy.advance()
        clean.advance()
    noise, scale = np.stack(seen), noisy.game.market_scale(agent)
    assert not noise[:, :, scale == 0.0].any()
    relative = noise[:, :, scale > 0.0] / scale[scale > 0.0]
    for half, level in ((relative[:, 0::2], 0.1), (relative[:, 1::2], 0.4)):
        np.testing.assert_allclose(half.std(axis=(0, 1)), level, rtol=0.1)
        assert half.std() == pytest.approx(level, rel=0.01)
        assert half.mean() == pytest.approx(0.0, abs=0.02 * level)
    assert np.abs(np.corrcoef(relative[0].reshape(-1), relative[1].reshape(-1))[0, 1]) < 0.02, "bars are independent"
    rows = np.corrcoef(relative[:, 0:-2].reshape(-1), relative[:, 2:].reshape(-1))[0, 1]
    assert np.abs(rows) < 0.02, "rows are too"


def test_only_what_is_seen_of_the_market_is_noisy():
    game = MADE["joint"](tiny_dataset(), tiny_spec())
    layout = game.view.layout
    scale = game.market_scale("forex").reshape(2, -1)
    for block in ("position", "goal", "phase"):
        assert not scale[:, layout.slice(block)].any()
    for block in ("features", "group_remainder", "market_remainder", "macro"):
        assert (scale[:, layout.slice(block)] > 0).all()
    blind = MADE["joint-phase2"](tiny_dataset(), tiny_spec()).market_scale("forex").reshape(2, -1)
    assert not blind[:, layout.slice("goal").start :].any(), "what is not shown stays zero"
    meta = game.market_scale(META)
    assert (meta > 0).sum() == 4 + 6 + 5


def test_an_observation_does_not_change_when_it_is_asked_for_again():
    noisy, _ = pair(8, [0.3])
    for agent in noisy.game.agents:
        np.testing.assert_array_equal(noisy.observe(agent), noisy.observe(agent))


def test_money_does_not_know_of_noise():
    noisy, clean = pair(6, [0.5])
    rng = Streams(0).rng("x")
    for _ in range(30):
        actions = joint_actions(noisy.game, rng, 6)
        one, two = noisy.play(actions), clean.play(actions)
        np.testing.assert_array_equal(one.result.equity, two.result.equity)
        np.testing.assert_array_equal(one.rewards[META], two.rewards[META])


def test_rows_without_noise_see_what_is_there():
    noisy, clean = pair(6, [0.0, 0.5])
    difference = noisy.observe("forex") != clean.observe("forex")
    assert not difference[0::2].any()
    assert difference[1::2].any(axis=1).all()


def test_without_noise_nothing_is_drawn():
    game = MADE["joint"](tiny_dataset(), tiny_spec())
    plain, real = engine_of(game, 5), engine_of(game, 5)
    real.curriculum = Fixed([REAL_TASK])
    for engine in (plain, real):
        engine.begin(stagger=True)
        engine.restart(np.array([True, False, True, False, False]))
    for name, array in plain.state_dict()[0].items():
        np.testing.assert_array_equal(array, real.state_dict()[0][name], err_msg=name)
    assert plain.rng.bit_generator.state == real.rng.bit_generator.state
    assert not real.noise.active


def test_noise_ends_with_the_last_noisy_episode_and_continues_from_a_checkpoint():
    noisy, _ = pair(4, [0.3])
    arrays, values = noisy.state_dict()
    other = engine_of(noisy.game, 4, seed=9)
    other.begin(stagger=False)
    other.load_state_dict(arrays, values)
    np.testing.assert_array_equal(other.observe("forex"), noisy.observe("forex"))
    noisy.curriculum = None
    noisy.restart(np.array([True, True, True, False]))
    assert noisy.noise.active
    noisy.restart(np.array([False, False, False, True]))
    assert not noisy.noise.active
