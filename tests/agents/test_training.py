"""The three trainers: what they write, what stays frozen, where a later phase begins."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.phase1_trainer import Phase1Trainer
from mtquant.agents.training.phase2_trainer import Phase2Trainer
from mtquant.agents.training.phase3_joint_training import Phase3JointTrainer
from mtquant.envs.games.joint import META, JointGame
from mtquant.errors import ConfigError, TrainingError, UsageError
from tests.agents.made import PHASE1, bundles_of, handle_of, journal_of, learning_spec, saved
from tests.envs.made import engine_of
from tests.tiny import tiny_dataset


def phase2_trainer(root: Path) -> Phase2Trainer:
    spec, dataset = learning_spec(), tiny_dataset()
    specialists = {agent: b for agent, b in bundles_of(dataset, spec).items() if agent != META}
    return Phase2Trainer(spec, dataset, handle_of(root, "phase2-meta"), saved(specialists, root / "phase1"))


def phase3_trainer(root: Path, **changes: object) -> Phase3JointTrainer:
    spec, dataset = learning_spec(phase3=changes), tiny_dataset()
    folders = saved(bundles_of(dataset, spec), root / "pretrained")
    return Phase3JointTrainer(spec, dataset, handle_of(root, "phase3-joint"), folders)


def test_phase_1_writes_a_bundle_per_group_and_its_journal(tmp_path):
    spec, dataset = learning_spec(), tiny_dataset()
    handles = {group: handle_of(tmp_path, f"phase1-{group}") for group in spec.groups}
    metrics = Phase1Trainer(spec, dataset, handles.__getitem__).train()
    assert tuple(metrics) == spec.groups
    for group, handle in handles.items():
        assert np.isfinite(metrics[group]["validation_reward_per_bar"])
        bundle = PolicyBundle.load(handle.outputs / group)
        assert (bundle.agent, bundle.instruments) == (group, spec.members(group))
        assert bundle.per_instrument
        assert [step for step, _ in journal_of(handle)] == [128, 256, 384, 512]
        normaliser = bundle.policy.features_extractor
        np.testing.assert_array_equal(normaliser.mean[: len(dataset.feature_mean)].numpy(), dataset.feature_mean)
    digests = {PolicyBundle.load(handle.outputs / group).digest for group, handle in handles.items()}
    assert len(digests) == len(spec.groups)


def test_specialists_can_hold_instead_of_learning(tmp_path):
    spec, dataset = learning_spec(phase1=PHASE1.model_copy(update={"constant_exposure": 0.5})), tiny_dataset()
    handle = handle_of(tmp_path)
    Phase1Trainer(spec, dataset, lambda _: handle).train_specialist("forex")
    bundle = PolicyBundle.load(handle.outputs / "forex")
    seen = np.random.Generator(np.random.PCG64(0)).standard_normal((5, bundle.layout.width))
    np.testing.assert_allclose(bundle.actor.act(seen) * spec.environment.target_range, 0.5, rtol=1e-6)
    assert not journal_of(handle)


def test_phase_1_names_unknown_specialists(tmp_path):
    trainer = Phase1Trainer(learning_spec(), tiny_dataset(), lambda _: handle_of(tmp_path))
    with pytest.raises(ConfigError, match=r"Unknown specialist `forx`. Did you mean `forex`\?"):
        trainer.train_specialist("forx")


@pytest.mark.parametrize("rate", [1e4, 1e30])
def test_divergence_of_a_single_learner_ends_with_a_sentence(tmp_path, rate):
    ppo = PHASE1.ppo.model_copy(update={"learning_rate": rate, "max_grad_norm": 1e30, "weight_decay": 0.0})
    spec = learning_spec(phase1=PHASE1.model_copy(update={"ppo": ppo}))
    with pytest.raises(TrainingError, match=r"diverged.*[Ll]ower"):
        Phase1Trainer(spec, tiny_dataset(), lambda _: handle_of(tmp_path)).train_specialist("forex")


@pytest.mark.parametrize("which", ["specialist_learning_rate", "meta_learning_rate"])
def test_divergence_of_joint_learners_ends_with_a_sentence(tmp_path, which):
    trainer = phase3_trainer(
        tmp_path, **{which: 1e30, "max_grad_norm": 1e30, "critic_warmup_rollouts": 0, "credit": "difference"}
    )
    with pytest.raises(TrainingError, match=r"diverged.*[Ll]ower"):
        trainer.train()


def test_phase_2_trains_the_meta_controller_and_leaves_specialists_as_they_were(tmp_path):
    trainer = phase2_trainer(tmp_path)
    before = {g: (f / "weights.safetensors").read_bytes() for g, f in trainer.specialist_folders.items()}
    digests = {g: PolicyBundle.load(f).digest for g, f in trainer.specialist_folders.items()}
    metrics = trainer.train()
    assert np.isfinite(metrics["reward_per_decision"])
    bundle = PolicyBundle.load(trainer.unit.outputs / META)
    assert bundle.provenance["specialists"] == digests
    assert {g: b.digest for g, b in trainer.specialists.items()} == digests
    assert {g: (f / "weights.safetensors").read_bytes() for g, f in trainer.specialist_folders.items()} == before
    assert [step for step, _ in journal_of(trainer.unit)] == [32, 64, 96, 128]


class Unfaithful(Phase2Trainer):
    """Lets a specialist drift while the meta-controller learns."""

    def specialist_actors(self):
        actors = super().specialist_actors()
        frozen, drifting = actors["forex"], self.specialists["forex"]

        def act(observation):
            with torch.no_grad():
                drifting.policy.action_net.bias.add_(1e-7)
            return frozen(observation)

        return {**actors, "forex": act}


def test_phase_2_fails_where_a_specialist_changed(tmp_path):
    honest = phase2_trainer(tmp_path)
    trainer = Unfaithful(honest.spec, honest.dataset, honest.unit, honest.specialist_folders)
    with pytest.raises(TrainingError, match="frozen specialist changed"):
        trainer.train()
    assert not (honest.unit.outputs / META).exists()


def test_phase_2_wants_its_specialists_loaded(tmp_path):
    with pytest.raises(UsageError, match="load_pretrained_specialists"):
        phase2_trainer(tmp_path).create_portfolio_environment()


@pytest.mark.parametrize("peers", [True, False])
def test_phase_3_begins_where_phase_2_ended(tmp_path, peers):
    """With peers shown and their columns zeroed, the first joint decision of every bar is that of phase 2."""
    trainer = phase3_trainer(tmp_path, peers=peers)
    trainer.load_pretrained_models()
    dataset, spec = trainer.dataset, trainer.spec
    joint = trainer.create_joint_training_env().joint_game
    assert joint.context is peers
    alone = JointGame(dataset, spec, context=False, joint=True)
    before = {agent: PolicyBundle.load(folder).act_fn() for agent, folder in trainer.folders.items()}
    now = {agent: bundle.act_fn() for agent, bundle in trainer.bundles.items()}
    first, second = engine_of(alone, 6), engine_of(joint, 6)
    for engine in (first, second):
        engine.begin(stagger=False)
    for _ in range(40):
        for agent in joint.agents:
            said = before[agent](first.observe(agent)), now[agent](second.observe(agent))
            np.testing.assert_array_equal(*said, err_msg=agent)
            first.say(agent, said[0])
            second.say(agent, said[1])
        first.advance()
        second.advance()
        np.testing.assert_array_equal(first.sim.state.equity, second.sim.state.equity)
    assert (np.abs(first.sim.exposure()) > 0.01).any()


def test_phase_3_raises_exploration_and_leaves_the_bundles_on_disk(tmp_path):
    trainer = phase3_trainer(tmp_path)
    digests = {agent: PolicyBundle.load(folder).digest for agent, folder in trainer.folders.items()}
    trainer.load_pretrained_models()
    for agent, bundle in trainer.bundles.items():
        level = trainer.phase.meta_log_std if agent == META else trainer.phase.specialist_log_std
        assert (bundle.policy.log_std == level).all()
    assert {agent: PolicyBundle.load(folder).digest for agent, folder in trainer.folders.items()} == digests


def test_phase_3_trains_every_agent_and_measures_conflict(tmp_path):
    trainer = phase3_trainer(tmp_path, aggregator={"name": "primary_projection", "beta": 0.1})
    before = {agent: PolicyBundle.load(folder) for agent, folder in trainer.folders.items()}
    metrics = trainer.train()
    assert np.isfinite(metrics["utility_per_bar"])
    for agent, old in before.items():
        new = PolicyBundle.load(trainer.unit.outputs / agent)
        assert new.provenance["phase"] == 3
        assert new.digest != old.digest
        np.testing.assert_array_equal(
            new.policy.features_extractor.mean.numpy(), old.policy.features_extractor.mean.numpy()
        )
        assert torch.equal(new.policy.value_net.weight, old.policy.value_net.weight), "joint critics are others"
    journal = journal_of(trainer.unit)
    assert [step for step, _ in journal] == [60, 120, 180, 240]
    assert "forex/cosine" not in journal[0][1], "the first rollout trains critics only"
    last = journal[-1][1]
    assert -1.0 <= last["forex/cosine"] <= 1.0
    assert {f"{agent}/{name}" for agent in before for name in ("approx_kl", "value_loss")} <= set(last)
    assert np.isfinite(trainer.evaluate(8)["validation_utility_per_bar"])


def test_critics_only_rollouts_leave_the_policies_alone(tmp_path):
    trainer = phase3_trainer(tmp_path, critic_warmup_rollouts=100)
    trainer.train()
    first = trainer.bundles
    again = phase3_trainer(tmp_path / "again")
    again.load_pretrained_models()
    assert {a: PolicyBundle.load(trainer.unit.outputs / a).digest for a in first} == {
        a: b.digest for a, b in again.bundles.items()
    }


def test_updates_happen_at_their_frequencies(tmp_path):
    trainer = phase3_trainer(tmp_path, specialist_update_freq=2, critic_warmup_rollouts=0)
    trainer.train()
    journal = journal_of(trainer.unit)
    updated = [{name.split("/")[0] for name in metrics if name.endswith("value_loss")} for _, metrics in journal]
    assert updated == [{META}, {META, *trainer.spec.groups}] * 2
