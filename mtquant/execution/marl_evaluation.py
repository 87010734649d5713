"""`MARLEvaluator`: document 4's class over the one backtest that everything else uses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import kurtosis, skew

from mtquant import metrics
from mtquant.agents.hierarchy import Hierarchy
from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.splits import Split
from mtquant.evaluation.result import BacktestResult
from mtquant.evaluation.series import Measuring, by_day, common_clock
from mtquant.execution.marl_backtest import trained_agents
from mtquant.store.files import write_atomic
from mtquant.types import Float

EVALUATION, EPISODES = "evaluation.md", "episodes.csv"


@dataclass(frozen=True)
class MARLEvaluator:
    """Measures trained agents over episodes cut from the test split."""

    agents: Hierarchy
    dataset: Dataset
    spec: PipelineSpec

    @classmethod
    def of_run(cls, root: Path, run: str | None = None, phase: Literal[1, 2, 3] = 3) -> "MARLEvaluator":
        """Return the evaluator of a finished run (`trained_agents`)."""
        return cls(*trained_agents(root, run, phase))

    def evaluate_performance(self, episodes: int = 100, save_results: Path | None = None) -> dict[str, Any]:
        """Return `detailed_results`, one row per episode, and `summary_statistics` as the document names them.

        An episode's reward is its net return, an agent's contribution the net profit of its instruments over the
        initial capital. Episodes have `environment.episode_length` bars and begin at even distances, so many of them
        overlap: they are no independent observations. With `save_results` a folder, `evaluation.md` and
        `episodes.csv` are written there.
        """
        split = _episodes(self.dataset, self.spec, episodes)
        result = self.agents.backtest(self.dataset, self.spec, split)
        details = _by_episode(result, Measuring.of(self.spec, self.dataset))
        summary = summary_statistics(details, self.spec.groups)
        found = {"detailed_results": details, "summary_statistics": summary}
        if save_results is not None:
            write_atomic(save_results / EPISODES, details.to_csv(index_label="episode").encode())
            write_atomic(save_results / EVALUATION, self.generate_evaluation_report(found).encode())
        return found

    def generate_evaluation_report(self, results: Mapping[str, Any]) -> str:
        """Return the Markdown report of what `evaluate_performance` returned."""
        summary = results["summary_statistics"]
        lines = [
            "# MARL Agent Evaluation Report",
            "",
            f"{len(results['detailed_results'])} episodes of the test split.",
        ]
        for title, part in SECTIONS.items():
            lines += ["", f"## {title}", ""]
            lines += [f"- **{_title(name)}**: {value:.4f}" for name, value in summary[part].items()]
        lines += ["", "## Agent Contributions"]
        for agent, found in summary["agent_analysis"].items():
            lines += ["", f"### {agent.title()} Agent", ""]
            lines += [f"- **{_title(name)}**: {value:.4f}" for name, value in found.items()]
        return "\n".join([*lines, ""])


SECTIONS = {
    "Performance Summary": "performance_metrics",
    "Risk Analysis": "risk_metrics",
    "Trading Performance": "trading_metrics",
}


def summary_statistics(details: pd.DataFrame, agents: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the statistics of document 4 over episodes (`_by_episode`).

    Where the document takes 0 for what does not exist (no losing episode, one episode), this is NaN. `volatility` is
    the mean over episodes of the annualised volatility of daily returns; the document's square root of 252 times the
    deviation of whole episodes has no meaning.
    """
    reward = details["reward"].to_numpy()
    edge = float(np.percentile(reward, 5))
    won, lost = reward[reward > 0.0], reward[reward < 0.0]
    return {
        "performance_metrics": {
            "mean_reward": float(reward.mean()),
            "std_reward": float(reward.std()),
            "median_reward": float(np.median(reward)),
            "min_reward": float(reward.min()),
            "max_reward": float(reward.max()),
            "reward_skewness": float(skew(reward)) if np.ptp(reward) else math.nan,
            "reward_kurtosis": float(kurtosis(reward)) if np.ptp(reward) else math.nan,
        },
        "risk_metrics": {
            "mean_sharpe_ratio": float(details["sharpe_ratio"].mean()),
            "mean_max_drawdown": float(details["max_drawdown"].mean()),
            "value_at_risk_95": edge,
            "conditional_var_95": float(reward[reward <= edge].mean()),
            "volatility": float(details["volatility"].mean()),
        },
        "trading_metrics": {
            "win_rate": float(details["win_rate"].mean()),
            "profit_factor": float(metrics.profit_factor(reward)),
            "average_win": float(won.mean()) if len(won) else math.nan,
            "average_loss": float(lost.mean()) if len(lost) else math.nan,
            "largest_win": float(reward.max()),
            "largest_loss": float(reward.min()),
        },
        "agent_analysis": {agent: _contribution(details[f"contribution.{agent}"], reward) for agent in agents},
    }


def _contribution(found: "pd.Series[float]", reward: Float) -> dict[str, float]:
    own = found.to_numpy()
    varies = len(own) > 1 and np.ptp(own) > 0.0 and np.ptp(reward) > 0.0
    return {
        "mean_contribution": float(own.mean()),
        "std_contribution": float(own.std()),
        "correlation_with_total": float(np.corrcoef(own, reward)[0, 1]) if varies else math.nan,
    }


def _by_episode(result: BacktestResult, measuring: Measuring) -> pd.DataFrame:
    """Return one row per pass: `reward`, ratios of its days, and `contribution.<group>`."""
    days = by_day(result, common_clock([result]), measuring)
    net = np.where(result.alive[..., None], result.gross - result.cost, 0.0).sum(axis=0) / result.equity[0][:, None]
    rows = []
    for returns in days.returns:
        rows.append(
            {
                "reward": float(np.prod(1.0 + returns) - 1.0),
                "sharpe_ratio": float(metrics.sharpe(returns, days.per_year)),
                "max_drawdown": float(metrics.max_drawdown(metrics.wealth(returns))),
                "volatility": float(metrics.volatility(returns, days.per_year)),
                "win_rate": float(metrics.win_rate(returns, 1)),
            }
        )
    table = pd.DataFrame(rows)
    for g, group in enumerate(result.groups):
        table[f"contribution.{group}"] = net[:, np.asarray(result.group_of) == g].sum(axis=1)
    return table


def _episodes(dataset: Dataset, spec: PipelineSpec, count: int) -> Split:
    """Return `count` windows of the test split, evenly spread over its segments by their room."""
    length = spec.environment.episode_length + 1
    histories = np.array([start for start, _ in dataset.market.history_bounds()])
    first: list[tuple[int, int]] = []
    for start, stop in dataset.splits.test.segments:
        history = int(histories[np.searchsorted(histories, start, side="right") - 1])
        usable = max(start, history + spec.environment.warmup_steps)
        first += [(begin, min(begin + length, stop)) for begin in range(usable, max(usable + 1, stop - length + 1))]
    chosen = np.linspace(0, len(first) - 1, count).round().astype(int)
    return Split("test", tuple(first[i] for i in chosen))


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize().replace("var", "VaR").replace("Value at risk 95", "Value at risk (95 %)")
