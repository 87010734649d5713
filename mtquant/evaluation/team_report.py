"""Report of a team's training: figures, how each agent's reward developed, how the rewards moved together."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtquant.evaluation.team_history import RewardHistory, coordination, progress_of
from mtquant.evaluation.team_plots import draw_agents
from mtquant.store.files import write_atomic

REPORT, PLOT = "rewards.md", "rewards.png"


def write_team_report(folder: Path, title: str, history: RewardHistory, facts: Mapping[str, Any]) -> None:
    """Write `rewards.md` and `rewards.png` into `folder`; `facts` are told at the top, in order."""
    write_atomic(folder / REPORT, _text(title, history, facts).encode())
    write_atomic(folder / PLOT, draw_agents(history))


def _text(title: str, history: RewardHistory, facts: Mapping[str, Any]) -> str:
    lines = [f"# {title}", "", *(f"- {name}: {_number(value)}" for name, value in facts.items()), ""]
    lines += ["| reward per episode | first tenth | last tenth | best rollout | trend per million steps |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    series = {"all agents": history.total} | {a: history.rewards[:, i] for i, a in enumerate(history.agents)}
    for name, rewards in series.items():
        found = progress_of(history.steps, rewards)
        shown = [_number(value) for value in (found.first, found.last, found.best)]
        lines.append(f"| {name} | {' | '.join(shown)} | {_number(found.trend)} +- {_number(found.trend_error)} |")
    if len(history.agents) > 1:
        together = coordination(history.rewards)
        lines += ["", "Correlation of the changes of rewards from rollout to rollout:", ""]
        lines += [f"| | {' | '.join(history.agents)} |", "| --- |" + " --- |" * len(history.agents)]
        for agent, row in zip(history.agents, together, strict=True):
            lines.append(f"| {agent} | {' | '.join(_number(value) for value in row)} |")
    return "\n".join([*lines, "", f"![Rewards by rollout]({PLOT})", ""])


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
