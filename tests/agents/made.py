"""Small learners, untrained bundles and real units in a temporary store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.policy import build_policy, policy_arguments
from mtquant.config.agents import PipelineSpec
from mtquant.config.phases import Phase1Spec, Phase2Spec, Phase3Spec, PPOSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.envs.games.joint import META, JointGame
from mtquant.envs.spaces import ActionMap, Normaliser
from mtquant.store.units import Unit, UnitHandle, UnitSpec
from tests.tiny import tiny_spec

PPO = {"batch_size": 32, "n_epochs": 2, "actor_hidden": (8,), "critic_hidden": (8,)}
PHASE1 = Phase1Spec(timesteps=512, ppo=PPOSpec(n_envs=8, n_steps=16, **PPO))
PHASE2 = Phase2Spec(timesteps=128, ppo=PPOSpec(n_envs=4, n_steps=8, weight_decay=0.0, **PPO))
PHASE3 = {"timesteps": 240, "n_envs": 4, "n_steps": 15, "n_epochs": 2, "n_minibatches": 2, "critic_warmup_rollouts": 1}


def learning_spec(**changes: object) -> PipelineSpec:
    """Return a spec whose phases take four rollouts each; `phase3` may be a dict of differences."""
    phase3 = changes.pop("phase3", {})
    assert isinstance(phase3, dict)
    return tiny_spec(**({"phase1": PHASE1, "phase2": PHASE2, "phase3": Phase3Spec(**PHASE3 | phase3)} | changes))


def bundle_of(agent: str, dataset: Dataset, spec: PipelineSpec, seed: int = 0, size: float = 0.5) -> PolicyBundle:
    """Return an untrained bundle with weights and a normaliser that are not trivial."""
    game = JointGame(dataset, spec, context=True, joint=True)
    meta = agent == META
    layout = game.layout(META) if meta else game.view.layout
    actions = game.actions(META) if meta else ActionMap(1, -1.0, 1.0)
    rng = Streams(seed).rng("bundle", agent)
    width = layout.width
    mean = rng.uniform(-0.5, 0.5, width).astype(np.float32)
    if not meta:
        # as `SpecialistView.normaliser` does: what is not shown is zero and stays zero
        mean[game.view.context] = 0.0
    arguments = policy_arguments(
        Normaliser(mean, rng.uniform(0.5, 2.0, width).astype(np.float32), 3.0),
        actor_hidden=(8, 8),
        critic_hidden=(8,),
        log_std_init=-0.7,
        weight_decay=0.0,
    )
    policy = build_policy(layout.space(), actions.space(), 1e-3, arguments)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.copy_(torch.from_numpy(size * rng.standard_normal(tuple(parameter.shape)).astype(np.float32)))
    policy.set_training_mode(False)
    return PolicyBundle(
        agent=agent,
        layout=layout,
        actions=actions,
        instruments=dataset.market.symbols if meta else spec.members(agent),
        actor_hidden=(8, 8),
        critic_hidden=(8,),
        clip=3.0,
        policy=policy,
        per_instrument=not meta,
        provenance={"phase": 2 if meta else 1},
    )


def bundles_of(dataset: Dataset, spec: PipelineSpec, seed: int = 0) -> dict[str, PolicyBundle]:
    """Return one untrained bundle per agent of the joint game."""
    return {agent: bundle_of(agent, dataset, spec, seed) for agent in (META, *spec.groups)}


def saved(bundles: dict[str, PolicyBundle], folder: Path) -> dict[str, Path]:
    """Save bundles and return their folders by agent."""
    for agent, bundle in bundles.items():
        bundle.save(folder / agent)
    return {agent: folder / agent for agent in bundles}


class Stop:
    """Asks work to stop at its n-th boundary; never where `at` is None."""

    def __init__(self, at: int | None = None) -> None:
        self.at, self.asked = at, 0

    def __call__(self) -> bool:
        self.asked += 1
        return self.asked == self.at


def handle_of(
    root: Path,
    name: str = "phase1-forex",
    seed: int = 0,
    *,
    stop: Callable[[], bool] | None = None,
    checkpoint_seconds: float = 0.0,
) -> UnitHandle:
    """Begin an attempt of a real unit below `root`, as the process of a unit does."""
    kind, subject = name.split("-", 1)
    unit = Unit(root, UnitSpec(name, kind, subject, {"name": name, "seed": seed}))
    unit.create()
    return UnitHandle(unit, Streams(seed), unit.begin_attempt(), checkpoint_seconds, stop or Stop())


def journal_of(handle: UnitHandle) -> list[tuple[int, dict[str, float | str]]]:
    """Return steps and metrics of the unit's journal, without times; NaN as text so that it equals itself."""
    return [
        (line.step, {name: "nan" if np.isnan(value) else value for name, value in line.metrics.items()})
        for line in handle.unit.journal.read()
    ]
