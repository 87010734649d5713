"""The execution gate: an agent that sells one order, against the closed form of Almgren and Chriss (2000)."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.execution_trainer import EXECUTION_PPO, train_execution
from mtquant.agents.training.standing import complete
from mtquant.envs.games.execution import AGENT
from mtquant.evaluation.oracles.execution import execute, schedule
from mtquant.evaluation.statistics import Interval
from mtquant.store.digests import code_versions, digest_json
from mtquant.store.units import Unit, UnitHandle, UnitResult, UnitSpec
from mtquant.synthetic.almgren_chriss import ExecutionParams

CODE = (
    "mtquant.agents.bundle",
    "mtquant.agents.learning",
    "mtquant.agents.policy",
    "mtquant.agents.training.callbacks",
    "mtquant.agents.training.execution_trainer",
    "mtquant.context",
    "mtquant.envs.batch_env",
    "mtquant.envs.games.execution",
    "mtquant.envs.spaces",
    "mtquant.synthetic.almgren_chriss",
)
"""Modules whose source decides the result."""
CHECKPOINT_SECONDS = 10.0


@dataclass(frozen=True)
class ExecutionTraining:
    """Settings of one training; gates with equal ones share it."""

    timesteps: int
    params: ExecutionParams = field(default_factory=ExecutionParams)

    def config(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {
            "timesteps": self.timesteps,
            "params": self.params.model_dump(mode="json"),
            "ppo": EXECUTION_PPO.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class FinishedExecution:
    """A complete execution unit."""

    unit: Unit

    @property
    def keys(self) -> tuple[str, ...]:
        """Key of the unit."""
        return (self.unit.spec.key,)

    @property
    def config_digest(self) -> str:
        """Digest of the settings without the seed."""
        return digest_json(self.unit.spec.inputs["config"])

    @property
    def params(self) -> ExecutionParams:
        """The order it was trained on."""
        return ExecutionParams.model_validate_json(json.dumps(self.unit.spec.inputs["config"]["params"]))

    def bundle(self) -> PolicyBundle:
        """Return the trained agent."""
        return PolicyBundle.load(self.unit.outputs / AGENT)


def finish_execution(root: Path, training: ExecutionTraining, seed: int) -> FinishedExecution:
    """Train with `seed` in this process, from the newest checkpoint; what is complete in the store is reused."""
    config = training.config()
    inputs = {"kind": "execution", "subject": "order", "config": config, "code": code_versions(CODE), "seed": seed}
    ppo = EXECUTION_PPO
    rollout = ppo.n_envs * ppo.n_steps
    total = -(-training.timesteps // rollout) * rollout
    unit = Unit(root, UnitSpec("execution-order", "execution", "order", inputs, total_steps=total))

    def work(handle: UnitHandle) -> UnitResult:
        bundle = train_execution(handle, training.params, training.timesteps, ppo)
        return UnitResult({}, {f"{AGENT}/weights": bundle.digest})

    complete(unit, seed, CHECKPOINT_SECONDS, work)
    return FinishedExecution(unit)


@dataclass(frozen=True)
class ExcessOverTwap:
    """(U - U_twap) / (U* - U_twap) of the agent, its cost computed without price noise.

    The agent does not see prices, so its schedule, and with it the figure, has no sampling error.
    """

    def __call__(self, run: FinishedExecution) -> Interval:
        params = run.params
        rng = np.random.Generator(np.random.PCG64(0))
        learned, best, even = (
            execute(act, params, 1, rng).utility.value
            for act in (run.bundle().actor.act, schedule("optimum", params), schedule("twap", params))
        )
        value = (learned - even) / (best - even)
        return Interval(value, value, value)
