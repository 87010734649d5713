"""`PettingZooMAPPOTrainer`: centralised training, decentralised execution, of any team of agents."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.standing import complete
from mtquant.agents.training.team_identity import team_unit
from mtquant.agents.training.team_rollouts import LocalRollouts, Rollouts, make_team
from mtquant.agents.training.team_training import TeamTraining
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams, store_root
from mtquant.errors import UsageError
from mtquant.evaluation.team import play_team
from mtquant.store.files import write_atomic
from mtquant.store.journal import from_json_number, to_json_number
from mtquant.store.units import Unit, UnitHandle, UnitResult

RESULTS = "training.json"
EVALUATION_ROWS = 64
MakeRollouts = Callable[[TrainingConfig, Streams], Rollouts]


class PettingZooMAPPOTrainer:
    """Trains a team by MAPPO, or by IPPO where the settings say so.

    It has a unit of its own in the store, made from the settings: `train` continues what was begun with the same ones,
    exactly, and returns at once what is finished. With `unit` it works inside a unit of a run instead. `rollouts`
    says who plays.
    """

    def __init__(
        self, config: TrainingConfig, unit: UnitHandle | None = None, *, rollouts: MakeRollouts = LocalRollouts
    ) -> None:
        self.config, self.handle, self.make_rollouts = config, unit, rollouts
        self.unit: Unit | None = None if unit is None else unit.unit
        """Where results and bundles lie; known once training began."""

    def train(self) -> dict[str, Any]:
        """Train to the end and return the results.

        `best_reward` and `final_reward`: the sum of all agents' rewards in an episode, mean over the episodes that
        ended in a rollout. `reward_history`: these means, one per rollout in which an episode ended. `agent_rewards`:
        the last by agent. `episodes`, `steps`, `folder` (a bundle per agent), and `training_time`: seconds of the
        attempt that finished.
        """
        if self.handle is not None:
            self.work(self.handle)
            return self._results(float("nan"))
        self.unit = team_unit(self.config, store_root())
        done = complete(self.unit, self.config.seed, self.config.checkpoint_seconds, self.work)
        return self._results(done.wall_seconds)

    def work(self, unit: UnitHandle) -> UnitResult:
        """Train inside `unit`; return the headline figures and the digests of the bundles."""
        self.unit = unit.unit
        rollouts = self.make_rollouts(self.config, unit.streams)
        try:
            found = TeamTraining(self.config, unit, rollouts).run()
        finally:
            rollouts.close()
        text = json.dumps(_plain(found), indent=1, sort_keys=True, allow_nan=False) + "\n"
        write_atomic(unit.outputs / RESULTS, text.encode())
        figures = {name: float(found[name]) for name in ("best_reward", "final_reward", "episodes", "steps")}
        return UnitResult(
            figures, {f"{a}/weights": PolicyBundle.load(unit.outputs / a).digest for a in found["agent_rewards"]}
        )

    def bundles(self) -> dict[str, PolicyBundle]:
        """Return the trained policy of every agent. Raises `UsageError` before there is one."""
        if self.unit is None or not (self.unit.outputs / RESULTS).is_file():
            raise UsageError("There are no trained policies yet: call `train` first.")
        agents = json.loads((self.unit.outputs / RESULTS).read_bytes())["agent_rewards"]
        return {agent: PolicyBundle.load(self.unit.outputs / agent) for agent in agents}

    def evaluate(self, n_episodes: int = 100, **changes: Any) -> dict[str, Any]:
        """Play at least `n_episodes` whole episodes without exploration, on seeds that training does not use.

        `changes` are keyword arguments of `env_factory` that differ, as in `split="test"`. Returns `reward` (the sum of
        all agents' rewards in an episode, mean), `reward_error` (its standard error), `agent_rewards`,
        `episode_length` and `episodes`.
        """
        acts = {agent: bundle.actor.act for agent, bundle in self.bundles().items()}
        rng = Streams(self.config.seed).rng("mappo", "evaluation")
        settings = self.config.model_copy(update={"env_settings": self.config.env_settings | changes})
        team = make_team(settings, min(EVALUATION_ROWS, n_episodes), rng)
        returns, lengths = play_team(team, acts, n_episodes)
        team.close()
        total = returns.sum(axis=1)
        return {
            "reward": float(total.mean()),
            "reward_error": float(total.std(ddof=1) / np.sqrt(len(total))) if len(total) > 1 else float("nan"),
            "agent_rewards": dict(zip(team.agents, returns.mean(axis=0).tolist(), strict=True)),
            "episode_length": float(lengths.mean()),
            "episodes": len(total),
        }

    def _results(self, seconds: float) -> dict[str, Any]:
        assert self.unit is not None
        found: dict[str, Any] = json.loads((self.unit.outputs / RESULTS).read_bytes())
        history = [line.metrics["reward"] for line in self.unit.journal.read() if "reward" in line.metrics]
        return {
            **found,
            "best_reward": from_json_number(found["best_reward"]),
            "final_reward": from_json_number(found["final_reward"]),
            "agent_rewards": {agent: from_json_number(value) for agent, value in found["agent_rewards"].items()},
            "reward_history": history,
            "training_time": seconds,
            "folder": str(Path(self.unit.outputs)),
        }


def _plain(value: Any) -> Any:
    """Return numbers as standard JSON can hold them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    return to_json_number(value) if isinstance(value, float) else value
