"""Training of teams as a Prefect flow, started by a worker or by `python -m flows.local --run RUN`."""

from dataclasses import dataclass
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.task_runners import ThreadPoolTaskRunner

from flows.request import RunName, Seed, Workers
from flows.running import run_in_flow
from mtquant.cli.marl import team_settings
from mtquant.config.marl import TrainingMode
from mtquant.execution.preparation import record_run
from mtquant.store.runs import RunRecord, append_event

NAME = "mtquant-marl"


@dataclass(frozen=True)
class TeamRequest:
    """The settings a new run of teams is asked for with."""

    mode: TrainingMode
    episodes: int
    bars: str
    settings: tuple[str, ...]
    seed: int | None

    def record(self, root: Path) -> RunRecord:
        """Record the run. Raises `ConfigError` as `mtquant marl` does."""
        spec = team_settings(
            self.mode, None, self.settings, episodes=self.episodes or None, bars=self.bars or None, seed=self.seed
        )
        record = record_run(root, spec, self._command(), "prefect")
        append_event(root, record.run_id, "created", profile="marl", git="")
        return record

    def _command(self) -> list[str]:
        """Return the command line that asks for the same."""
        stated = {"--episodes": self.episodes or None, "--bars": self.bars or None, "--seed": self.seed}
        options = [part for option, value in stated.items() if value is not None for part in (option, str(value))]
        changes = [part for change in self.settings for part in ("--set", change)]
        return ["mtquant", "marl", str(self.mode), *options, *changes]


@flow(name=NAME, persist_result=False, validate_parameters=True, task_runner=ThreadPoolTaskRunner())  # type: ignore[arg-type]
def marl(
    mode: TrainingMode = TrainingMode.TACTICAL,
    episodes: int = 0,
    bars: str = "",
    settings: tuple[str, ...] = (),
    seed: Seed | None = None,
    workers: Workers = 0,
    resume: RunName = "",
) -> State:
    """Train a team of agents by MAPPO, measure it on unseen bars, export it; what is finished already is reused.

    Args:
        mode: Environment; `mixed` is the four of the market in turn.
        episodes: Episodes of experience over all rows. 0: what the settings say.
        bars: File of one instrument's bars on the worker, or the name of a planted market. Empty: a small planted one.
        settings: Single settings that differ, as in `training.learning_rate=0.0003`.
        seed: Root of every random stream. None: what the settings say.
        workers: Units side by side. 0: as many as fit.
        resume: Name of a run to continue exactly where it stopped; only `workers` counts beside it.
    """
    return run_in_flow(NAME, TeamRequest(mode, episodes, bars, settings, seed), resume, workers)
