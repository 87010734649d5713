"""Episodes lie inside one segment of their split, behind the warm-up, in whole decisions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import EnvironmentSpec
from mtquant.context import Streams
from mtquant.data.splits import Split
from mtquant.envs.scenario import EpisodeSchedule, Scenario
from mtquant.errors import DataError
from tests.envs.made import MADE, engine_of
from tests.tiny import tiny_dataset, tiny_spec

HISTORIES = np.array([0, 300, 500])
SEGMENTS = ((0, 250), (320, 480), (500, 530))


def schedule(length: int, warmup: int, multiple: int) -> EpisodeSchedule:
    spec = EnvironmentSpec(episode_length=length, warmup_steps=warmup)
    return EpisodeSchedule(Split("train", SEGMENTS), HISTORIES, spec, multiple=multiple)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(10, 400),
    warmup=st.integers(0, 120),
    multiple=st.integers(1, 7),
    scale=st.sampled_from([0.25, 1.0]),
    stagger=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_episodes_lie_inside_one_segment(length, warmup, multiple, scale, stagger, seed):
    rows = 200
    drawn = schedule(length, warmup, multiple).draw(
        Streams(seed).rng("x"), rows, np.zeros((rows, 1), int), Scenario(2.0, 1.5, scale), stagger=stagger
    )
    span = drawn.end - drawn.start
    segments = np.searchsorted([0, 320, 500], drawn.start, side="right") - 1
    first, stop = np.array(SEGMENTS)[segments].T
    begin = HISTORIES[np.searchsorted(HISTORIES, drawn.start, side="right") - 1]
    assert (drawn.start >= first).all()
    assert (drawn.end <= stop - 1).all()
    assert (drawn.start - begin >= warmup).all()
    assert (span >= multiple).all()
    assert (span % multiple == 0).all()
    assert (span <= max(int(length * scale) // multiple, 1) * multiple).all()
    assert (drawn.cost_scale == 2.0).all()
    assert (drawn.move_scale == 1.5).all()


def test_every_possible_start_is_drawn_equally_often():
    made = schedule(100, 20, 1)
    drawn = made.draw(Streams(0).rng("x"), 40_000, np.zeros((40_000, 1), int), Scenario())
    # segments with room: [20, 249] gives 130 starts, [320, 479] gives 60, [520, 529] gives one, of 9 bars
    counts = np.array([(drawn.start < 300).sum(), ((drawn.start >= 300) & (drawn.start < 500)).sum()])
    assert counts[0] / counts[1] == pytest.approx(130 / 60, rel=0.05)
    assert len(np.unique(drawn.start)) == 191


def test_passes_cover_every_usable_bar_once():
    passes = schedule(100, 20, 1).passes(np.arange(3))
    assert passes.start.tolist() == [20, 320, 520]
    assert passes.end.tolist() == [249, 479, 529]
    assert passes.slots.tolist() == [[0, 1, 2]] * 3


def test_split_within_the_warm_up_is_an_error():
    with pytest.raises(DataError, match="train split has no part longer than the warm-up of 400 bars"):
        schedule(100, 400, 1)


@pytest.mark.parametrize("name", MADE)
def test_no_row_ever_leaves_its_split_or_history(name):
    dataset = tiny_dataset()
    game = MADE[name](dataset, tiny_spec())
    engine = engine_of(game, 32)
    engine.begin(stagger=True)
    ((start, stop),) = dataset.splits.train.segments
    for _ in range(200):
        outcome = engine.advance()
        t = np.asarray(engine.sim.state.t)
        assert (t >= start + 10).all()
        assert (t < stop).all()
        if outcome.done.any():
            engine.restart(outcome.done)
