"""The policies that the phases of a run left, as hierarchies to evaluate."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.hierarchy import Hierarchy, best_common_budget, load_acts, with_equal_budgets
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.envs.games.joint import META


@dataclass(frozen=True)
class Trained:
    """What the phases left, as hierarchies; `budget` is phase 1's common one, fitted on validation."""

    phase1: Hierarchy
    phase2: Hierarchy
    phase3: Hierarchy
    control: Hierarchy | None
    specialists: Mapping[str, PolicyBundle]
    budget: float

    @property
    def hierarchies(self) -> tuple[Hierarchy, ...]:
        """Return all of them, in order."""
        return (self.phase1, self.phase2, self.phase3, *((self.control,) if self.control else ()))


def load_trained(spec: PipelineSpec, dataset: Dataset, folders: Mapping[str, Path]) -> Trained:
    """Load the bundles of all phases from the units' `outputs` folders."""
    specialist_folders = {g: folders[f"phase1-{g}"] / g for g in spec.groups}
    specialists = load_acts(specialist_folders)
    aversion = spec.phase3.reward.risk_aversion * spec.environment.target_volatility * dataset.unit_risk
    budget = best_common_budget(specialists, spec, dataset, dataset.splits.validation, aversion)
    meta = load_acts({META: folders["phase2-meta"] / META})
    agents = (META, *spec.groups)
    joint = load_acts({a: folders["phase3-joint"] / a for a in agents})
    control = None
    if "phase3-no-peers" in folders:
        alone = load_acts({a: folders["phase3-no-peers"] / a for a in agents})
        control = Hierarchy("no-peers", alone, context=False, joint=True)
    return Trained(
        with_equal_budgets(specialists, spec, budget),
        Hierarchy("phase2", {**specialists, **meta}, context=False, joint=False),
        Hierarchy("phase3", joint, context=spec.phase3.peers, joint=True),
        control,
        {g: PolicyBundle.load(f) for g, f in specialist_folders.items()},
        budget,
    )
