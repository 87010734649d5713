"""Phase 2: the meta-controller learns to allocate risk to frozen specialists, by SB3's PPO."""

from pathlib import Path
from typing import Any

from mtquant.agents.bundle import InstrumentActor, PolicyBundle
from mtquant.agents.learning.algorithms import build_ppo, rollouts_of
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.training.callbacks import UnitCallback
from mtquant.agents.training.divergence import divergence_named
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.games.joint import META, JointGame
from mtquant.envs.games.meta_controller import MetaControllerTrainingEnv
from mtquant.errors import TrainingError, UsageError
from mtquant.store.units import UnitHandle


class Phase2Trainer:
    """Trains the meta-controller; `specialist_folders` are the bundles of phase 1 by group."""

    def __init__(
        self, spec: PipelineSpec, dataset: Dataset, unit: UnitHandle, specialist_folders: dict[str, Path]
    ) -> None:
        self.spec, self.dataset, self.unit = spec, dataset, unit
        self.specialist_folders = specialist_folders
        self.specialists: dict[str, PolicyBundle] = {}

    def load_pretrained_specialists(self) -> None:
        """Load the bundles of phase 1."""
        self.specialists = {g: PolicyBundle.load(folder) for g, folder in self.specialist_folders.items()}

    def specialist_actors(self) -> dict[str, InstrumentActor]:
        """Return the frozen specialists as policies of the joint game."""
        if not self.specialists:
            raise UsageError("Call `load_pretrained_specialists` first.")
        return {group: bundle.act_fn() for group, bundle in self.specialists.items()}

    def create_portfolio_environment(self, split: str = "train") -> MetaControllerTrainingEnv:
        """Return the portfolios the meta-controller trains on."""
        return MetaControllerTrainingEnv(
            self.dataset,
            self.spec,
            self.dataset.splits[split],
            self.specialist_actors(),
            rows=self.spec.phase2.ppo.n_envs,
            rng=self.unit.streams.rng("phase2", "episodes", split),
        )

    def train(self) -> dict[str, Any]:
        """Train the meta-controller, write its bundle to `outputs/meta`, return metrics.

        Raises `TrainingError` if a specialist's weights changed, which would make the phases meaningless.
        """
        self.load_pretrained_specialists()
        before = {group: bundle.digest for group, bundle in self.specialists.items()}
        env = self.create_portfolio_environment()
        game = env.engine.game
        assert isinstance(game, JointGame)
        spec = self.spec.phase2
        seed = self.unit.streams.integer("phase2", "learner")
        seed_everything(seed)
        model = build_ppo(
            env,
            spec.ppo,
            spec.timesteps,
            normaliser=game.meta_view.normaliser(),
            persistence=(1.0, 1.0 - spec.budget_smoothing),
            seed=seed,
            device=self.spec.device,
        )
        total = rollouts_of(spec.timesteps, spec.ppo) * spec.ppo.n_envs * spec.ppo.n_steps
        with divergence_named("phase2.ppo.learning_rate"):
            model.learn(total, callback=UnitCallback(self.unit))
        after = {group: bundle.digest for group, bundle in self.specialists.items()}
        if before != after:
            raise TrainingError("A frozen specialist changed during phase 2; its weights differ before and after.")
        bundle = PolicyBundle(
            META,
            game.layout(META),
            game.actions(META),
            self.dataset.market.symbols,
            spec.ppo.actor_hidden,
            spec.ppo.critic_hidden,
            self.spec.features.clip,
            model.policy,
            False,
            {"phase": 2, "timesteps": model.num_timesteps, "specialists": after},
        )
        bundle.save(self.unit.outputs / META)
        episodes = [float(e["r"]) / max(float(e["l"]), 1.0) for e in model.ep_info_buffer or ()]
        return {"reward_per_decision": sum(episodes) / len(episodes)} if episodes else {}
