"""Phase 3 under every kind of curriculum: measured effects, what is learned from, and exact resume."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.curricula import Yardstick
from mtquant.agents.training.curriculum_learning import LOG, AdvancedCurriculumLearning, read_log, replay, yardstick_of
from mtquant.agents.training.model_checkpointing import ModelCheckpointingSystem
from mtquant.agents.training.phase3_joint_training import Phase3JointTrainer
from mtquant.config.agents import EnvironmentSpec
from mtquant.config.curriculum import DOCUMENTED_LEVELS, CurriculumSpec, Kind
from mtquant.context import Streams
from mtquant.envs.conditions import STRONG_TREND, VOLATILE, is_one_of, trend_and_turbulence
from mtquant.envs.games.joint import META
from mtquant.errors import Preempted
from mtquant.execution.work import curriculum_digest
from tests.agents.made import Stop, handle_of, journal_of
from tests.agents.test_training import phase3_trainer
from tests.envs.made import MADE, engine_of
from tests.tiny import SYMBOLS, tiny_dataset, tiny_spec

QUICK = {
    "real_share": 0.2,
    "recent_performances": 2,
    "advancement_threshold": 0.05,
    "stability_threshold": 1.0,
    "adr": {"episodes": 1, "step": 0.5, "success_low": 0.2, "success_high": 0.4},
    "plr": {"levels": 2},
    "ranges": {"episode_scale": [0.2, 1.0]},
    "levels": [
        {"market_conditions": ["trend"], "volatility_range": [0.1, 0.2], "noise_level": 0.1, "episode_length": 15},
        {"volatility_range": [0.2, 0.3], "noise_level": 0.2, "episode_length": 30},
    ],
}


def spec_of(kind: str) -> CurriculumSpec:
    """Return a curriculum that decides within four short rollouts."""
    changes = {} if kind == "schedule" else QUICK
    return CurriculumSpec.model_validate({"kind": kind} | changes, strict=False)


def trainer_of(root: Path, kind: str, **changes: object) -> Phase3JointTrainer:
    return phase3_trainer(root, curriculum=spec_of(kind), n_envs=8, timesteps=960, **changes)


# --- exact resume


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_continues_exactly(tmp_path, kind):
    whole = trainer_of(tmp_path / "whole", kind)
    whole.train()
    stages = replay(read_log(whole.unit.outputs / LOG))
    assert kind == "schedule" or stages[-1][1] == whole.curriculum.real_level
    for at in (2, 5):
        root = tmp_path / str(at)
        cut = trainer_of(root, kind)
        cut.unit = handle_of(root, "phase3-joint", stop=Stop(at))
        cut.checkpointing = ModelCheckpointingSystem(cut.unit)
        with pytest.raises(Preempted):
            cut.train()
        again = trainer_of(root, kind)
        again.train()
        assert again.unit.head == whole.unit.head
        assert journal_of(again.unit) == journal_of(whole.unit)
        assert curriculum_digest(again.unit.outputs) == curriculum_digest(whole.unit.outputs)


@pytest.mark.parametrize("kind", ["levels", "adr", "plr", "uniform"])
def test_every_kind_does_something(tmp_path, kind):
    """Stages change, episodes end in evidence, and other weights are learned than on the real task."""
    trainer, real = (
        trainer_of(tmp_path / kind, kind),
        phase3_trainer(tmp_path / "real", n_envs=8, timesteps=960, curriculum=CurriculumSpec(enabled=False)),
    )
    trainer.train()
    real.train()
    assert trainer.unit.head != real.unit.head
    lines = trainer.curriculum.log[1:]
    subjects = {decision["subject"].split(".")[0] for line in lines for decision in line["decisions"]}
    expected = {
        "levels": {"level"},
        "adr": {"cost_scale", "real task"},
        "plr": {"new", "replay", "keep", "real task"},
        "uniform": {"real task"},
    }
    assert expected[kind] <= subjects
    journal = [metrics for _, metrics in journal_of(trainer.unit)]
    seen = [metrics["curriculum/level"] for metrics in journal]
    assert seen == sorted(seen)
    assert seen[0] < seen[-1] == trainer.curriculum.real_level
    assert any("curriculum/performance" in m or "curriculum/score" in m for m in journal)
    assert not (real.unit.outputs / LOG).exists()


def test_the_real_task_is_what_evaluation_plays(tmp_path):
    trainer = trainer_of(tmp_path, "uniform")
    trainer.train()
    games = []

    class Watched(type(trainer.create_joint_training_env())):
        def batch(self, rows, rng):
            found = super().batch(rows, rng)
            games.append(found.engine)
            return found

    import mtquant.agents.training.phase3_joint_training as module

    original = module.JointTrainingEnv
    module.JointTrainingEnv = Watched
    try:
        trainer.evaluate(8)
    finally:
        module.JointTrainingEnv = original
    (engine,) = games
    assert engine.curriculum is None
    assert not engine.noise.active
    for name in ("cost_scale", "move_scale"):
        assert (getattr(engine.sim.state, name) == 1.0).all()


# --- prioritised level replay


def test_nothing_is_learned_while_all_levels_are_new(tmp_path):
    """Weights stay to the bit, though rows were played and scored."""
    trainer = trainer_of(tmp_path, "plr", critic_warmup_rollouts=0)
    trainer.phase = trainer.phase.model_copy(
        update={"curriculum": trainer.phase.curriculum.model_copy(update={"real_share": 0.0})}
    )
    spec = trainer.phase.curriculum.model_copy(
        update={"plr": trainer.phase.curriculum.plr.model_copy(update={"levels": 1000})}
    )
    trainer.curriculum = AdvancedCurriculumLearning(
        spec, trainer.total_steps, rows=8, rng=Streams(0).rng("x"), real=Yardstick(0.16, 60)
    )
    trainer.train()
    untouched = trainer_of(tmp_path / "again", "plr")
    untouched.load_pretrained_models()
    assert {a: PolicyBundle.load(trainer.unit.outputs / a).digest for a in trainer.folders} == {
        a: b.digest for a, b in untouched.bundles.items()
    }
    assert trainer.curriculum.kind.kept, "they were scored"
    assert all(level.score > 0.0 for level in trainer.curriculum.kind.kept.values())


@pytest.mark.parametrize("agent", [META, "forex"])
def test_samples_of_rows_that_are_not_learned_from_are_left_out(tmp_path, agent):
    """What is learned from is what the learner would have had of the other rows; scores are of all rows."""
    trainer = phase3_trainer(tmp_path)
    trainer.load_pretrained_models()
    joint = trainer.create_joint_training_env()
    learner = trainer._learners(joint.joint_game)[agent]
    env = joint.batch(6, Streams(0).rng("x"))
    env.reset()
    learning = np.array([True, False, True, True, False, False])

    def rollout(masks):
        torch.manual_seed(0)
        for mask in masks:
            seen = np.asarray(env.observe(agent), dtype=np.float32)
            central = np.zeros((6, 0), np.float32) if agent == META else joint.joint_game.central(env.engine.table)
            count = learner.per_row
            learner.choose(seen.reshape(6 * count, -1), np.repeat(central, count, axis=0))
            paid = np.arange(6 * count, dtype=np.float32)[:, None].repeat(learner.streams, axis=1)
            learner.pay(paid, np.zeros(6, bool), learning=mask)
        return learner.finish(np.zeros((6 * learner.per_row, learner.streams), np.float32), np.zeros(6, bool))

    every, some = rollout([None] * 5), rollout([learning] * 5)
    none, one = rollout([~np.ones(6, bool)] * 5), rollout([np.arange(6) == 3] + [np.zeros(6, bool)] * 4)
    kept = np.tile(np.repeat(learning, learner.per_row), 5)
    for name in ("observation", "central", "action", "log_prob", "target"):
        torch.testing.assert_close(getattr(some, name), getattr(every, name)[kept], rtol=0, atol=0)
        assert not len(getattr(none, name)) and not len(getattr(one, name))
    assert float(some.advantage[:, 0].mean()) == pytest.approx(0.0, abs=1e-5)
    assert float(some.advantage[:, 0].std()) == pytest.approx(1.0, rel=1e-4)
    assert some.positive.shape == every.positive.shape == (5, 6)
    np.testing.assert_array_equal(some.positive, every.positive)
    from mtquant.agents.learning.samples import UpdateSettings

    before = learner.policy.state_dict()["log_std"].clone()
    assert learner.update([none], UpdateSettings(1, 1, 0.2, 0.5, False), (0.1, 0.1)) == {}
    assert torch.equal(learner.policy.state_dict()["log_std"], before)


# --- what the documents' levels do to the series


LONG = EnvironmentSpec(instruments=SYMBOLS, episode_length=1000, warmup_steps=60, costs="zero")
ROWS = 256


@pytest.fixture(scope="module")
def market():
    return tiny_dataset(bars=8000)


def begun(market, level: int):
    """Return an engine whose rows are episodes of `level`, and the curriculum."""
    spec = tiny_spec(environment=LONG, limits={"enabled": False})
    game = MADE["joint"](market, spec)
    engine = engine_of(game, ROWS)
    curriculum = AdvancedCurriculumLearning(
        CurriculumSpec(kind="levels"), 1000, rows=ROWS, rng=Streams(1).rng("x"), real=yardstick_of(market, 1000)
    )
    curriculum.kind.at = level
    engine.curriculum = curriculum
    engine.begin(stagger=False)
    return engine, curriculum


def annual_volatility(engine, bars: int) -> np.ndarray:
    """Return `[N]` the annual volatility of the series that rows really trade, by what one unit earns."""
    held = np.full((ROWS, len(SYMBOLS)), 0.01)
    moves = []
    for _ in range(bars):
        result = engine.sim.step(held)
        # profit of one unit of risk: the move in volatilities, on average 16 % a year
        moves.append(result.gross / (result.exposure * result.equity_before[:, None]))
    size = np.stack(moves)[1:] / engine.sim.rules.unit_risk
    return size.std(axis=0).mean(axis=1) * 0.01 * np.sqrt(engine.game.dataset.market.bars_per_year)


@pytest.mark.parametrize("level", range(3))
def test_a_level_gives_the_series_its_volatility(market, level):
    """The ratio to the real series is the one drawn, and the volatility lies in the documents' range."""
    engine, _ = begun(market, level)
    drawn = np.array(engine.sim.state.move_scale)
    volatility = annual_volatility(engine, 200)
    real, _ = begun(market, 3)
    real.sim.state = real.sim.state._replace(
        t=engine.sim.state.t - 200, end=engine.sim.state.end, anchor=engine.sim.state.anchor
    )
    plain = annual_volatility(real, 200)
    np.testing.assert_allclose(volatility / plain, drawn, rtol=0.02)
    low, high = DOCUMENTED_LEVELS[level].volatility_range
    assert volatility.mean() == pytest.approx((low + high) / 2, rel=0.1)
    assert ((volatility > 0.85 * low) & (volatility < 1.15 * high)).all()


@pytest.mark.parametrize("level", range(3))
def test_a_level_begins_after_the_conditions_it_names(market, level):
    engine, _ = begun(market, level)
    labels = engine.schedule.labels()
    start = np.asarray(engine.sim.state.t)
    assert is_one_of(labels[start], DOCUMENTED_LEVELS[level].market_conditions).all()
    real = labels[np.asarray(begun(market, 3)[0].sim.state.t)]
    share = {"real": (real == STRONG_TREND).mean(), "level": (labels[start] == STRONG_TREND).mean()}
    assert share["real"] == pytest.approx(1 / 9, abs=0.06)
    strength, _ = trend_and_turbulence(market.market, market.point_volatility, 60)
    if level == 0:
        assert share["level"] == 1.0
        assert strength[start].mean() > np.nanmean(strength) + 0.3
    assert (labels[start] == VOLATILE).any() == (level == 2)


@pytest.mark.parametrize("level", range(3))
def test_a_level_has_its_noise_and_its_length(market, level):
    engine, _ = begun(market, level)
    scale = engine.game.market_scale("forex")
    clean = engine.game.observe("forex", engine.table)
    noise = (engine.observe("forex") - clean)[:, scale > 0] / scale[scale > 0]
    assert noise.std() == pytest.approx(DOCUMENTED_LEVELS[level].noise_level, rel=0.03)
    span = np.asarray(engine.sim.state.end - engine.sim.state.t)
    assert (span == DOCUMENTED_LEVELS[level].episode_length).all()


def test_the_last_level_changes_nothing(market):
    """Same episodes, observations and money as without a curriculum, to the bit; the generator stands alike."""
    engine, _ = begun(market, 3)
    plain = engine_of(engine.game, ROWS)
    plain.begin(stagger=False)
    for _ in range(5):
        one, two = (e.advance() for e in (engine, plain))
        np.testing.assert_array_equal(one.result.equity, two.result.equity)
    ended = np.arange(ROWS) % 3 == 0
    for each in (engine, plain):
        each.restart(ended)
    for agent in engine.game.agents:
        np.testing.assert_array_equal(engine.observe(agent), plain.observe(agent))
    for name, array in plain.state_dict()[0].items():
        np.testing.assert_array_equal(array, engine.state_dict()[0][name], err_msg=name)
    assert plain.state_dict()[1] == engine.state_dict()[1]


def test_scenarios_reach_the_simulator():
    engine = engine_of(MADE["joint"](tiny_dataset(), tiny_spec()), 4)
    spec = CurriculumSpec(cost_scale=(0.5, 1.0), volatility_scale=(1.2, 1.0), episode_scale=(0.5, 1.0), until=(0.1,))
    engine.curriculum = AdvancedCurriculumLearning(spec, 1000, rows=4)
    engine.begin(stagger=False)
    state = engine.sim.state
    assert (state.cost_scale == 0.5).all()
    assert (state.move_scale == 1.2).all()
    assert (state.end - state.t == 30).all()
    target = Streams(0).rng("x").uniform(-1, 1, (4, 4))
    calm, plain = engine_of(engine.game, 4), engine.sim
    calm.begin(stagger=False)
    calm.sim.state = plain.state._replace(cost_scale=np.ones(4), move_scale=np.ones(4))
    harder, normal = plain.step(target), calm.sim.step(target)
    np.testing.assert_allclose(harder.gross, 1.2 * normal.gross, rtol=1e-9)
    np.testing.assert_allclose(harder.cost.sum(), 0.5 * normal.cost.sum(), rtol=0.05)


def test_the_yardstick_is_the_markets_own_volatility(market):
    real = yardstick_of(market, 777)
    assert real.volatility == pytest.approx(0.01 * np.sqrt(market.market.bars_per_year))
    assert real.episode_length == 777
