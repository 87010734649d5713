"""`PettingZooMAPPOTrainer`: centralised training, decentralised execution, of any team of agents."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from mtquant.agents.bundle import DESCRIPTION, PolicyBundle
from mtquant.agents.learning.critic_bundle import CriticBundle
from mtquant.agents.training.standing import complete
from mtquant.agents.training.team_identity import NEUTRAL, team_unit
from mtquant.agents.training.team_rollouts import LocalRollouts, Rollouts, make_team
from mtquant.agents.training.team_training import BEST, TeamTraining
from mtquant.agents.training.team_validation import ROWS, agreement_of, evaluation_of
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams, store_root
from mtquant.errors import UsageError
from mtquant.evaluation.team import observations_of
from mtquant.evaluation.team_history import RewardHistory, history_of
from mtquant.evaluation.team_plots import draw_agents, draw_all, draw_coordination
from mtquant.store.files import make_folder, write_atomic
from mtquant.store.journal import from_json_number, to_json_number
from mtquant.store.units import Unit, UnitHandle, UnitResult
from mtquant.types import Float

RESULTS = "training.json"
Model = Literal["best", "final"]
MODELS: tuple[Model, ...] = ("best", "final")
MOMENTS = 512
"""Turns of each agent that a picture of coordination counts."""
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
        the last by agent. `validation`: what the measurements during training were, and which was the best.
        `settings`: with which it was trained. `episodes`, `steps`, `folder` (a bundle per agent), and
        `training_time`: seconds of the attempt that finished.
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
        settings = self.config.model_dump(mode="json", exclude=NEUTRAL | {"env_settings", "validation_settings"})
        write_atomic(unit.outputs / RESULTS, json_of(found | {"settings": settings}))
        figures = {name: float(found[name]) for name in ("best_reward", "final_reward", "episodes", "steps")}
        return UnitResult(figures, model_digests(unit.outputs))

    def bundles(self, model: Model = "best") -> dict[str, PolicyBundle]:
        """Return the trained policy of every agent: `best` by validation, or `final`, which is the same without one.

        Raises `UsageError` before there is one.
        """
        self._trained()
        assert self.unit is not None
        return team_bundles(self.unit.outputs, model)

    def evaluate(self, n_episodes: int = 100, *, model: Model = "best", **changes: Any) -> dict[str, Any]:
        """Play at least `n_episodes` whole episodes without exploration, on seeds that training does not use.

        `changes` are keyword arguments of `env_factory` that differ, as in `split="test"`. Returns what
        `evaluation_of` does: `reward`, `reward_error`, `agent_rewards`, `episode_length` and `episodes`.
        """
        acts = {agent: bundle.actor.act for agent, bundle in self.bundles(model).items()}
        rng = Streams(self.config.seed).rng("mappo", "evaluation")
        return evaluation_of(self.config, acts, n_episodes, rng, changes)

    def get_agent_rewards(self, agent_idx: int | str) -> Float:
        """Return `[R]` what an agent, by number or name, earned per episode in each rollout in which episodes ended."""
        history = self._history()
        known = {str(agent): i for i, agent in enumerate(history.agents)}
        index = known.get(agent_idx) if isinstance(agent_idx, str) else agent_idx
        if index is None or not 0 <= index < len(known):
            raise UsageError(f"There is no agent `{agent_idx}`; there are {', '.join(known)}, counted from 0.")
        out: Float = history.rewards[:, index]
        return out

    def plot_training_progress(self, path: Path | None = None) -> Path:
        """Draw rewards over the training as PNG to `path`, by default beside the training's outputs; return it."""
        history, told = self._history(), self._trained()["validation"]
        return self._drawn("training.png", draw_all(history, told)["training.png"], path)

    def plot_agent_rewards(self, path: Path | None = None) -> Path:
        """Draw each agent's rewards as PNG, as `plot_training_progress` does."""
        return self._drawn("agent_rewards.png", draw_agents(self._history()), path)

    def plot_agent_coordination(self, path: Path | None = None) -> Path:
        """Draw how rewards move together and how often agents choose the same, as `plot_training_progress` does."""
        bundles, rng = self.bundles(), Streams(self.config.seed).rng("mappo", "coordination")
        team = make_team(self.config, ROWS, rng)
        seen = observations_of(team, {agent: bundle.actor.act for agent, bundle in bundles.items()}, MOMENTS)
        team.close()
        return self._drawn("coordination.png", draw_coordination(self._history(), agreement_of(bundles, seen)), path)

    def _history(self) -> RewardHistory:
        agents = self._trained()["agents"]
        assert self.unit is not None
        return history_of(self.unit.journal.read(), agents)

    def _trained(self) -> dict[str, Any]:
        """Return what the training said of itself. Raises `UsageError` before there is one."""
        if self.unit is None or not (self.unit.outputs / RESULTS).is_file():
            raise UsageError("There are no trained policies yet: call `train` first.")
        found: dict[str, Any] = json.loads((self.unit.outputs / RESULTS).read_bytes())
        return found

    def _drawn(self, name: str, content: bytes, path: Path | None) -> Path:
        assert self.unit is not None
        where = path or self.unit.folder / "plots" / name
        make_folder(where.parent)
        write_atomic(where, content)
        return where

    def _results(self, seconds: float) -> dict[str, Any]:
        assert self.unit is not None
        found = self._trained()
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


def model_folder(outputs: Path, model: Model) -> Path:
    """Return the folder of a training's best or final model, with one folder per agent in it."""
    best = outputs / BEST
    return best if model == "best" and best.is_dir() else outputs


def team_bundles(outputs: Path, model: Model = "best") -> dict[str, PolicyBundle]:
    """Return the policies that a training left in `outputs`, by agent, in speaking order."""
    agents = json.loads((outputs / RESULTS).read_bytes())["agents"]
    return {agent: PolicyBundle.load(model_folder(outputs, model) / agent) for agent in agents}


def model_digests(outputs: Path) -> dict[str, str]:
    """Return the digests of the weights of all policies and critics that a training left in `outputs`."""
    found: dict[str, str] = {}
    for path in sorted(outputs.rglob(DESCRIPTION)):
        agent = path.parent.relative_to(outputs).as_posix()
        found[f"{agent}/weights"] = PolicyBundle.load(path.parent).digest
        found[f"{agent}/critic"] = CriticBundle.load(path.parent).digest
    return found


def json_of(value: Any) -> bytes:
    """Return results as a JSON file; NaN is null."""
    return (json.dumps(_plain(value), indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def _plain(value: Any) -> Any:
    """Return numbers as standard JSON can hold them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return to_json_number(value) if isinstance(value, float) else value
