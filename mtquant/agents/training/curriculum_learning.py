"""`AdvancedCurriculumLearning`: which scenarios phase 3 plays, with a log that can be replayed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.agents.training.curricula import ANY, Decision, Start, Yardstick, build_curriculum
from mtquant.agents.training.evidence import Evidence, Visits, mean, performance
from mtquant.config.curriculum import CurriculumSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.scenario import REAL_TASK, Scenario
from mtquant.errors import StoreError
from mtquant.sim.simulator import Episode
from mtquant.types import Bool, Float, Float32, Int

LOG = "curriculum.jsonl"
REAL = Yardstick()


class AdvancedCurriculumLearning:
    """Scenarios of one of the registered kinds (`curricula.CURRICULA`), then the real task.

    The engine asks for scenarios as episodes begin (`ScenarioSource`); the trainer tells what each bar paid and
    calls `update_curriculum` after every rollout, where all decisions fall. Every decision is a line of `log`, with
    statistic, threshold and state; `replay` makes them again from what the log says was seen.
    """

    def __init__(
        self,
        spec: CurriculumSpec,
        total_steps: int,
        *,
        rows: int = 1,
        rng: np.random.Generator | None = None,
        real: Yardstick = REAL,
    ) -> None:
        self.spec, self.total_steps = spec, total_steps
        self.kind = build_curriculum(spec, real)
        self.rng = rng or np.random.Generator(np.random.PCG64(0))
        head = {"spec": spec.model_dump(mode="json"), "total_steps": total_steps, "real": list(real)}
        self.log: list[dict[str, Any]] = [head | {"rng": self.rng.bit_generator.state}]
        self.step = 0
        self.learning: Bool | None = None
        """[N] rows whose episodes are learned from; None: all."""
        self._started = 0
        self._visits = Visits(rows)
        self._watching = spec.enabled and self.kind.draws

    @property
    def real_level(self) -> int:
        """The last level, which is the real task."""
        return self.kind.levels - 1

    def get_difficulty_level(self, training_step: int) -> int:
        """Return the level at `training_step`, from 0 to `real_level`."""
        share = training_step / self.total_steps
        if not self.spec.enabled or share >= 1.0 - self.spec.real_share:
            return self.real_level
        return self.kind.level(share)

    def generate_scenario(self, difficulty_level: int) -> Scenario:
        """Return the conditions of the next episode at a level."""
        return self._start(difficulty_level).scenario

    def _start(self, level: int) -> Start:
        if level == self.real_level:
            return Start(REAL_TASK)
        self._started += self.kind.draws
        return self.kind.start(level, self.rng)

    def scenarios(self, rows: Int) -> Sequence[Scenario]:
        """Return the scenarios of the episodes that begin in `rows`."""
        level = self.get_difficulty_level(self.step)
        starts = [self._start(level) for _ in rows]
        if self._watching:
            self._visits.begin(rows, [start.tag for start in starts])
        if self.kind.scores:
            learning = np.ones(len(self._visits.tag), dtype=bool) if self.learning is None else self.learning.copy()
            learning[rows] = [start.learned_from for start in starts]
            self.learning = learning
        return [start.scenario for start in starts]

    def placed(self, rows: Int, episode: Episode) -> None:
        """Hear on which bars the episodes of `rows` run."""
        for row, first, last in zip(rows, episode.start, episode.end, strict=True):
            self.kind.placed(int(self._visits.tag[row]), int(first), int(last))

    def bar(self, utility: Float) -> None:
        """Note what a bar paid each row [N]."""
        if self._watching:
            self._visits.bar(utility)

    def scored(self, positive: Sequence[Float32]) -> None:
        """Take max(advantage, 0) of the rollout's bars and rows [S, N], one array per agent."""
        if self._watching and self.kind.scores:
            self._visits.replace(np.mean(positive, axis=0, dtype=np.float64))

    def update_curriculum(self, performance_metrics: Mapping[str, float]) -> dict[str, float]:
        """Decide after a rollout that ended at `performance_metrics["step"]`; return what belongs in a journal."""
        if not self.spec.enabled:
            return {}
        found = self._visits.ended(mean if self.kind.scores else performance)
        ended = [one for one in found if one.tag != ANY]
        decisions = self._decide(int(performance_metrics["step"]), ended)
        level = self.get_difficulty_level(self.step)
        if self._started or ended or decisions:
            line = {"step": self.step, "level": level, "started": self._started, "ended": [list(one) for one in ended]}
            self.log.append(line | {"decisions": [one._asdict() for one in decisions]})
        self._started = 0
        name = "curriculum/score" if self.kind.scores else "curriculum/performance"
        measured = {name: float(np.mean([one.value for one in found]))} if found else {}
        return {"curriculum/level": float(level)} | measured

    def _decide(self, step: int, ended: Sequence[Evidence]) -> list[Decision]:
        """Return the kind's decisions and, where the end of the training begins before it is there, that one."""
        before, self.step = self.get_difficulty_level(self.step), step
        share, begins = step / self.total_steps, 1.0 - self.spec.real_share
        decisions = self.kind.decide(share, ended)
        if share >= begins and self.real_level not in (before, self.kind.level(share)):
            decisions.append(Decision("real task", {"share": share}, {"share": begins}, before, self.real_level))
        return decisions

    def state_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, after `update_curriculum`."""
        return {
            "step": self.step,
            "log": list(self.log),
            "rng": self.rng.bit_generator.state,
            "learning": None if self.learning is None else self.learning.tolist(),
            "visits": self._visits.state_dict(),
            "kind": self.kind.state_dict(),
        }

    def load_state_dict(self, values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self.step, self.log = int(values["step"]), list(values["log"])
        self.rng.bit_generator.state = values["rng"]
        self.learning = None if values["learning"] is None else np.array(values["learning"], dtype=bool)
        self._started = 0
        self._visits.load_state_dict(values["visits"])
        self.kind.load_state_dict(values["kind"])

    def write_log(self, folder: Path) -> None:
        """Write `curriculum.jsonl`: settings, then a line per rollout in which something began, ended or changed."""
        folder.mkdir(parents=True, exist_ok=True)
        # sorted, because a log that came from a checkpoint is
        text = "".join(json.dumps(line, sort_keys=True) + "\n" for line in self.log)
        (folder / LOG).write_text(text, encoding="utf-8")


def yardstick_of(dataset: Dataset, episode_length: int) -> Yardstick:
    """Return the real task's figures; the volatility is the median over instruments of their train split's median."""
    market, train = dataset.market, dataset.splits.train.mask(len(dataset.market.time))
    price = np.median(np.abs(market.close[train]), axis=0)
    bar = np.median(np.asarray(dataset.point_volatility)[train], axis=0) / price
    return Yardstick(float(np.median(bar) * np.sqrt(market.bars_per_year)), episode_length)


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a log that `write_log` wrote."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def replay(log: Iterable[Mapping[str, Any]]) -> list[tuple[int, int]]:
    """Make every decision of a log again and return steps and levels.

    What is taken from the log are settings, the state of the random generator at the beginning, and which episodes
    began and ended with what; the decisions are made anew. Raises `StoreError` where one differs.
    """
    head, *lines = log
    curriculum = AdvancedCurriculumLearning(
        CurriculumSpec.model_validate_json(json.dumps(head["spec"])), head["total_steps"], real=Yardstick(*head["real"])
    )
    curriculum.rng.bit_generator.state = head["rng"]
    stages = []
    for line in lines:
        level = curriculum.get_difficulty_level(curriculum.step)
        for _ in range(line["started"]):
            curriculum.generate_scenario(level)
        evidence = [Evidence(int(tag), float(value)) for tag, value in line["ended"]]
        decisions = [one._asdict() for one in curriculum._decide(line["step"], evidence)]
        level = curriculum.get_difficulty_level(curriculum.step)
        if [level, decisions] != [line["level"], line["decisions"]]:
            raise StoreError(
                f"The curriculum's log does not follow from what it says was seen: at step {line['step']} it has level "
                f"{line['level']} and {line['decisions']}; made again, level {level} and {decisions}."
            )
        stages.append((curriculum.step, level))
    return stages
