"""Episodes lie inside one segment of their split, behind the warm-up, in whole decisions."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtquant.config.agents import EnvironmentSpec
from mtquant.context import Streams
from mtquant.data.splits import Split
from mtquant.envs.conditions import SIDEWAYS, STRONG_TREND
from mtquant.envs.scenario import REAL_TASK, EpisodeSchedule, Scenario
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
        Streams(seed).rng("x"), np.zeros((rows, 1), int), [Scenario(2.0, 1.5, scale)] * rows, stagger=stagger
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
    drawn = made.draw(Streams(0).rng("x"), np.zeros((40_000, 1), int), [REAL_TASK] * 40_000)
    # segments with room: [20, 249] gives 130 starts, [320, 479] gives 60, [520, 529] gives one, of 9 bars
    counts = np.array([(drawn.start < 300).sum(), ((drawn.start >= 300) & (drawn.start < 500)).sum()])
    assert counts[0] / counts[1] == pytest.approx(130 / 60, rel=0.05)
    assert len(np.unique(drawn.start)) == 191


def test_every_episode_has_a_scenario_of_its_own():
    """Rows of a batch differ in everything; those that are the real task are drawn as if the others were not there."""
    made = schedule(100, 20, 5)
    mixed = [
        Scenario(episode_scale=0.25, noise_level=0.3),
        REAL_TASK,
        Scenario(cost_scale=0.5, volatility_scale=2.0),
        Scenario(at=(330, 390), cost_scale=3.0),
        REAL_TASK,
    ]
    drawn = made.draw(Streams(3).rng("x"), np.zeros((5, 1), int), mixed)
    assert (drawn.end - drawn.start).tolist() == [25, 100, 100, 60, 100]
    assert (drawn.start[3], drawn.end[3]) == (330, 390)
    np.testing.assert_array_equal(drawn.cost_scale, [1.0, 1.0, 0.5, 3.0, 1.0])
    np.testing.assert_array_equal(drawn.move_scale, [1.0, 1.0, 2.0, 1.0, 1.0])
    np.testing.assert_array_equal(drawn.noise_level, [0.3, 0.0, 0.0, 0.0, 0.0])


LABELS = np.where(np.arange(530) % 10 == 0, STRONG_TREND, SIDEWAYS)


@settings(max_examples=60, deadline=None)
@given(length=st.integers(10, 300), multiple=st.integers(1, 7), seed=st.integers(0, 100), stagger=st.booleans())
def test_episodes_begin_where_the_market_was_as_asked(length, multiple, seed, stagger):
    spec = EnvironmentSpec(episode_length=length, warmup_steps=20)
    made = EpisodeSchedule(Split("train", SEGMENTS), HISTORIES, spec, multiple=multiple, labels=lambda: LABELS)
    asked = [Scenario(conditions=("trend",))] * 100 + [Scenario(conditions=("sideways",), episode_scale=0.5)] * 100
    drawn = made.draw(Streams(seed).rng("x"), np.zeros((200, 1), int), asked, stagger=stagger)
    assert (LABELS[drawn.start[:100]] == STRONG_TREND).all()
    assert (LABELS[drawn.start[100:]] == SIDEWAYS).all()
    first, stop = np.array(SEGMENTS)[np.searchsorted([0, 320, 500], drawn.start, side="right") - 1].T
    assert (drawn.start >= first).all()
    assert (drawn.end <= stop - 1).all()
    span = drawn.end - drawn.start
    assert (span >= multiple).all()
    assert (span % multiple == 0).all()
    if not stagger:
        # as long as asked, or as long as the roomiest place allows: segment 1 has 229 bars, its last tenth at 20
        wanted = min(max(length // multiple, 1) * multiple, 229 // multiple * multiple)
        assert (span[:100] == wanted).all()


def test_every_start_after_a_condition_is_drawn_equally_often():
    spec = EnvironmentSpec(episode_length=100, warmup_steps=20)
    made = EpisodeSchedule(Split("train", SEGMENTS), HISTORIES, spec, labels=lambda: LABELS)
    drawn = made.draw(Streams(0).rng("x"), np.zeros((20_000, 1), int), [Scenario(conditions=("trend",))] * 20_000)
    starts, counts = np.unique(drawn.start, return_counts=True)
    assert starts.tolist() == [*range(20, 150, 10), *range(320, 380, 10)]
    assert counts.std() / counts.mean() < 0.1


def test_conditions_that_never_were_are_an_error():
    made = EpisodeSchedule(Split("train", SEGMENTS), HISTORIES, EnvironmentSpec(warmup_steps=20), labels=lambda: LABELS)
    with pytest.raises(DataError, match=r"train split has no bar after which an episode under volatile .*\[all\]"):
        made.draw(Streams(0).rng("x"), np.zeros((1, 1), int), [Scenario(conditions=("volatile",))])


def test_scenarios_survive_json():
    for scenario in (REAL_TASK, Scenario(0.5, 2.0, 0.1, 0.3, ("trend", "volatile"), (3, 90))):
        assert Scenario.of_values(json.loads(json.dumps(scenario.values()))) == scenario


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
