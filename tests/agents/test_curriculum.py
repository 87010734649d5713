"""What moves each kind of curriculum, what is logged of it, and that the log gives the same decisions again."""

import copy
import json
from typing import get_args

import numpy as np
import pytest

from mtquant.agents.training.curricula import ADR, ANY, CURRICULA, PLR, Kept, Levels, Yardstick, build_curriculum
from mtquant.agents.training.curriculum_learning import AdvancedCurriculumLearning, read_log, replay
from mtquant.agents.training.evidence import Evidence
from mtquant.config.curriculum import REAL, CurriculumSpec, Kind
from mtquant.context import Streams
from mtquant.envs.scenario import REAL_TASK, Scenario
from mtquant.errors import StoreError
from mtquant.sim.simulator import Episode

YARD = Yardstick(0.16, 1000)
ROWS, TOTAL = 8, 4000
SCHEDULE = CurriculumSpec(
    cost_scale=(0.2, 0.5, 1.0), volatility_scale=(1.0, 1.2, 1.0), episode_scale=(0.25, 0.5, 1.0), until=(0.1, 0.4)
)
QUICK = {"recent_performances": 10, "adr": {"episodes": 3, "step": 0.25}, "plr": {"levels": 6, "replay_share": 0.6}}


def quick(kind: str, **changes: object) -> CurriculumSpec:
    """Return a curriculum that decides often."""
    return CurriculumSpec.model_validate_json(json.dumps({"kind": kind} | QUICK | changes))


def made(spec: CurriculumSpec, seed: int = 0) -> AdvancedCurriculumLearning:
    rng = Streams(seed).rng("curriculum")
    return AdvancedCurriculumLearning(spec, TOTAL, rows=ROWS, rng=rng, real=YARD)


def play(curriculum: AdvancedCurriculumLearning, step: int, rng: np.random.Generator, good: float) -> dict[str, float]:
    """Play a rollout of ten bars in which half of the rows end, and decide."""
    for _ in range(10):
        curriculum.bar(rng.normal(good, 1.0, ROWS))
    rows = np.flatnonzero(rng.random(ROWS) < 0.5)
    begin(curriculum, rows)
    curriculum.scored([rng.random((10, ROWS)).astype(np.float32)])
    return curriculum.update_curriculum({"step": step})


def begin(curriculum: AdvancedCurriculumLearning, rows: np.ndarray) -> list[Scenario]:
    scenarios = list(curriculum.scenarios(rows))
    start = 100 + 10 * rows
    none = np.zeros(len(rows))
    curriculum.placed(rows, Episode(start, start + 50, rows[:, None], none, none))
    return scenarios


def run(kind: str, good: float = 2.0, seed: int = 0) -> AdvancedCurriculumLearning:
    curriculum, rng = made(quick(kind), seed), Streams(seed).rng("world")
    begin(curriculum, np.arange(ROWS))
    for step in range(100, TOTAL + 1, 100):
        play(curriculum, step, rng, good)
    return curriculum


def test_every_kind_that_can_be_chosen_exists():
    assert set(CURRICULA) == set(get_args(Kind))


# --- every kind


@pytest.mark.parametrize("kind", get_args(Kind))
def test_training_ends_with_the_real_task(kind):
    curriculum = run(kind)
    assert curriculum.get_difficulty_level(TOTAL) == curriculum.real_level
    assert curriculum.generate_scenario(curriculum.real_level) == REAL_TASK
    assert begin(curriculum, np.arange(ROWS)) == [REAL_TASK] * ROWS
    late = made(quick(kind))
    assert late.get_difficulty_level(int(0.75 * TOTAL)) == late.real_level


@pytest.mark.parametrize("kind", get_args(Kind))
def test_switched_off_it_is_the_real_task_from_the_beginning(kind):
    off = made(CurriculumSpec(kind=kind, enabled=False))
    assert off.generate_scenario(off.get_difficulty_level(0)) == REAL_TASK
    assert off.update_curriculum({"step": 100}) == {}


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("good", [-1.0, 2.0])
def test_replaying_the_log_gives_the_same_stages(kind, good, tmp_path):
    curriculum = run(kind, good)
    curriculum.write_log(tmp_path / "out")
    log = read_log(tmp_path / "out" / "curriculum.jsonl")
    stages = replay(log)
    assert stages == [(line["step"], line["level"]) for line in curriculum.log[1:]]
    assert stages[-1][1] == curriculum.real_level


@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_changed_log_is_found_out(kind):
    """Whatever is changed, statistic, threshold, state or outcome, the decision no longer follows."""
    log = run(kind).log
    places = [(i, j) for i, line in enumerate(log[1:], 1) for j in range(len(line["decisions"]))]
    assert places
    for part in ("statistic", "threshold", "before", "after"):
        forged = copy.deepcopy(log)
        i, j = places[len(places) // 2]
        decision = forged[i]["decisions"][j]
        if part in ("before", "after"):
            decision[part] += 1
        else:
            decision[part][next(iter(decision[part]))] += 0.5
        with pytest.raises(StoreError, match="does not follow from what it says was seen"):
            replay(forged)


def test_changed_evidence_is_found_out():
    forged = copy.deepcopy(run("levels").log)
    next(line for line in forged[1:] if line["ended"])["ended"][0][1] = 0.123
    with pytest.raises(StoreError, match="does not follow"):
        replay(forged)


@pytest.mark.parametrize("kind", get_args(Kind))
@pytest.mark.parametrize("at", [100, 1500, 3000])
def test_a_curriculum_continues_from_its_state(kind, at):
    whole, cut = made(quick(kind)), made(quick(kind))
    worlds = [Streams(0).rng("world") for _ in range(2)]
    for one, world in zip((whole, cut), worlds, strict=True):
        begin(one, np.arange(ROWS))
        for step in range(100, at + 1, 100):
            play(one, step, world, 1.0)
    state = json.loads(json.dumps(cut.state_dict()))
    cut = made(quick(kind), seed=5)
    begin(cut, np.arange(ROWS))
    cut.load_state_dict(state)
    for step in range(at + 100, TOTAL + 1, 100):
        assert play(whole, step, worlds[0], 1.0) == play(cut, step, worlds[1], 1.0)
        np.testing.assert_array_equal(whole.learning, cut.learning)
    assert whole.state_dict() == cut.state_dict()


def test_a_state_does_not_change_with_the_curriculum():
    for kind in get_args(Kind):
        curriculum, rng = made(quick(kind)), Streams(0).rng("world")
        begin(curriculum, np.arange(ROWS))
        for step in (100, 200, 300):
            play(curriculum, step, rng, 1.0)
        state = curriculum.state_dict()
        kept = json.dumps(state)
        for step in (400, 500, 600):
            play(curriculum, step, rng, 1.0)
        assert json.dumps(state) == kept, kind


# --- schedule


def test_levels_follow_the_share_of_steps():
    curriculum = AdvancedCurriculumLearning(SCHEDULE, 1000)
    assert [curriculum.get_difficulty_level(step) for step in (0, 99, 100, 399, 400, 1000)] == [0, 0, 1, 1, 2, 2]
    assert curriculum.generate_scenario(1) == Scenario(0.5, 1.2, 0.5)
    assert curriculum.generate_scenario(2) == REAL_TASK


def test_changes_of_level_are_logged():
    curriculum = AdvancedCurriculumLearning(SCHEDULE, 1000)
    for step in range(50, 1001, 50):
        assert curriculum.update_curriculum({"step": step}) == {
            "curriculum/level": float((step >= 100) + (step >= 400))
        }
    changes = [(line["step"], decision) for line in curriculum.log[1:] for decision in line["decisions"]]
    assert [(step, d["statistic"], d["threshold"], d["before"], d["after"]) for step, d in changes] == [
        (100, {"share": 0.1}, {"share": 0.1}, 0, 1),
        (400, {"share": 0.4}, {"share": 0.4}, 1, 2),
    ]


# --- the documents' levels


def test_the_levels_are_the_documents():
    levels = CurriculumSpec().levels
    assert [level.market_conditions for level in levels] == [
        ("strong_trend",),
        ("trend", "sideways"),
        ("trend", "sideways", "volatile"),
    ]
    assert [level.volatility_range for level in levels] == [(0.1, 0.3), (0.2, 0.5), (0.1, 0.8)]
    assert [level.noise_level for level in levels] == [0.1, 0.2, 0.3]
    assert [level.episode_length for level in levels] == [500, 1000, 1500]
    spec = CurriculumSpec()
    assert (spec.advancement_threshold, spec.stability_threshold, spec.recent_performances) == (0.7, 0.2, 100)


@pytest.mark.parametrize(
    ("values", "advances"),
    [
        ([0.9] * 99, False),
        ([0.9] * 100, True),
        ([0.69] * 100, False),
        ([0.71] * 100, True),
        ([0.0] * 40 + [0.9] * 60, False),
        ([0.0] * 40 + [0.9] * 100, True),
        ([1.0] * 75 + [0.0] * 25, False),
        ([1.0] * 96 + [0.0] * 4, True),
    ],
)
def test_the_next_level_begins_when_performance_is_good_and_steady(values, advances):
    """At least 100 performances, the last 100 with a mean above 0.7 and a standard deviation below 0.2."""
    kind = Levels(CurriculumSpec(kind="levels"), YARD)
    (decision,) = kind.decide(0.1, [Evidence(0, value) for value in values])
    recent = values[-100:]
    assert decision.statistic == pytest.approx(
        {"performances": len(recent), "mean": np.mean(recent), "std": np.std(recent)}
    )
    assert decision.threshold == {"performances": 100.0, "mean": 0.7, "std": 0.2}
    assert (decision.before, decision.after) == (0, int(advances))


def test_only_episodes_of_the_present_level_count():
    kind = Levels(CurriculumSpec(kind="levels"), YARD)
    assert kind.decide(0.1, [Evidence(0, 0.9)] * 100)[0].after == 1
    assert kind.decide(0.1, [Evidence(0, 0.9)] * 200) == [], "they began before the level did"
    assert kind.decide(0.1, [Evidence(1, 0.9)] * 50)[0].after == 1
    assert kind.decide(0.1, [Evidence(1, 0.9)] * 50)[0].after == 2
    assert kind.decide(0.1, [Evidence(2, 0.9)] * 100)[0].after == 3
    assert kind.level(0.1) == 3 == kind.levels - 1


def test_levels_draw_their_volatility_per_episode():
    kind, rng = Levels(CurriculumSpec(kind="levels"), YARD), Streams(0).rng("x")
    for level, found in enumerate(CurriculumSpec().levels):
        scenarios = [kind.start(level, rng).scenario for _ in range(400)]
        volatility = np.array([s.volatility_scale for s in scenarios]) * YARD.volatility
        low, high = found.volatility_range
        assert low <= volatility.min() < low + 0.02 * (high - low) + 0.01
        assert high - 0.02 * (high - low) - 0.01 < volatility.max() <= high
        assert {s.noise_level for s in scenarios} == {found.noise_level}
        assert {s.episode_scale for s in scenarios} == {found.episode_length / 1000}
        assert {s.conditions for s in scenarios} == {found.market_conditions}
        assert {s.cost_scale for s in scenarios} == {1.0}


def test_agents_that_earn_nothing_stay_until_the_real_task_is_due():
    poor, rich = run("levels", good=-1.0), run("levels", good=2.0)
    assert [level for _, level in replay(poor.log)][:25] == [0] * 25
    last = [d for line in poor.log[1:] for d in line["decisions"] if d["subject"] == "real task"]
    assert last == [
        {"subject": "real task", "statistic": {"share": 0.75}, "threshold": {"share": 0.75}, "before": 0, "after": 3}
    ]
    reached = [level for _, level in replay(rich.log)]
    assert reached == sorted(reached)
    assert {0, 1, 2, 3} == set(reached)
    assert not [d for line in rich.log[1:] for d in line["decisions"] if d["subject"] == "real task"]


# --- domain randomisation


def test_uniform_fills_its_ranges():
    spec = quick("uniform")
    curriculum = made(spec)
    drawn = [curriculum.generate_scenario(0) for _ in range(4000)]
    for name in REAL:
        low, high = getattr(spec.ranges, name)
        values = np.array([getattr(one, name) for one in drawn])
        assert values.mean() == pytest.approx((low + high) / 2, rel=0.05)
        assert values.std() == pytest.approx((high - low) / np.sqrt(12), rel=0.05)
        assert low <= values.min() and values.max() <= high


def adr(**changes: object) -> ADR:
    kind = build_curriculum(quick("adr", **changes), YARD)
    assert isinstance(kind, ADR)
    return kind


COST_LOW, COST_HIGH, VOLATILITY_HIGH = 0, 1, 3


def test_ranges_begin_as_the_real_task():
    kind, rng = adr(), Streams(0).rng("x")
    assert {kind.start(0, rng).scenario for _ in range(100)} == {REAL_TASK}


def test_a_bound_widens_on_success_shrinks_on_failure_and_rests_between():
    kind = adr()
    outwards = [kind.decide(0.1, [Evidence(COST_HIGH, 0.9)] * 3)[0].after for _ in range(5)]
    assert outwards == [1.25, 1.5, 1.75, 2.0, 2.0], "never beyond the range"
    (rest,) = kind.decide(0.1, [Evidence(COST_HIGH, 0.6)] * 3)
    assert (rest.before, rest.after, rest.subject) == (2.0, 2.0, "cost_scale.high")
    assert rest.statistic == pytest.approx({"episodes": 3.0, "mean": 0.6})
    inwards = [kind.decide(0.1, [Evidence(COST_HIGH, 0.1)] * 3)[0].after for _ in range(5)]
    assert inwards == [1.75, 1.5, 1.25, 1.0, 1.0], "never beyond the real task"
    lower = [kind.decide(0.1, [Evidence(COST_LOW, 0.9)] * 3)[0].after for _ in range(5)]
    assert lower == [0.875, 0.75, 0.625, 0.5, 0.5]


def test_a_bound_waits_for_its_episodes_and_forgets_them_once_decided():
    kind = adr()
    assert kind.decide(0.1, [Evidence(COST_HIGH, 0.9)] * 2 + [Evidence(ANY, 0.9)] * 9) == []
    assert len(kind.decide(0.1, [Evidence(COST_HIGH, 0.9)])) == 1
    assert kind.decide(0.1, [Evidence(COST_HIGH, 0.9)] * 2) == []


def test_episodes_test_bounds_and_stay_inside_the_ranges():
    kind, rng = adr(), Streams(0).rng("x")
    for _ in range(3):
        for bound in (COST_LOW, COST_HIGH, VOLATILITY_HIGH):
            kind.decide(0.1, [Evidence(bound, 0.9)] * 3)
    starts = [kind.start(0, rng) for _ in range(4000)]
    tested = [start.tag for start in starts if start.tag != ANY]
    assert len(tested) / len(starts) == pytest.approx(0.5, abs=0.03)
    counts = np.unique(tested, return_counts=True)
    assert counts[0].tolist() == kind.movable.tolist()
    assert 4 not in kind.movable and 7 not in kind.movable, "noise below 0 and episodes above 1 are not in the ranges"
    assert counts[1].std() / counts[1].mean() < 0.1
    names = list(REAL)
    for start in starts:
        for i, name in enumerate(names):
            assert kind.bounds[2 * i] <= getattr(start.scenario, name) <= kind.bounds[2 * i + 1]
        if start.tag != ANY:
            assert getattr(start.scenario, names[start.tag // 2]) == kind.bounds[start.tag]


# --- prioritised level replay


def plr(**changes: object) -> PLR:
    kind = build_curriculum(quick("plr", **changes), YARD)
    assert isinstance(kind, PLR)
    return kind


def test_replay_probabilities_follow_ranks_and_staleness():
    kind = plr(plr={"temperature": 0.5, "staleness": 0.25, "levels": 6})
    scores, played = [0.3, 0.9, 0.1, 0.5], [4, 9, 7, 10]
    kind.kept = {i: Kept(REAL_TASK, *pair) for i, pair in enumerate(zip(scores, played, strict=True))}
    kind.episode = 10
    ranks = np.array([3.0, 1.0, 4.0, 2.0])
    by_score = ranks**-2.0 / (ranks**-2.0).sum()
    by_age = np.array([6.0, 1.0, 3.0, 0.0]) / 10.0
    np.testing.assert_allclose(kind.probabilities(), 0.75 * by_score + 0.25 * by_age)


def test_levels_are_replayed_as_often_as_their_probability_says():
    kind, rng = plr(plr={"levels": 4, "replay_share": 0.9, "staleness": 0.0}), Streams(0).rng("x")
    kind.kept = {i: Kept(Scenario(cost_scale=1.0 + i), 0.1 * i, 0) for i in range(4)}
    chances = kind.probabilities()
    starts = [kind.start(0, rng) for _ in range(6000)]
    replayed = [start for start in starts if start.learned_from]
    assert len(replayed) / len(starts) == pytest.approx(0.9, abs=0.01)
    counts = np.bincount([start.tag for start in replayed], minlength=4) / len(replayed)
    np.testing.assert_allclose(counts, chances, atol=0.02)
    assert all(start.scenario.cost_scale == 1.0 + start.tag for start in replayed)


def test_new_levels_are_not_learned_from_and_come_back_on_the_same_bars():
    kind, rng = plr(), Streams(0).rng("x")
    first = [kind.start(0, rng) for _ in range(6)]
    assert not any(start.learned_from for start in first), "nothing is there to be replayed yet"
    for start in first:
        kind.placed(start.tag, 10 * start.tag, 10 * start.tag + 50)
    kind.decide(0.1, [Evidence(start.tag, 0.1) for start in first])
    again = [start for start in (kind.start(0, rng) for _ in range(50)) if start.learned_from]
    played = {start.tag: start.scenario for start in first}
    assert again
    for start in again:
        assert start.scenario.at == (10 * start.tag, 10 * start.tag + 50)
        assert start.scenario.cost_scale == played[start.tag].cost_scale


def test_the_lowest_score_makes_room_for_a_higher_one():
    kind, rng = plr(plr={"levels": 2}), Streams(0).rng("x")
    tags = [kind.start(0, rng).tag for _ in range(4)]
    kind.decide(0.1, [Evidence(tags[0], 0.5), Evidence(tags[1], 0.2)])
    low, high = kind.decide(0.1, [Evidence(tags[2], 0.1), Evidence(tags[3], 0.3)])
    assert (low.statistic, low.threshold, low.before, low.after) == ({"score": 0.1}, {"score": 0.2}, tags[1], tags[1])
    assert (high.before, high.after) == (tags[1], tags[3])
    assert list(kind.kept) == [tags[0], tags[3]]
    assert not kind.new
    kind.decide(0.1, [Evidence(tags[0], 0.05), Evidence(tags[1], 9.0)])
    assert kind.kept[tags[0]].score == 0.05, "the latest score counts"
    assert tags[1] not in kind.kept, "a level that was given up does not return"


def test_rows_of_new_levels_are_marked_as_not_learned_from():
    curriculum = made(quick("plr"))
    begin(curriculum, np.arange(ROWS))
    assert not curriculum.learning.any()
    rng = Streams(0).rng("world")
    for step in range(100, 1000, 100):
        play(curriculum, step, rng, 1.0)
    assert curriculum.learning.any() and not curriculum.learning.all()
    assert made(quick("adr")).learning is None
