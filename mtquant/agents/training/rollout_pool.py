"""`RolloutPool`: shards played by worker processes. A worker that dies or hangs is replaced, and nothing is lost."""

import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from typing import Any

import cloudpickle
import numpy as np

from mtquant.agents.learning.state import Parts, capture_module
from mtquant.agents.learning.team_play import Played
from mtquant.agents.training.rollout_worker import DONE, FAILED, READY
from mtquant.agents.training.team_rollouts import Policies, by_shard, joined, separated, together, unpacked_rollout
from mtquant.config.marl import TrainingConfig
from mtquant.context import Streams
from mtquant.envs.scenario import Scenario
from mtquant.errors import TrainingError
from mtquant.store.snapshot import Snapshot
from mtquant.types import Array

COMMAND = (sys.executable, "-m", "mtquant.agents.training.rollout_worker")
START_SECONDS, END_SECONDS = 120.0, 5.0
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@dataclass
class _Worker:
    """One process and what it is doing."""

    process: "subprocess.Popen[bytes]"
    connection: Connection
    since: float
    """When it was started, or given its task."""
    ready: bool = False
    shard: int | None = None
    holds: dict[int, int] = field(default_factory=dict)
    """Shard to the number of the rollout that its environments there are at."""
    played: int = 0

    @property
    def idle(self) -> bool:
        """Whether it waits for a task."""
        return self.ready and self.shard is None

    def end(self) -> None:
        """End the process at once."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
        if self.process.stdin is not None:
            self.process.stdin.close()


class RolloutPool:
    """Plays all shards with `workers` processes.

    Shards are handed out one by one to whoever is free, preferably to the worker that played them last; results are
    put together in the order of shards. What a shard plays is decided by settings, policies and its state before, all
    of which this process keeps: so a shard whose worker died or took longer than `timeout` seconds is played again by
    another, to the same bits, `retries` times. Raises `TrainingError` beyond that, and at once for an error that an
    environment raised.
    """

    def __init__(
        self, config: TrainingConfig, streams: Streams, *, workers: int, timeout: float = 300.0, retries: int = 3
    ) -> None:
        self.config, self.streams, self.timeout, self.retries = config, streams, timeout, retries
        self.replaced = 0
        """Workers that died or hung so far."""
        self._states: list[Parts | None] = [None] * config.rollout_shards
        self._index = 0
        self._hello = Snapshot(
            {"factory": np.frombuffer(cloudpickle.dumps(config.env_factory), dtype=np.uint8)},
            {"config": config.model_dump_json(), "seed": streams.seed, "path": list(sys.path)},
        ).packed()
        self._workers = [self._start() for _ in range(workers)]

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    @property
    def played(self) -> list[int]:
        """Shards of rollouts that each present worker has played."""
        return [worker.played for worker in self._workers]

    def play(self, index: int, policies: Policies, scenarios: Sequence[Scenario]) -> Played:
        """Return rollout number `index` of all rows."""
        self._index = index
        weights: dict[str, Array] = {}
        for name, policy in policies.items():
            weights |= capture_module(f"policy.{name}", policy)
        conditions = by_shard(scenarios, self.config.rollout_shards)
        waiting = list(range(self.config.rollout_shards))
        failures = dict.fromkeys(waiting, 0)
        found: dict[int, tuple[Played, Parts]] = {}
        while len(found) < self.config.rollout_shards:
            for place, worker in enumerate(self._workers):
                if worker.idle and waiting:
                    shard = self._chosen(worker, waiting)
                    waiting.remove(shard)
                    if not self._give(worker, shard, weights, conditions[shard]):
                        self._replace(place, waiting, failures)
            self._collect(found, waiting, failures)
        for shard, (_, state) in found.items():
            self._states[shard] = state
        return together([found[shard][0] for shard in sorted(found)])

    def _chosen(self, worker: _Worker, waiting: list[int]) -> int:
        """Return the shard a free worker plays: one it is at, else one that nobody is at, else any."""
        elsewhere = {s for w in self._workers if w is not worker for s, at in w.holds.items() if at == self._index}
        here = [shard for shard in waiting if worker.holds.get(shard) == self._index]
        orphans = [shard for shard in waiting if shard not in elsewhere]
        return (here or orphans or waiting)[0]

    def _give(self, worker: _Worker, shard: int, weights: dict[str, Array], scenarios: Sequence[Scenario]) -> bool:
        """Send a task; return whether that worked."""
        state = self._states[shard]
        at_hand = worker.holds.pop(shard, None) == self._index and state is not None
        values: dict[str, Any] = {"shard": shard, "index": self._index, "scenarios": [s.values() for s in scenarios]}
        values |= {"fresh": state is None, "state": None if at_hand or state is None else state[1]}
        arrays = weights if at_hand or state is None else weights | {f"state.{n}": a for n, a in state[0].items()}
        worker.shard, worker.since = shard, time.monotonic()
        try:
            worker.connection.send_bytes(Snapshot(arrays, values).packed())
        except OSError:
            return False
        return True

    def _collect(self, found: dict[int, tuple[Played, Parts]], waiting: list[int], failures: dict[int, int]) -> None:
        """Wait until something happens: an answer, an end, or a deadline."""
        busy = [worker for worker in self._workers if not worker.idle]
        left = min((self._deadline(worker) - time.monotonic() for worker in busy), default=0.0)
        ready = wait([worker.connection for worker in busy], timeout=max(left, 0.0))
        for place, worker in enumerate(list(self._workers)):
            if worker.connection in ready:
                try:
                    answer = Snapshot.unpacked(worker.connection.recv_bytes())
                except (EOFError, OSError):
                    self._replace(place, waiting, failures)
                    continue
                self._take(worker, answer, found)
            elif not worker.idle and time.monotonic() > self._deadline(worker):
                self._replace(place, waiting, failures)

    def _deadline(self, worker: _Worker) -> float:
        """Return when a worker counts as hung; on a busy machine it takes long to begin."""
        return worker.since + (self.timeout if worker.ready else max(self.timeout, START_SECONDS))

    def _take(self, worker: _Worker, answer: Snapshot, found: dict[int, tuple[Played, Parts]]) -> None:
        word = answer.values["word"]
        if word == READY:
            worker.ready = True
            return
        shard = worker.shard
        assert shard is not None
        if word == FAILED:
            raise TrainingError(
                f"The environment failed in rollout {self._index}, shard {shard}: {answer.values['kind']}: "
                f"{answer.values['message']}. The last checkpoint is kept."
            )
        assert word == DONE
        found[shard] = unpacked_rollout(answer)
        worker.shard, worker.holds[shard] = None, self._index + 1
        worker.played += 1

    def _replace(self, place: int, waiting: list[int], failures: dict[int, int]) -> None:
        """End a worker that died or hung, start another and hand its shard out again."""
        worker = self._workers[place]
        worker.end()
        self.replaced += 1
        self._workers[place] = self._start()
        shard = worker.shard
        if shard is None:
            shard = -1
            failures.setdefault(shard, 0)
        else:
            waiting.insert(0, shard)
        failures[shard] += 1
        if failures[shard] > self.retries:
            what = "while it started" if shard < 0 else f"with shard {shard} of rollout {self._index}"
            raise TrainingError(
                f"Rollout workers died or hung {failures[shard]} times {what} (`worker_retries` is {self.retries}, "
                f"`worker_timeout` {self.timeout:g} s). What they wrote to standard error says why; the last "
                "checkpoint is kept."
            )

    def _start(self) -> _Worker:
        mine, theirs = Pipe()
        _limit(mine, self.timeout)
        environment = os.environ | dict.fromkeys(THREADS, "1")
        environment["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
        process = subprocess.Popen(
            [*COMMAND, str(theirs.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            env=environment,
            # Ctrl-C reaches this process alone; the workers end with it
            start_new_session=True,
        )
        theirs.close()
        worker = _Worker(process, mine, time.monotonic())
        # a process that is dead already is found out by `_collect`
        with suppress(OSError):
            mine.send_bytes(self._hello)
        return worker

    def state_dict(self) -> Parts:
        """Return the rows' state between two rollouts."""
        states = [state for state in self._states if state is not None]
        assert len(states) == len(self._states), "there is no state before the first rollout"
        return joined(states)

    def load_state_dict(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._states = list(separated(arrays, values, self.config.rollout_shards))
        for worker in self._workers:
            worker.holds.clear()

    def close(self) -> None:
        """End the workers and wait for that."""
        for worker in self._workers:
            assert worker.process.stdin is not None
            worker.process.stdin.close()
        for worker in self._workers:
            try:
                worker.process.wait(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            worker.connection.close()


def _limit(connection: Connection, seconds: float) -> None:
    """Let reading and writing fail where the other end neither takes nor gives: it may be stopped half way."""
    span = struct.pack("ll", int(seconds) + 1, 0)
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        for option in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            end.setsockopt(socket.SOL_SOCKET, option, span)
