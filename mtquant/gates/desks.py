"""What the gates of the four environments train: the whole team, and each of its agents alone, for as many steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.unified_pettingzoo_trainer import UnifiedPettingZooTrainer
from mtquant.config.marl import TrainingConfig, TrainingMode, UnifiedTrainingConfig
from mtquant.envs.games.strategic import EXPERTS
from mtquant.envs.games.tactical import TACTICIANS
from mtquant.gates.alone import alone_environment
from mtquant.gates.teams import trained_unit
from mtquant.store.digests import digest_json
from mtquant.store.units import Unit
from mtquant.types import ActFn

PLANTED: Mapping[TrainingMode, dict[str, Any]] = {
    TrainingMode.STRATEGIC: {"strategic_marl": {"environment": {"train_histories": 16}}},
    TrainingMode.TACTICAL: {"tactical_marl": {"environment": {"train_histories": 16}}},
    # in a storm a bar earns 0.022 of its risk, which 24 histories show by 2.8 standard errors only
    # of execution and risk the rewards are the oracle's goal, without the documents' bonuses beside it
    TrainingMode.RISK: {
        "risk_management": {
            "environment": {"black_swan_rate": 0.0, "train_histories": 192},
            "rewards": {"var_bonus": 0.0, "drawdown_penalty": 0.0, "emergency_bonus": 0.0},
        }
    },
    TrainingMode.EXECUTION: {"execution": {"rewards": {"speed_bonus": 0.0, "impact_penalty": 0.0, "venue_bonus": 0.0}}},
}
"""Settings of the environments for which the optimum is known, with enough bars that luck is not learned."""
DIVIDED = "gp-divided"
"""The market on which agents of a voting team need one another: each is shown one of its three signals."""


def _divided(block: str, agents: tuple[str, ...]) -> dict[str, Any]:
    columns = ["signal_fast", "signal_middle", "signal_slow", "position"]
    shown = {agent: {"observation_columns": [i, len(columns) - 1]} for i, agent in enumerate(agents)}
    environment = {"train_histories": 16, "columns": columns, "matrix_shape": [1, len(columns)]}
    return {block: {"environment": environment, "agents": shown}}


SHOWN_ONE: Mapping[TrainingMode, dict[str, Any]] = {
    TrainingMode.STRATEGIC: _divided("strategic_marl", EXPERTS),
    TrainingMode.TACTICAL: _divided("tactical_marl", TACTICIANS),
}
"""Settings of the voting games on `DIVIDED`: one signal and the exposure held for every agent."""


@dataclass(frozen=True)
class DeskTraining:
    """Settings of one team, and of its agents alone where they are its rivals; gates with equal ones share them."""

    mode: TrainingMode
    total_steps: int
    bars: str | None = None
    """Planted market; none: that of the environment."""
    rivals: bool = True
    """Whether every agent is trained alone as well."""

    @property
    def environment(self) -> dict[str, Any]:
        """Settings of the environment."""
        return PLANTED[self.mode] if self.bars is None else SHOWN_ONE[self.mode]

    def config(self, seed: int, alone: str | None = None) -> TrainingConfig:
        """Return the settings: those of `mtquant marl` on the planted market, of everybody or of one agent alone."""
        usual = UnifiedTrainingConfig()
        unified = UnifiedTrainingConfig(
            training_mode=self.mode,
            environment={"config": self.environment, "bars": self.bars},
            training=usual.training.changed(total_steps=self.total_steps, seed=seed),
        )
        team = UnifiedPettingZooTrainer(unified).settings(self.mode)
        if alone is None:
            return team
        settings = team.env_settings | {"mode": str(self.mode), "agent": alone}
        return team.changed(env_factory=alone_environment, env_settings=settings)


@dataclass(frozen=True)
class FinishedDesk:
    """Complete trainings of a team and of its agents alone."""

    training: DeskTraining
    team: Unit
    alone: tuple[tuple[str, Unit], ...]
    """By the agents' names; empty without rivals."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of all units."""
        return (self.team.spec.key, *(unit.spec.key for _, unit in self.alone))

    @property
    def config_digest(self) -> str:
        """Digest of the team's settings without the seed."""
        return digest_json(self.team.spec.inputs["config"])

    def acts(self) -> dict[str, ActFn]:
        """Return the trained team."""
        return {agent: acting(self.team, agent) for agent in _agents(self.team)}

    def acts_alone(self) -> dict[str, ActFn]:
        """Return every agent as it was trained alone."""
        return {agent: acting(unit, agent) for agent, unit in self.alone}


def acting(unit: Unit, agent: str) -> ActFn:
    """Return what an agent does that `unit` trained."""
    return PolicyBundle.load(unit.outputs / agent).actor.act


def _agents(team: Unit) -> list[str]:
    return [path.name for path in sorted(team.outputs.iterdir()) if (path / "bundle.json").is_file()]


def finish_desk(root: Path, training: DeskTraining, seed: int) -> FinishedDesk:
    """Train with `seed` in this process, from the newest checkpoints; what is complete in the store is reused."""
    team = trained_unit(root, training.config(seed))
    agents = _agents(team) if training.rivals else []
    alone = tuple((agent, trained_unit(root, training.config(seed, agent))) for agent in agents)
    return FinishedDesk(training, team, alone)
