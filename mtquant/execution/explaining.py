"""Explains decisions bar by bar: integrated gradients (Sundararajan et al., 2017) of the policies, by Captum."""

import copy
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from mtquant.agents.bundle import InstrumentActor
from mtquant.agents.hierarchy import Hierarchy
from mtquant.agents.policy import Actor
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.envs.games.joint import META, JointGame
from mtquant.errors import UsageError
from mtquant.evaluation.backtest import backtest
from mtquant.evaluation.explanation import Explain, Moved, by_block, moved
from mtquant.types import ActFn, Array, Float, Int

EXPLANATION = "explanation.parquet"
STEPS = (32, 64, 128, 256, 512)
"""Points of the integral; more are taken where the sum of the attributions is not yet the difference."""
TOLERANCE = 1e-6
"""Of the sum, beside a difference of 1 or the larger one there is: Captum's weights are in float32."""
BATCH = 4096


def require_captum() -> None:
    """Raise `UsageError` where Captum is not installed."""
    if find_spec("captum") is None:
        raise UsageError(
            "Explaining decisions needs Captum, which is not installed. Install it with "
            "`pip install 'mtquant[explain]'`, or leave `evaluation.explained_bars` at 0."
        )


def integrated_gradients(actor: Actor) -> Explain:
    """Return a function that explains `actor`: its means, or the scores of its choices, before they are clipped.

    The path runs from the average observation of the train split to the one that was seen, both as the network's
    normaliser has them, in float64. Raises `UsageError` where Captum is not installed.
    """
    require_captum()
    from captum.attr import IntegratedGradients

    own = copy.deepcopy(actor).double()
    network = nn.Sequential(own.body, own.head)
    method = IntegratedGradients(network)

    def explain(observation: Array) -> tuple[Float, Float]:
        with torch.no_grad():
            seen = own.normaliser(torch.from_numpy(np.asarray(observation, dtype=np.float64)))
            average = torch.zeros_like(seen[:1])
            change = network(seen) - network(average)
        for steps in STEPS:
            parts = [
                method.attribute(
                    seen, average, target=k, n_steps=steps, method="gausslegendre", internal_batch_size=BATCH
                ).detach()
                for k in range(change.shape[1])
            ]
            found = torch.stack(parts, dim=1)
            gap = (found.sum(dim=2) - change).abs()
            if bool((gap <= TOLERANCE * change.abs().clamp(min=1.0)).all()):
                break
        attributions: Float = found.numpy()
        return attributions, change.numpy()

    return explain


@dataclass
class Recorder:
    """A policy that keeps what it saw; an `ActFn`."""

    act: ActFn
    seen: list[Array] = field(default_factory=list)

    def __call__(self, observation: Array, /) -> Array:
        """Return what the policy says."""
        self.seen.append(np.asarray(observation, dtype=np.float32))
        return self.act(observation)


def explain_decisions(
    hierarchy: Hierarchy, dataset: Dataset, spec: PipelineSpec, split: Split, path: Path
) -> tuple[Moved, ...]:
    """Return what moved the decisions of every agent that learned; write each explained decision to `path`.

    `evaluation.explained_bars` bars of `split`, evenly spread, are explained.
    """
    require_captum()
    acts = {agent: Recorder(act) for agent, act in hierarchy.acts.items()}
    game = hierarchy.game(dataset, spec)
    result = backtest(game, split, acts, hierarchy.name)
    found, rows = [], []
    for agent, recorded in acts.items():
        if not isinstance(recorded.act, InstrumentActor):
            continue
        taken = _taken(result.alive, spec.evaluation.explained_bars, game.decision_bars if agent == META else 1)
        seen = np.stack(recorded.seen)[taken[:, 0], taken[:, 1]]
        blocks, names = _blocks(game, agent, recorded.act.count)
        explain = integrated_gradients(recorded.act.actor)
        attributions, change = explain(seen.reshape(len(taken) * recorded.act.count, -1))
        parts = by_block(attributions, blocks)
        found.append(moved(agent, parts, change))
        # one row per decision of the agent: instruments of a specialist, outputs of the meta-controller
        repeated = np.repeat(np.arange(len(taken)), change.size // len(taken))
        table: dict[str, object] = {"time": pd.to_datetime(result.time[taken[:, 0], taken[:, 1]], utc=True)[repeated]}
        table |= {"segment": taken[repeated, 1], "agent": agent, "output": names * len(taken), "change": change.ravel()}
        rows.append(pd.DataFrame(table | {f"block.{name}": part.ravel() for name, part in parts.items()}))
    if rows:
        pd.concat(rows, ignore_index=True).to_parquet(path, index=False)
    return tuple(found)


def _taken(alive: Array, bars: int, every: int) -> Int:
    """Return `[n, 2]` row and pass of at most `bars` decisions, evenly spread; one is made `every` bars."""
    decided = np.argwhere(alive)
    decided = decided[decided[:, 0] % every == 0]
    out: Int = decided[np.unique(np.linspace(0, len(decided) - 1, min(bars, len(decided))).astype(int))]
    return out


def _blocks(game: JointGame, agent: str, count: int) -> tuple[list[tuple[str, int]], list[str]]:
    """Return the blocks of what the network sees, and the names of its outputs over all its instruments."""
    blocks = list(game.layout(agent).blocks)
    if agent == META:
        return blocks, [*game.spec.groups, "appetite"]
    own = [(name.rpartition(".")[0], width) for name, width in blocks[: len(blocks) // count]]
    return own, [game.dataset.market.symbols[slot] for slot in game.members[agent]]
