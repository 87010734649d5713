"""Every learner: built one way, it learns a rollout, stays finite, and its captured state is all of it."""

import json

import numpy as np
import pytest
from stable_baselines3.common.callbacks import BaseCallback

from mtquant.agents.learning.algorithms import (
    ALGORITHMS,
    capture_learner,
    finite,
    persistence_of,
    restore_learner,
    rollouts_of,
)
from mtquant.agents.learning.state import seed_everything
from mtquant.config.phases import PPOSpec
from mtquant.envs.spaces import Normaliser
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.store.snapshot import Snapshot
from tests.agents.made import PHASE1
from tests.envs.made import MADE, engine_of
from tests.tiny import tiny_dataset, tiny_spec

ROLLOUT = PHASE1.ppo.n_envs * PHASE1.ppo.n_steps


class At(BaseCallback):
    """Calls `act` at the start of a rollout, which is where units checkpoint."""

    def __init__(self, act) -> None:
        super().__init__()
        self.act = act

    def _on_rollout_start(self) -> None:
        self.act(self.model)

    def _on_step(self) -> bool:
        return True


def learner(name: str, spec: PPOSpec = PHASE1.ppo, timesteps: int = 3 * ROLLOUT, seed: int = 0):
    seed_everything(seed)
    game = MADE["specialist"](tiny_dataset(), tiny_spec())
    width = game.layout("forex").width
    env = VecMarketEnv(engine_of(game, spec.n_envs, seed), "forex")
    return ALGORITHMS[name](
        env,
        spec,
        timesteps,
        normaliser=Normaliser(np.zeros(width, np.float32), np.ones(width, np.float32), 10.0),
        seed=seed,
        device="cpu",
        persistence=persistence_of(game.spec.environment),
    )


def weights(model) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in model.policy.state_dict().items()}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_learns_and_stays_finite(name):
    model = learner(name)
    before = weights(model)
    model.learn(2 * ROLLOUT)
    after = weights(model)
    assert model.num_timesteps == 2 * ROLLOUT
    assert finite(model)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    frozen = {name for name in before if "features_extractor" in name}
    assert changed == set(before) - frozen


@pytest.mark.parametrize("name", ALGORITHMS)
def test_captured_state_continues_to_the_last_bit_and_through_a_file(name, tmp_path):
    whole = learner(name)

    def capture(model) -> None:
        if model.num_timesteps == ROLLOUT:
            Snapshot(*capture_learner(model)).write(tmp_path)

    whole.learn(3 * ROLLOUT, callback=At(capture))

    def restore(model) -> None:
        if model.num_timesteps == 0:
            found = Snapshot.read(tmp_path)
            json.dumps(found.values)
            restore_learner(model, found.arrays, found.values)

    other = learner(name, seed=5)
    # restoring belongs to the start of training; at a rollout's start SB3 has not looked at the state yet either
    other.learn(3 * ROLLOUT, callback=At(restore))
    for tensor, array in weights(whole).items():
        np.testing.assert_array_equal(array, weights(other)[tensor], err_msg=tensor)
    assert list(whole.ep_info_buffer) == list(other.ep_info_buffer)
    for counter in ("num_timesteps", "_n_updates", "_current_progress_remaining"):
        assert getattr(whole, counter) == getattr(other, counter), counter


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_step_size_is_a_function_of_absolute_progress(name, schedule):
    spec = PHASE1.ppo.model_copy(update={"learning_rate_schedule": schedule})
    model = learner(name, spec, timesteps=4 * ROLLOUT)
    rates = [model.lr_schedule(1.0 - done / 4) for done in (1, 2, 3, 4)]
    wanted = [1e-3, 0.75e-3, 0.5e-3, 0.25e-3] if schedule == "linear" else [1e-3] * 4
    assert rates == pytest.approx(wanted)


@pytest.mark.parametrize(("timesteps", "rollouts"), [(1, 1), (ROLLOUT, 1), (ROLLOUT + 1, 2), (10 * ROLLOUT, 10)])
def test_whole_rollouts_cover_the_steps(timesteps, rollouts):
    assert rollouts_of(timesteps, PHASE1.ppo) == rollouts
