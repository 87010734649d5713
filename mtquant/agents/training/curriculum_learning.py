"""`AdvancedCurriculumLearning`: which scenarios the simulator runs as phase 3 progresses."""

from collections.abc import Mapping
from typing import Any

from mtquant.config.agents import CurriculumSpec
from mtquant.envs.scenario import Scenario


class AdvancedCurriculumLearning:
    """Difficulty by share of the steps done; the last level is the real task.

    Each change of level is kept in `history` with the step and the metrics of the moment; it is part of
    a checkpoint.
    """

    def __init__(self, spec: CurriculumSpec, total_steps: int) -> None:
        self.spec, self.total_steps = spec, total_steps
        self.step = 0
        self.history: list[dict[str, Any]] = []

    def get_difficulty_level(self, training_step: int) -> int:
        """Return the level at `training_step`, from 0 to the number of levels less one."""
        if not self.spec.enabled:
            return len(self.spec.cost_scale) - 1
        share = training_step / self.total_steps
        return sum(share >= end for end in self.spec.until)

    def generate_scenario(self, difficulty_level: int) -> Scenario:
        """Return the conditions of episodes at a level."""
        return Scenario(
            self.spec.cost_scale[difficulty_level],
            self.spec.volatility_scale[difficulty_level],
            self.spec.episode_scale[difficulty_level],
        )

    def update_curriculum(self, performance_metrics: Mapping[str, float]) -> Scenario:
        """Move to the step in `performance_metrics["step"]` and return the scenario from here on."""
        before = self.get_difficulty_level(self.step)
        self.step = int(performance_metrics["step"])
        level = self.get_difficulty_level(self.step)
        if level != before or not self.history:
            self.history.append({"level": level, **{k: float(v) for k, v in performance_metrics.items()}})
        return self.generate_scenario(level)

    def state_dict(self) -> dict[str, Any]:
        """Return step and history."""
        return {"step": self.step, "history": list(self.history)}

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.step, self.history = int(values["step"]), list(values["history"])
