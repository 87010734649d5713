"""Phase 2: the meta-controller alone learns, over frozen specialists."""

from collections.abc import Mapping

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.envs.engine import GameEngine
from mtquant.envs.games.joint import META, JointGame
from mtquant.envs.vec_env import VecMarketEnv
from mtquant.types import ActFn


class MetaControllerTrainingEnv(VecMarketEnv):
    """N portfolios; one step is one decision (`decision_bars` bars).

    In every bar each frozen specialist acts on all rows and all its instruments in one batched forward.
    """

    def __init__(
        self,
        dataset: Dataset,
        spec: PipelineSpec,
        split: Split,
        specialists: Mapping[str, ActFn],
        *,
        rows: int,
        rng: np.random.Generator,
    ) -> None:
        game = JointGame(dataset, spec, context=False, joint=False, reward=spec.phase2.reward)
        super().__init__(GameEngine(game, split, rows, rng), META, specialists, bars=spec.phase2.decision_bars)
