"""A rollout worker: a process that plays shards of rows for `rollout_pool.RolloutPool`.

`python -m mtquant.agents.training.rollout_worker FD`: FD is its end of a socket. It ends when its standard input does,
which is when the process that started it is gone.
"""

import os
import sys
import threading
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from mtquant.store.snapshot import Snapshot

READY, DONE, FAILED = "ready", "done", "failed"


class Worker:
    """Keeps the shards it has played, so that their environments need not be brought back from a state."""

    def __init__(self, hello: bytes) -> None:
        # What playing needs is imported here, where no deadline counts yet.
        import torch

        from mtquant.agents.learning.mappo import policy_of
        from mtquant.agents.learning.state import seed_everything
        from mtquant.agents.training.team_rollouts import Shard
        from mtquant.config.marl import TrainingConfig
        from mtquant.context import Streams

        torch.set_num_threads(1)
        greeting = Snapshot.unpacked(hello)
        sys.path[:] = greeting.values["path"]
        # what arrives here was sent by the parent through a socket that nobody else holds
        factory = cloudpickle.loads(greeting.arrays["factory"].tobytes())
        settings = TrainingConfig.model_validate_json(greeting.values["config"])
        self.config = settings.model_copy(update={"env_factory": factory})
        self.streams = Streams(greeting.values["seed"])
        self.make_shard, self.make_policy = partial(Shard, self.config, self.streams), policy_of
        self.shards: dict[int, Shard] = {}
        self.policies: dict[str, Any] = {}
        seed_everything(0)

    def play(self, task: Snapshot) -> Snapshot:
        """Play one rollout of one shard; return its samples and the shard's state after it."""
        from mtquant.agents.learning.state import restore_module
        from mtquant.agents.training.team_rollouts import packed_rollout
        from mtquant.envs.scenario import Scenario

        number = task.values["shard"]
        if task.values["fresh"] and number in self.shards:
            self.shards.pop(number).team.close()
        if number not in self.shards:
            self.shards[number] = self.make_shard(number)
        shard = self.shards[number]
        if task.values["state"] is not None:
            head = "state."
            state = {name.removeprefix(head): a for name, a in task.arrays.items() if name.startswith(head)}
            shard.player.load_state_dict(state, task.values["state"])
        for group in shard.groups:
            if group.name not in self.policies:
                self.policies[group.name] = self.make_policy(group, shard.team, self.config)
            restore_module(f"policy.{group.name}", self.policies[group.name], task.arrays)
        scenarios = [Scenario.of_values(values) for values in task.values["scenarios"]]
        played = shard.play(task.values["index"], self.policies, scenarios)
        return packed_rollout(played, shard.player.state_dict())


def main(argv: list[str]) -> int:
    """Serve until the socket or standard input ends."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    connection = Connection(int(argv[1]))
    try:
        worker = Worker(connection.recv_bytes())
        connection.send_bytes(Snapshot(values={"word": READY}).packed())
        while True:
            connection.send_bytes(_answer(worker, Snapshot.unpacked(connection.recv_bytes())).packed())
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0


def _answer(worker: Worker, task: Snapshot) -> Snapshot:
    try:
        found = worker.play(task)
    except Exception as error:  # noqa: BLE001 - whatever an environment raises is told to the parent
        return Snapshot(values={"word": FAILED, "kind": type(error).__name__, "message": str(error)})
    return Snapshot(found.arrays, found.values | {"word": DONE})


def _end_with_input() -> None:
    while os.read(0, 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
