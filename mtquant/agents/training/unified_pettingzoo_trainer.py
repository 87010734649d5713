"""`UnifiedPettingZooTrainer`: every documented environment by name, over the one trainer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.pettingzoo_mappo_trainer import MODELS, Model, PettingZooMAPPOTrainer, json_of
from mtquant.agents.training.team_rollouts import make_team
from mtquant.config.games import read_games
from mtquant.config.market_games import TeamSpec
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.config.presets import preset_for
from mtquant.context import Streams
from mtquant.envs.games.order_engine import create_execution_environment
from mtquant.envs.games.risk import create_risk_environment
from mtquant.envs.games.strategic import create_strategic_environment
from mtquant.envs.games.tactical import create_tactical_environment
from mtquant.envs.games.team import create_team_environment
from mtquant.evaluation.team import Seen, observations_of
from mtquant.evaluation.team_history import history_of
from mtquant.evaluation.team_report import write_team_report
from mtquant.store.files import write_atomic
from mtquant.store.units import UnitHandle, UnitResult

TRAIN, VALIDATION, TEST = "train", "validation", "test"
EVALUATION = "evaluation.json"
ROWS, OBSERVATIONS = 16, 512
"""Rows that are played, and observations that are kept, to compare an exported agent with the trained one."""
ENVIRONMENTS: dict[TrainingMode, Callable[..., Any]] = {
    TrainingMode.STRATEGIC: create_strategic_environment,
    TrainingMode.TACTICAL: create_tactical_environment,
    TrainingMode.RISK: create_risk_environment,
    TrainingMode.EXECUTION: create_execution_environment,
    TrainingMode.TACTICAL_TEAM: partial(create_team_environment, "tactical"),
    TrainingMode.STRATEGIC_TEAM: partial(create_team_environment, "strategic"),
}
"""The environment of each mode; `mixed` is several of them."""
BLOCKS: dict[TrainingMode, str] = {
    TrainingMode.STRATEGIC: "strategic_marl",
    TrainingMode.TACTICAL: "tactical_marl",
    TrainingMode.RISK: "risk_management",
    TrainingMode.EXECUTION: "execution",
    TrainingMode.TACTICAL_TEAM: "tactical",
    TrainingMode.STRATEGIC_TEAM: "strategic",
}
"""The block of settings of each environment."""


@dataclass(frozen=True)
class Candidate:
    """A short training of the search."""

    number: int
    rate: float
    """Step size of actors and critics."""


class UnifiedPettingZooTrainer:
    """Trains what a mode names: settings, search, training, evaluation on unseen bars, report."""

    def __init__(self, config: UnifiedTrainingConfig) -> None:
        self.config = config
        self.trainers: dict[TrainingMode, PettingZooMAPPOTrainer] = {}
        """By environment, once trained."""

    def train(self) -> dict[str, Any]:
        """Train every environment of the mode and return the results.

        `modes`: for each environment what `PettingZooMAPPOTrainer.train` returns, and `evaluation` (on the test
        split), `search` (step size to reward on the validation split). `best_performance`: the evaluated reward per
        episode, mean over environments. `training_time`: seconds of everything that was trained. What is evaluated is
        the best model by validation.
        """
        modes: dict[str, dict[str, Any]] = {}
        seconds = 0.0
        for mode in self.config.training_mode.parts:
            search: dict[float, float] = {}
            for candidate in self.candidates():
                trainer = PettingZooMAPPOTrainer(self.settings(mode, candidate))
                seconds += trainer.train()["training_time"]
                search[candidate.rate] = self._evaluate(trainer, VALIDATION)["reward"]
            trainer = PettingZooMAPPOTrainer(self.settings(mode, rate=best_rate(search)))
            found = trainer.train()
            seconds += found["training_time"]
            self.trainers[mode] = trainer
            modes[str(mode)] = found | {"evaluation": self._evaluate(trainer, TEST), "search": search}
        rewards = [found["evaluation"]["reward"] for found in modes.values()]
        return {"best_performance": sum(rewards) / len(rewards), "training_time": seconds, "modes": modes}

    def candidates(self) -> tuple[Candidate, ...]:
        """Return the short trainings that come first; none without a search."""
        if not self.config.enable_hyperparameter_optimization:
            return ()
        return tuple(Candidate(number, rate) for number, rate in enumerate(self.config.search_rates))

    def settings(
        self, mode: TrainingMode, candidate: Candidate | None = None, rate: float | None = None
    ) -> TrainingConfig:
        """Return the settings with which `mode` is trained: in full, or as a candidate of the search."""
        config = self.config
        changes: dict[str, Any] = preset_for(mode, config.training) | self._documented(mode)
        changes |= {"env_factory": ENVIRONMENTS[mode], "env_settings": {"split": TRAIN} | config.environment}
        changes |= {"validations": config.validations, "validation_settings": {"split": VALIDATION}}
        if config.total_episodes is not None:
            changes |= {"num_episodes": config.total_episodes, "total_steps": None}
        if config.enable_curriculum_learning:
            changes["curriculum"] = config.curriculum
        chosen = rate if candidate is None else candidate.rate
        if chosen is not None:
            changes |= {"learning_rate": chosen, "lr_actor": None, "lr_critic": None}
        full = config.training.changed(**changes)
        if candidate is None:
            return full
        share = config.search_share
        shorter: dict[str, Any] = {"validations": 0, "num_episodes": math.ceil(share * full.num_episodes)}
        if full.total_steps is not None:
            shorter["total_steps"] = math.ceil(share * full.total_steps)
        return full.changed(**shorter)

    def _documented(self, mode: TrainingMode) -> dict[str, Any]:
        """Return what the settings of the environment say of its episodes, and of a team's training.

        Of a team, `total_episodes` and the rates in `training` count instead where they are stated.
        """
        games = read_games(self.config.environment.get("config"))
        block, training = getattr(games, BLOCKS[mode]), self.config.training
        if not isinstance(block, TeamSpec):
            return {"episode_length": block.environment.max_episode_steps}
        return {
            "episode_length": block.episode_length,
            "num_episodes": block.num_episodes,
            "lr_actor": training.lr_actor or block.lr_actor,
            "lr_critic": training.lr_critic or block.lr_critic,
        }

    def search(self, mode: TrainingMode, candidate: Candidate, unit: UnitHandle) -> UnitResult:
        """Train a candidate inside `unit`; its metric `validation_reward` is what the search compares."""
        trainer = PettingZooMAPPOTrainer(self.settings(mode, candidate), unit)
        result = trainer.work(unit)
        reward = self._evaluate(trainer, VALIDATION)["reward"]
        return UnitResult(result.metrics | {"validation_reward": reward}, result.outputs)

    def work(self, mode: TrainingMode, unit: UnitHandle, search: Mapping[float, float]) -> UnitResult:
        """Train `mode` inside `unit` with the best step size of `search`; evaluate, and write the report."""
        settings = self.settings(mode, rate=best_rate(search))
        trainer = PettingZooMAPPOTrainer(settings, unit)
        result = trainer.work(unit)
        measured = self.measured(trainer)
        found = measured["best"]
        write_atomic(unit.outputs / EVALUATION, json_of(measured))
        metrics = {"test_reward": found["reward"], "test_reward_error": found["reward_error"]}
        metrics["final_test_reward"] = measured["final"]["reward"]
        metrics |= {f"test/{agent}": reward for agent, reward in found["agent_rewards"].items()}
        facts = {"algorithm": settings.algorithm, "reward structure": settings.reward_structure, **result.metrics}
        facts |= {"reward on the test split": found["reward"], "its standard error": found["reward_error"]}
        history = history_of(unit.unit.journal.read(), list(found["agent_rewards"]))
        write_team_report(unit.outputs, f"Training of the {mode} environment", history, facts)
        return UnitResult(result.metrics | metrics, result.outputs)

    def measured(self, trainer: PettingZooMAPPOTrainer) -> dict[Model, dict[str, Any]]:
        """Return what the best and the final model earn on the test split."""
        episodes = self.config.evaluation_episodes
        return {model: trainer.evaluate(episodes, model=model, split=TEST) for model in MODELS}

    def observations(self, mode: TrainingMode, bundles: Mapping[str, PolicyBundle], split: str) -> dict[str, Seen]:
        """Return what each agent of a trained team and its critic see on `split`, `OBSERVATIONS` of both."""
        settings = self.settings(mode)
        settings = settings.model_copy(update={"env_settings": settings.env_settings | {"split": split}})
        team = make_team(settings, ROWS, Streams(settings.seed).rng("mappo", "observations"))
        found = observations_of(team, {agent: bundle.actor.act for agent, bundle in bundles.items()}, OBSERVATIONS)
        team.close()
        return found

    def _evaluate(self, trainer: PettingZooMAPPOTrainer, split: str) -> dict[str, Any]:
        return trainer.evaluate(self.config.evaluation_episodes, split=split)


def best_rate(search: Mapping[float, float]) -> float | None:
    """Return the step size with the highest reward, the first of equal ones; None without a search."""
    return max(search, key=lambda rate: search[rate]) if search else None
