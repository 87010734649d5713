"""`PettingZooMAPPOTrainer`: results, bundles, reuse, and exact resume on every kind of environment."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from mpe2 import simple_spread_v3

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.critic_bundle import CriticBundle, critic_of
from mtquant.agents.training.pettingzoo_mappo_trainer import PettingZooMAPPOTrainer, model_folder
from mtquant.agents.training.team_identity import environment_identity, planned_steps
from mtquant.agents.training.team_validation import evaluation_of
from mtquant.config.phases import CurriculumSpec
from mtquant.envs.games.joint import JointTrainingEnv
from mtquant.errors import Preempted, StoreError, TrainingError, UsageError
from mtquant.gates.simple_spread import SimpleSpread
from tests.agents.made import Stop, handle_of, journal_of
from tests.agents.teams import learners, rollout, settings
from tests.envs.teams import Duel, Fading, Restless, Solo
from tests.tiny import tiny_dataset, tiny_spec


class Spread:
    """A batched environment, as `env_factory` may return one."""

    batch = SimpleSpread


def joint() -> JointTrainingEnv:
    dataset = tiny_dataset()
    return JointTrainingEnv(dataset, tiny_spec(), dataset.splits.train)


MADE: dict[str, Callable[..., Any]] = {
    "batch": lambda: Spread,
    "market": joint,
    "parallel": partial(simple_spread_v3.parallel_env, max_cycles=7),
    "aec": partial(simple_spread_v3.env, max_cycles=7),
    "turns": Duel,
    "deaths": Fading,
    "continuous": partial(Solo, "Pendulum-v1"),
}
LONG = {"total_steps": 4 * 4 * 8, "rollout_shards": 2}
CURRICULUM = CurriculumSpec(episode_scale=(0.5, 1.0), until=(0.5,))


def trained(root: Any, name: str, stop: Stop | None = None, **changes: Any) -> dict[str, np.ndarray]:
    """Train in a unit below `root` and return the state of its last checkpoint."""
    config = settings(env_factory=MADE[name], **LONG, **changes)
    handle = handle_of(root, f"mappo-{name}", stop=stop)
    PettingZooMAPPOTrainer(config, handle).train()
    step, snapshot = handle.load_checkpoint()
    assert step == LONG["total_steps"]
    text = json.dumps(snapshot.values, sort_keys=True).encode()
    return snapshot.arrays | {"values": np.frombuffer(text, dtype=np.uint8)}


@pytest.mark.parametrize("name", MADE)
def test_resumed_is_uninterrupted_bit_for_bit(name, tmp_path):
    changes = {"curriculum": CURRICULUM} if name == "market" else {}
    expected = trained(tmp_path / "straight", name, **changes)
    for boundary in (1, 2):
        root = tmp_path / f"stopped{boundary}"
        with pytest.raises(Preempted):
            trained(root, name, Stop(boundary), **changes)
        found = trained(root, name, **changes)
        assert set(found) == set(expected)
        for part, array in expected.items():
            np.testing.assert_array_equal(found[part], array, err_msg=part)
    journals = [journal_of(handle_of(tmp_path / folder, f"mappo-{name}")) for folder in ("straight", "stopped1")]
    assert journals[0] == journals[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"share_policy": False},
        {"algorithm": "ippo"},
        {"reward_structure": "cooperative"},
        {"batch_size": 20, "learning_rate_schedule": "linear", "value_norm": False, "agent_id": False},
        {"restart_episodes": True},
        {"validations": 4, "validation_episodes": 5},
    ],
    ids=str,
)
def test_every_variant_resumes(changes, tmp_path):
    expected = trained(tmp_path / "straight", "deaths", **changes)
    with pytest.raises(Preempted):
        trained(tmp_path / "stopped", "deaths", Stop(2), **changes)
    found = trained(tmp_path / "stopped", "deaths", **changes)
    for part, array in expected.items():
        np.testing.assert_array_equal(found[part], array, err_msg=part)


def test_what_no_seed_determines_resumes_where_episodes_restart(tmp_path):
    config = settings(env_factory=Restless, restart_episodes=True, n_steps=3, total_steps=48)
    with pytest.raises(Preempted):
        PettingZooMAPPOTrainer(config, handle_of(tmp_path, "mappo-restless", stop=Stop(2))).train()
    found = PettingZooMAPPOTrainer(config, handle_of(tmp_path, "mappo-restless")).train()
    assert found["steps"] == 48


@pytest.mark.parametrize("name", ["parallel", "turns", "market"])
def test_a_training_of_its_own_is_reused_and_has_the_documented_results(name):
    trainer = PettingZooMAPPOTrainer(settings(env_factory=MADE[name], num_episodes=9, n_steps=30))
    found = trainer.train()
    assert found["episodes"] >= 9 > 0
    assert found["best_reward"] == max(found["reward_history"])
    assert found["final_reward"] == found["reward_history"][-1]
    assert found["training_time"] > 0.0
    assert found["steps"] % (4 * 30) == 0
    assert sum(found["agent_rewards"].values()) == pytest.approx(found["final_reward"])
    attempts = trainer.unit.attempts()
    again = PettingZooMAPPOTrainer(settings(env_factory=MADE[name], num_episodes=9, n_steps=30))
    assert again.train() == found
    assert again.unit.attempts() == attempts == 1


def test_settings_environment_and_seed_make_another_training():
    units = [
        PettingZooMAPPOTrainer(settings(total_steps=32, **changes))
        for changes in (
            {"env_factory": Duel},
            {"env_factory": Duel, "seed": 1},
            {"env_factory": Duel, "gamma": 0.5},
            {"env_factory": Fading},
            {"env_factory": Fading, "env_settings": {"cycles": 5}},
        )
    ]
    for trainer in units:
        trainer.train()
    assert len({trainer.unit.spec.key for trainer in units}) == len(units)
    same = PettingZooMAPPOTrainer(settings(total_steps=32, env_factory=Duel, checkpoint_seconds=99.0))
    same.train()
    assert same.unit.spec.key == units[0].unit.spec.key


def test_an_environment_is_known_by_class_source_version_and_spaces():
    found = environment_identity(settings(env_factory=simple_spread_v3.parallel_env))
    assert found["name"] == "simple_spread_v3"
    assert found["version"].startswith("mpe2 ")
    other = environment_identity(settings(env_factory=partial(simple_spread_v3.parallel_env, N=4)))
    assert found["source"] == other["source"]
    assert found["spaces"] != other["spaces"]
    one, two = (environment_identity(settings(env_factory=make)) for make in (lambda: Fading(4), lambda: Fading(5)))
    assert one["factory"] != two["factory"]


def test_planned_steps_are_whole_rollouts():
    assert planned_steps(settings(total_steps=33)) == 64
    assert planned_steps(settings(num_episodes=3, episode_length=10)) == 32


@pytest.mark.parametrize("name", ["batch", "turns", "continuous", "market"])
@pytest.mark.parametrize("share", [True, False])
def test_bundles_act_as_the_policy_that_was_trained(name, share, tmp_path):
    """An agent's bundle needs nothing but its observation, also where it shares the policy."""
    config = settings(env_factory=MADE[name], share_policy=share, **LONG)
    handle = handle_of(tmp_path, "mappo-one")
    trainer = PettingZooMAPPOTrainer(config, handle)
    trainer.train()
    _, snapshot = handle.load_checkpoint()
    rng = np.random.Generator(np.random.PCG64(0))
    for bundle in trainer.bundles().values():
        again = PolicyBundle.load(handle.outputs / bundle.agent)
        seen = rng.standard_normal((9, bundle.layout.width)).astype(np.float32)
        said = again.actor.act(seen)
        assert said.shape == (9, bundle.actions.size)
        told = np.concatenate([seen, np.tile(np.float32(bundle.identity), (9, 1))], axis=1)
        with torch.no_grad():
            best = bundle.policy.get_distribution(torch.from_numpy(told)).mode().numpy().reshape(9, -1)
        space = bundle.actions.space()
        expected = np.clip(best, space.low, space.high) if hasattr(space, "low") else best
        np.testing.assert_array_equal(said, expected)
        names = {name.split(".policy.")[0] for name in snapshot.arrays if ".policy." in name}
        (own,) = {bundle.agent, "shared", f"shared-{bundle.provenance['group'][0]}"} & names
        learned = snapshot.arrays[f"{own}.policy.action_net.weight"]
        np.testing.assert_array_equal(learned, bundle.policy.action_net.weight.detach().numpy())


def test_evaluation_plays_whole_episodes_and_repeats_itself():
    trainer = PettingZooMAPPOTrainer(settings(env_factory=Fading, total_steps=64))
    with pytest.raises(UsageError, match="call `train` first"):
        trainer.evaluate()
    trainer.train()
    found = trainer.evaluate(50)
    assert found == trainer.evaluate(50)
    assert found["episodes"] >= 50
    assert sum(found["agent_rewards"].values()) == pytest.approx(found["reward"])
    assert 2.0 <= found["episode_length"] <= 10.0


def test_the_best_model_is_the_one_that_validation_found_best(tmp_path):
    config = settings(env_factory=Fading, validations=4, validation_episodes=20, learning_rate=0.1, **LONG)
    handle = handle_of(tmp_path, "mappo-fading")
    trainer = PettingZooMAPPOTrainer(config, handle)
    told = trainer.train()["validation"]
    assert [line["step"] for line in told["history"]] == [32, 64, 96, 128]
    rewards = {line["step"]: line["reward"] for line in told["history"]}
    assert told["best_reward"] == max(rewards.values()) == rewards[told["best_step"]]
    journal = {line.step: line.metrics for line in handle.unit.journal.read()}
    assert {step: metrics["validation_reward"] for step, metrics in journal.items()} == rewards
    for model, step in (("best", told["best_step"]), ("final", 128)):
        for agent, bundle in trainer.bundles(model).items():
            assert bundle.provenance["timesteps"] == step
            critic = CriticBundle.load(model_folder(handle.outputs, model) / agent)
            assert critic.values(np.zeros((3, 2)), np.zeros((3, critic.state))).shape == (3,)
    again = evaluation_of(
        config,
        {agent: bundle.actor.act for agent, bundle in trainer.bundles("best").items()},
        20,
        handle.streams.rng("mappo", "validation"),
        {},
    )
    assert again["reward"] == told["best_reward"]


def test_without_validation_the_best_is_the_final_model(tmp_path):
    trainer = PettingZooMAPPOTrainer(settings(env_factory=Duel, **LONG), handle_of(tmp_path, "mappo-duel"))
    assert trainer.train()["validation"]["history"] == []
    for agent, bundle in trainer.bundles("best").items():
        assert bundle.digest == trainer.bundles("final")[agent].digest


def test_critics_say_what_the_learner_s_did(tmp_path):
    """In units of reward, from the agent's observation and the state, its identity inside."""
    config = settings(env_factory=Fading)
    env, samples = rollout(Fading, config)
    (learner,) = learners(env, config).values()
    learner.learn(samples[learner.group.name], 1.0)
    seen, state = samples[learner.group.name].last_observation, samples[learner.group.name].last_state
    expected = learner.values(seen, state)
    for member, agent in enumerate(learner.group.agents):
        critic_of(learner, env, agent, learner.group.identity[member]).save(tmp_path / agent)
        found = CriticBundle.load(tmp_path / agent).values(seen[:, member], state[:, -1])
        np.testing.assert_allclose(found, expected[:, member], rtol=1e-5, atol=1e-5)
    (tmp_path / agent / "critic.safetensors").write_bytes(b"torn")
    with pytest.raises(StoreError, match="cannot be read"):
        CriticBundle.load(tmp_path / agent)


def test_rewards_of_agents_and_pictures(tmp_path):
    trainer = PettingZooMAPPOTrainer(settings(env_factory=Duel, num_episodes=9), handle_of(tmp_path, "mappo-duel"))
    with pytest.raises(UsageError, match="call `train` first"):
        trainer.get_agent_rewards(0)
    history = trainer.train()["reward_history"]
    rewards = [trainer.get_agent_rewards(number) for number in range(2)]
    np.testing.assert_allclose(sum(rewards), history)
    np.testing.assert_array_equal(trainer.get_agent_rewards("player_1"), rewards[1])
    with pytest.raises(UsageError, match="no agent `player_7`; there are player_0, player_1"):
        trainer.get_agent_rewards("player_7")
    drawn = [trainer.plot_agent_coordination(), trainer.plot_agent_rewards(tmp_path / "x" / "here.png")]
    for path in (*drawn, trainer.plot_training_progress()):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_team_needs_an_environment():
    with pytest.raises(UsageError, match="give `env_factory`"):
        PettingZooMAPPOTrainer(settings()).train()
    with pytest.raises(UsageError, match="returned int, on which nothing can be trained"):
        PettingZooMAPPOTrainer(settings(env_factory=lambda: 3)).train()


@pytest.mark.parametrize("rate", [1e3, 1e30])
def test_divergence_ends_with_a_sentence(rate, tmp_path):
    config = settings(env_factory=MADE["continuous"], learning_rate=rate, max_grad_norm=1e30, total_steps=640)
    with pytest.raises(TrainingError, match=r"diverged.*[Ll]ower"):
        PettingZooMAPPOTrainer(config, handle_of(tmp_path, "mappo-solo")).train()
