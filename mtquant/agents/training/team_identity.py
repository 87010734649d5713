"""What decides the result of a multi-agent training, as the key of its unit."""

import inspect
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import CodeType
from typing import Any

from mtquant.agents.training.team_rollouts import make_team
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams
from mtquant.store.digests import code_versions, digest_file, digest_json, syntax_digest
from mtquant.store.units import Unit, UnitSpec

CODE = (
    "mtquant.agents.bundle",
    "mtquant.agents.learning",
    "mtquant.agents.policy",
    "mtquant.agents.training.curricula",
    "mtquant.agents.training.curriculum_learning",
    "mtquant.agents.training.evidence",
    "mtquant.agents.training.team_rollouts",
    "mtquant.agents.training.team_training",
    "mtquant.agents.training.team_validation",
    "mtquant.config.desk_games",
    "mtquant.config.games",
    "mtquant.config.market_games",
    "mtquant.context",
    "mtquant.data",
    "mtquant.envs",
    "mtquant.evaluation.team",
    "mtquant.sim",
    "mtquant.synthetic",
)
"""Packages and modules whose source decides the result."""
NEUTRAL = {"checkpoint_seconds"}
"""Settings that change no result."""


def team_unit(config: TrainingConfig, root: Path) -> Unit:
    """Return the unit of a training that stands by itself, made from its settings, code, environment and seed."""
    environment = environment_identity(config)
    inputs = {
        "kind": "mappo",
        "subject": environment["name"],
        "config": config.model_dump(mode="json", exclude=NEUTRAL | {"seed"}),
        "environment": environment,
        "code": code_versions(CODE),
        "seed": config.seed,
    }
    name = f"mappo-{environment['name']}"
    return Unit(root, UnitSpec(name, "mappo", environment["name"], inputs, total_steps=planned_steps(config)))


def planned_steps(config: TrainingConfig) -> int:
    """Return the steps that the training will take, in whole rollouts; an estimate where it is measured in episodes."""
    wanted = config.total_steps or config.num_episodes * (config.episode_length or config.n_steps)
    rollout = config.n_envs * config.n_steps
    return -(-wanted // rollout) * rollout


def environment_identity(config: TrainingConfig) -> dict[str, Any]:
    """Return name, class, version, source and spaces of the environment, and what its factory does.

    What a factory takes from variables around it is not seen: such values belong into `env_settings`.
    """
    team = make_team(config, 1, Streams(config.seed).rng("mappo", "shape"))
    assert config.env_factory is not None
    made = config.env_factory(**config.env_settings)
    inner = getattr(made, "unwrapped", made)
    kind = inner if isinstance(inner, type) else type(inner)
    named = str((getattr(made, "metadata", None) or {}).get("name", kind.__name__))
    spaces = {a: [[list(b) for b in team.layout(a).blocks], str(team.actions(a).space())] for a in team.agents}
    team.close()
    return {
        "name": re.sub(r"[^\w.]+", "_", named),
        "class": f"{kind.__module__}.{kind.__qualname__}",
        "version": _version(kind.__module__),
        "source": _source(kind),
        "factory": _bytecode(config.env_factory),
        "files": files_in(config.env_settings),
        "spaces": spaces,
    }


def files_in(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest of every file that is named by a setting."""
    named = {name: Path(value) for name, value in settings.items() if isinstance(value, str)}
    return {name: digest_file(path) for name, path in named.items() if path.is_file()}


def _version(module: str) -> str:
    """Return the version of the distribution that a module came with, nothing where it came with none."""
    found = metadata.packages_distributions().get(module.split(".")[0])
    return f"{found[0]} {metadata.version(found[0])}" if found else ""


def _source(kind: type) -> str:
    """Return the digest of the file that defines a class, or of its bytecode where it was typed in."""
    try:
        path = inspect.getsourcefile(kind)
    except TypeError:
        path = None
    if path is not None and Path(path).is_file():
        return syntax_digest(Path(path).read_bytes())
    return digest_json([_bytecode(member) for member in vars(kind).values() if callable(member)])


def _bytecode(function: Any) -> str:
    """Return the digest of what a function does; the name of other callables."""
    code = getattr(function, "__code__", None)
    if code is None:
        return f"{type(function).__module__}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    return digest_json(_instructions(code))


def _instructions(code: CodeType) -> list[Any]:
    constants = [_instructions(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]
