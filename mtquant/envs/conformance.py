"""PettingZoo's own tests on every documented environment, and how fast each view of it is."""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from typing import Any

import numpy as np
from pettingzoo.test import api_test, max_cycles_test, parallel_api_test, parallel_seed_test, render_test, seed_test

from mtquant.envs.games import order_engine, risk, strategic, tactical, team
from mtquant.errors import UsageError
from mtquant.registry import did_you_mean

EXPECTED_WARNINGS = {
    r"(Agent's|.*A Box observation space) (minimum|maximum).* is -?infinity": "The documents' spaces are unbounded.",
    r"We recommend agents to be named in the format": "The documents name the agents: `mlmi_expert`.",
    r"The observation contains negative numbers and is in the shape of a graphical observation": (
        "A matrix of bars x columns is no picture."
    ),
}
"""Every warning of PettingZoo's tests that is no error here, with its reason."""
ROWS = 256
"""Rows of the batch whose speed is measured."""


@dataclass(frozen=True)
class Documented:
    """One environment as a module of PettingZoo's: constructors of its AEC and its Parallel environment."""

    env: Callable[..., Any]
    parallel_env: Callable[..., Any]


ENVIRONMENTS: dict[str, Documented] = {
    "strategic": Documented(strategic.env, strategic.parallel_env),
    "tactical": Documented(tactical.env, tactical.parallel_env),
    "risk": Documented(risk.env, risk.parallel_env),
    "execution": Documented(order_engine.env, order_engine.parallel_env),
    "tactical-team": Documented(partial(team.env, "tactical"), partial(team.parallel_env, "tactical")),
    "strategic-team": Documented(partial(team.env, "strategic"), partial(team.parallel_env, "strategic")),
}
Check = Callable[[Documented, int], None]
CHECKS: dict[str, Check] = {
    "api_test": lambda made, cycles: api_test(made.env(), num_cycles=cycles),
    "parallel_api_test": lambda made, cycles: parallel_api_test(made.parallel_env(), num_cycles=cycles),
    "seed_test": lambda made, cycles: seed_test(made.env, num_cycles=cycles),
    "parallel_seed_test": lambda made, cycles: parallel_seed_test(made.parallel_env, num_cycles=cycles),
    "max_cycles_test": lambda made, _: max_cycles_test(made),
    "render_test": lambda made, _: render_test(made.env),
}


def environment(name: str) -> Documented:
    """Return the environment `name`; raises `UsageError` for an unknown one."""
    if name not in ENVIRONMENTS:
        raise UsageError(f"There is no environment `{name}`.{did_you_mean(name, ENVIRONMENTS)}")
    return ENVIRONMENTS[name]


@contextmanager
def strict() -> Iterator[None]:
    """Make every warning an error but `EXPECTED_WARNINGS`, and keep what the tests print."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("error")
        for text in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message=rf"(\x1b\[\d+m)?(WARN: )?{text}")
        yield


def run_check(name: str, check: str, cycles: int) -> str:
    """Run one of PettingZoo's tests; return nothing where it passed, else what it said."""
    try:
        with strict():
            CHECKS[check](environment(name), cycles)
    except (AssertionError, Warning) as error:
        return str(error) or type(error).__name__
    return ""


@dataclass(frozen=True)
class Speed:
    """Steps of single agents per second, by view."""

    aec: float
    parallel: float
    batched: float


def measure(name: str, seconds: float) -> Speed:
    """Return how fast the views of `name` are with random actions, each measured for `seconds`."""
    made = environment(name)
    return Speed(_aec_speed(made.env(), seconds), _parallel_speed(made.parallel_env(), seconds), _batch(made, seconds))


def _aec_speed(env: Any, seconds: float) -> float:
    env.reset(seed=0)
    turns, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        if not env.agents:
            env.reset()
        agent = env.agent_selection
        _, _, terminated, truncated, _ = env.last()
        env.step(None if terminated or truncated else env.action_space(agent).sample())
        turns += 1
    return turns / (time.perf_counter() - start)


def _parallel_speed(env: Any, seconds: float) -> float:
    env.reset(seed=0)
    turns, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        if not env.agents:
            env.reset()
        turns += len(env.agents)
        env.step({agent: env.action_space(agent).sample() for agent in env.agents})
    return turns / (time.perf_counter() - start)


def _batch(made: Documented, seconds: float) -> float:
    rng = np.random.Generator(np.random.PCG64(0))
    view = made.parallel_env().batch(ROWS, rng)
    view.reset()
    actions = {agent: view.engine.game.actions(agent) for agent in view.agents}
    turns, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for agent in view.agents:
            view.observe(agent)
            view.say(agent, actions[agent].sample(rng, ROWS))
        view.restart(view.step().done)
        turns += ROWS * len(view.agents)
    return turns / (time.perf_counter() - start)
