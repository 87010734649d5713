"""`PettingZooParallelTrainer`: the same training with rollout workers in processes of their own."""

from collections.abc import Callable
from typing import Any

from mtquant.agents.training.pettingzoo_mappo_trainer import PettingZooMAPPOTrainer
from mtquant.agents.training.rollout_pool import RolloutPool
from mtquant.agents.training.team_rollouts import LocalRollouts, Rollouts
from mtquant.config.marl import ParallelTrainingConfig, TrainingConfig
from mtquant.context import Streams
from mtquant.store.units import UnitHandle


class PettingZooParallelTrainer:
    """Trains what `trainer_config` says, on environments of `env_factory`, with the workers that `config` says.

    Neither the number of workers nor what happens to them changes the result: it is that of the same settings in one
    process. So a training may be continued with another number, and what is finished is reused.
    """

    def __init__(
        self,
        config: ParallelTrainingConfig,
        env_factory: Callable[..., Any] | None = None,
        trainer_config: TrainingConfig | None = None,
        unit: UnitHandle | None = None,
    ) -> None:
        self.config, self.handle = config, unit
        settings = trainer_config or TrainingConfig()
        factory = env_factory or settings.env_factory
        self.trainer_config = settings.changed(env_factory=factory, rollout_shards=config.shards)
        self.pool: RolloutPool | None = None
        """The workers, while they are there."""

    def train(self, total_episodes: int | None = None) -> dict[str, Any]:
        """Train and return what `PettingZooMAPPOTrainer.train` returns, and what the workers did.

        `total_episodes` says how long; without, it is as long as the trainer's settings say where they name steps,
        else `num_workers` times `episodes_per_worker`. `workers`, `workers_replaced` and `shards_played` (by worker)
        are added; the last two are 0 and empty where nothing was left to train.
        """
        config = self.trainer_config
        if total_episodes is not None or config.total_steps is None:
            episodes = total_episodes or self.config.num_workers * self.config.episodes_per_worker
            config = config.changed(num_episodes=episodes, total_steps=None)
        trainer = PettingZooMAPPOTrainer(config, self.handle, rollouts=self._rollouts)
        found = trainer.train()
        replaced, played = (self.pool.replaced, self.pool.played) if self.pool else (0, [])
        return found | {"workers": self.config.num_workers, "workers_replaced": replaced, "shards_played": played}

    def _rollouts(self, config: TrainingConfig, streams: Streams) -> Rollouts:
        if not self.config.use_multiprocessing:
            return LocalRollouts(config, streams)
        self.pool = RolloutPool(
            config,
            streams,
            workers=self.config.num_workers,
            timeout=self.config.worker_timeout,
            retries=self.config.worker_retries,
        )
        return self.pool
