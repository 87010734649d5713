"""Phase 1: one specialist per asset group, by SB3's PPO on single-instrument episodes."""

from collections.abc import Callable
from typing import Any

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.algorithms import build_ppo, persistence_of, rollouts_of
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.policy import hold
from mtquant.agents.training.callbacks import UnitCallback
from mtquant.agents.training.divergence import divergence_named
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.specialist import SpecialistGame
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.errors import ConfigError
from mtquant.metrics import sharpe
from mtquant.registry import did_you_mean
from mtquant.store.units import UnitHandle


class Phase1Trainer:
    """Trains and evaluates specialists.

    `handles` gives the unit a specialist's training writes to; the pipeline runs one process per
    specialist, `train` runs them one after the other in this process.
    """

    def __init__(self, spec: PipelineSpec, dataset: Dataset, handles: Callable[[str], UnitHandle]) -> None:
        self.spec, self.dataset, self.handles = spec, dataset, handles

    def train(self) -> dict[str, Any]:
        """Train all specialists; return their metrics by group."""
        return {group: self.train_specialist(group) for group in self.spec.groups}

    def create_specialist_environment(self, specialist_name: str, split: str = "train") -> VecMarketEnv:
        """Return the rows a specialist trains on. Raises `ConfigError` for an unknown group."""
        if specialist_name not in self.spec.groups:
            raise ConfigError(
                f"Unknown specialist `{specialist_name}`.{did_you_mean(specialist_name, self.spec.groups)}"
            )
        game = SpecialistGame(self.dataset, self.spec, specialist_name)
        rng = self.handles(specialist_name).streams.rng("phase1", specialist_name, "episodes", split)
        return VecMarketEnv(
            GameEngine(game, self.dataset.splits[split], self.spec.phase1.ppo.n_envs, rng), specialist_name
        )

    def train_specialist(self, specialist_name: str) -> dict[str, float]:
        """Train one specialist, write its bundle to `outputs/<group>` and return its metrics."""
        unit = self.handles(specialist_name)
        spec = self.spec.phase1
        env = self.create_specialist_environment(specialist_name)
        game = env.engine.game
        assert isinstance(game, SpecialistGame)
        seed = unit.streams.integer("phase1", specialist_name, "learner")
        seed_everything(seed)
        model = build_ppo(
            env,
            spec.ppo,
            spec.timesteps,
            normaliser=game.view.normaliser(self.dataset),
            persistence=persistence_of(self.spec.environment),
            seed=seed,
            device=self.spec.device,
        )
        if spec.constant_exposure is None:
            total = rollouts_of(spec.timesteps, spec.ppo) * spec.ppo.n_envs * spec.ppo.n_steps
            with divergence_named("phase1.ppo.learning_rate"):
                model.learn(total, callback=UnitCallback(unit))
        else:
            hold(model.policy, spec.constant_exposure / self.spec.environment.target_range)
        bundle = PolicyBundle(
            specialist_name,
            game.layout(specialist_name),
            game.actions(specialist_name),
            self.spec.members(specialist_name),
            spec.ppo.actor_hidden,
            spec.ppo.critic_hidden,
            self.spec.features.clip,
            model.policy,
            True,
            {"phase": 1, "timesteps": model.num_timesteps},
        )
        bundle.save(unit.outputs / specialist_name)
        return self.evaluate_specialist(specialist_name)

    def evaluate_specialist(self, specialist_name: str, n_episodes: int = 100) -> dict[str, float]:
        """Run the trained specialist on `n_episodes` validation episodes; return rewards and Sharpe ratio.

        Deterministic actions. `reward_per_bar` is the training reward in u0; `sharpe` is annual, net.
        """
        unit = self.handles(specialist_name)
        act = PolicyBundle.load(unit.outputs / specialist_name).actor.act
        game = SpecialistGame(self.dataset, self.spec, specialist_name)
        rng = unit.streams.rng("phase1", specialist_name, "evaluation")
        engine = GameEngine(game, self.dataset.splits["validation"], n_episodes, rng)
        rewards, returns = engine.play_episodes({specialist_name: act}, specialist_name)
        return {
            "validation_reward_per_bar": float(rewards.mean()),
            "validation_sharpe": float(sharpe(returns, self.dataset.market.bars_per_year)),
        }
