"""Rollout workers: neither their number nor their deaths change a bit."""

import os
import signal
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import psutil
import pytest

from mtquant.agents.learning.mappo import policy_of
from mtquant.agents.learning.state import seed_everything
from mtquant.agents.training.pettingzoo_parallel_trainer import PettingZooParallelTrainer
from mtquant.agents.training.rollout_pool import RolloutPool
from mtquant.agents.training.team_rollouts import LocalRollouts, Rollouts, groups_in, make_team
from mtquant.config.marl import ParallelTrainingConfig, TrainingConfig
from mtquant.context import Streams
from mtquant.envs.scenario import REAL_TASK
from mtquant.errors import TrainingError
from mtquant.gates.simple_spread import SimpleSpread
from tests.agents.made import Stop, handle_of
from tests.agents.teams import settings
from tests.envs.teams import Duel, Fading

STREAMS = Streams(0)
SHARDS = 4


class Spread:
    """A batched environment."""

    batch = SimpleSpread


def spread() -> type[Spread]:
    return Spread


class Fatal(Fading):
    """Raises in its fourth step, or as its process does."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def step(self, actions: Any) -> Any:
        if self.age == 3:
            if self.how == "raise":
                raise ValueError("no such bar")
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(actions)


def played(rollouts: Rollouts, config: TrainingConfig, count: int = 4, first: int = 0) -> list[Any]:
    """Return `count` rollouts of fresh policies and the state after them."""
    team = make_team(config, 1, STREAMS.rng("shape"))
    seed_everything(0)
    policies = {group.name: policy_of(group, team, config) for group in groups_in(config, team)}
    found: list[Any] = []
    for index in range(first, first + count):
        rollout = rollouts.play(index, policies, [REAL_TASK] * config.n_envs)
        found += [rollout.returns, rollout.lengths]
        found += [array for samples in rollout.samples.values() for array in samples]
    arrays, values = rollouts.state_dict()
    return [*found, *(arrays[name] for name in sorted(arrays)), values]


def assert_same(one: list[Any], two: list[Any]) -> None:
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        if isinstance(first, np.ndarray):
            np.testing.assert_array_equal(first, second)
        else:
            assert first == second


def in_processes(config: TrainingConfig, workers: int, **options: Any) -> RolloutPool:
    return RolloutPool(config, STREAMS, workers=workers, **options)


@pytest.mark.slow
@pytest.mark.parametrize("make", [spread, Duel, Fading], ids=["batch", "turns", "deaths"])
def test_the_number_of_workers_changes_no_bit(make):
    config = settings(env_factory=make, rollout_shards=SHARDS)
    here = LocalRollouts(config, STREAMS)
    expected = played(here, config)
    here.close()
    for workers in (1, 3):
        pool = in_processes(config, workers)
        try:
            assert_same(played(pool, config), expected)
            assert pool.replaced == 0
            assert sum(pool.played) == 4 * SHARDS
        finally:
            pool.close()


class Killer(threading.Thread):
    """Kills or stops random workers, `times` times."""

    def __init__(self, pool: RolloutPool, times: int, seed: int, number: int) -> None:
        super().__init__(daemon=True)
        self.pool, self.times, self.number = pool, times, number
        self.rng, self.done, self.over = Streams(seed).rng("kills"), 0, threading.Event()

    def run(self) -> None:
        while self.done < self.times and not self.over.is_set():
            time.sleep(float(self.rng.uniform(0.0, 0.6)))
            pid = self.pool.pids[int(self.rng.integers(len(self.pool.pids)))]
            try:
                os.kill(pid, self.number)
                self.done += 1
            except ProcessLookupError:
                continue


@pytest.mark.slow
@pytest.mark.parametrize("make", [spread, Duel], ids=["batch", "turns"])
def test_ten_workers_killed_at_random_change_no_bit(make):
    config = settings(env_factory=make, rollout_shards=SHARDS, n_steps=40)
    here = LocalRollouts(config, STREAMS)
    pool = in_processes(config, 2, retries=100)
    killer = Killer(pool, 10, seed=1, number=signal.SIGKILL)
    killer.start()
    try:
        count = 0
        while killer.done < 10:
            assert_same(played(pool, config, 2, count), played(here, config, 2, count))
            count += 2
        assert_same(played(pool, config, 2, count), played(here, config, 2, count))
        # one that was hit twice before anybody noticed is replaced once
        assert 5 <= pool.replaced <= 10
    finally:
        killer.over.set()
        pool.close()


@pytest.mark.slow
def test_workers_that_hang_are_replaced():
    config = settings(env_factory=spread, rollout_shards=2)
    here = LocalRollouts(config, STREAMS)
    # long enough for a worker to begin on a busy machine; a false alarm would change nothing but `replaced`
    pool = in_processes(config, 2, timeout=20.0, retries=100)
    try:
        count = 0
        while not all(pool.played):
            assert_same(played(pool, config, 1, count), played(here, config, 1, count))
            count += 1
        before = pool.replaced
        for pid in pool.pids:
            os.kill(pid, signal.SIGSTOP)
        assert_same(played(pool, config, 2, count), played(here, config, 2, count))
        assert pool.replaced >= before + 2
    finally:
        pool.close()


@pytest.mark.slow
def test_an_environment_that_raises_ends_the_training_with_its_words():
    config = settings(env_factory=partial(Fatal, "raise"), rollout_shards=2)
    pool = in_processes(config, 1)
    try:
        with pytest.raises(TrainingError, match="rollout 0, shard 0: ValueError: no such bar"):
            played(pool, config)
    finally:
        pool.close()


@pytest.mark.slow
def test_a_shard_that_always_kills_its_worker_is_given_up():
    config = settings(env_factory=partial(Fatal, "kill"), rollout_shards=2)
    pool = in_processes(config, 1, retries=1)
    try:
        with pytest.raises(TrainingError, match=r"died or hung 2 times with shard 0 of rollout 0"):
            played(pool, config)
    finally:
        pool.close()


@pytest.mark.slow
def test_closing_leaves_no_process():
    pool = in_processes(settings(env_factory=spread), 2)
    pids = pool.pids
    pool.close()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def parallel(workers: int, *, processes: bool = True) -> ParallelTrainingConfig:
    return ParallelTrainingConfig(num_workers=workers, shards=SHARDS, use_multiprocessing=processes)


@pytest.mark.slow
def test_a_training_may_change_its_workers_and_ends_the_same(tmp_path):
    config = settings(total_steps=4 * 4 * 8)
    outcomes = []
    for name, workers, stop in (("one", 1, None), ("three", 3, None), ("both", 2, 2)):
        unit = handle_of(tmp_path / name, "mappo-spread", stop=Stop(stop))
        trainer = PettingZooParallelTrainer(parallel(workers), spread, config, unit)
        if stop is not None:
            with pytest.raises(BaseException, match="Stopped at step"):
                trainer.train()
            trainer = PettingZooParallelTrainer(
                parallel(1, processes=False), spread, config, handle_of(tmp_path / name, "mappo-spread")
            )
            unit = trainer.handle
        found = trainer.train()
        assert (found["workers"], found["workers_replaced"]) == (trainer.config.num_workers, 0)
        step, snapshot = unit.load_checkpoint()
        outcomes.append([snapshot.arrays[part] for part in sorted(snapshot.arrays)] + [snapshot.values, step])
    assert_same(outcomes[0], outcomes[1])
    assert_same(outcomes[0], outcomes[2])


@pytest.mark.slow
def test_the_documented_call_trains_for_the_episodes_that_it_names():
    config = ParallelTrainingConfig(num_workers=2, episodes_per_worker=3, shards=2)
    trainer = PettingZooParallelTrainer(config, lambda: Fading(cycles=6), settings())
    found = trainer.train(total_episodes=10)
    assert found["episodes"] >= 10
    assert found["training_time"] > 0.0
    assert sum(found["shards_played"]) == 2 * found["steps"] // (4 * 8)
    assert PettingZooParallelTrainer(config, lambda: Fading(cycles=6), settings()).train()["episodes"] >= 6
