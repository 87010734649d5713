"""A bar of a game as a line of text, an episode as a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, DPI = 6.4, 4.8, 100


@dataclass(frozen=True)
class Frame:
    """What a person is shown of one bar."""

    step: int
    equity: float
    exposure: float
    """Sum of the exposures held over the bar."""
    rewards: Mapping[str, float]
    words: Mapping[str, str]
    """What each agent said."""


def write(name: str, frame: Frame | None) -> str:
    """Return one line per bar and one per agent; a line that says so before the first bar."""
    if frame is None:
        return f"{name}: no bar played yet"
    head = f"{name}: bar {frame.step}, equity {frame.equity:,.2f}, exposure {frame.exposure:+.3f}"
    agents = [f"  {agent}: {frame.words.get(agent, '-')}, paid {paid:+.4f}" for agent, paid in frame.rewards.items()]
    return "\n".join([head, *agents])


def draw(name: str, frames: Sequence[Frame]) -> NDArray[np.uint8]:
    """Return `[480, 640, 3]` equity, exposure and rewards of the bars."""
    # only who asks for pictures waits for the library
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH, HEIGHT), dpi=DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    top, middle, bottom = figure.subplots(3, 1, sharex=True)
    step = [frame.step for frame in frames]
    top.plot(step, [frame.equity for frame in frames])
    top.set_ylabel("equity")
    top.set_title(name)
    middle.step(step, [frame.exposure for frame in frames], where="mid")
    middle.set_ylabel("exposure")
    for agent in frames[-1].rewards if frames else ():
        bottom.plot(step, np.cumsum([frame.rewards[agent] for frame in frames]), label=agent)
    if frames:
        bottom.legend(fontsize="x-small", loc="upper left")
    bottom.set_ylabel("reward, sum")
    bottom.set_xlabel("bar")
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[:, :, :3].copy()  # type: ignore[no-untyped-call]
