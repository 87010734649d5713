"""`assert_causal`: change the future, and nothing that an environment showed, decided or paid before may move."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtquant.context import Streams
from mtquant.data.market import Market
from mtquant.errors import UsageError
from mtquant.evaluation.causality.perturbation import PERTURBATIONS, gap_after, random_walk, truncated
from mtquant.evaluation.causality.players import NEVER, Access, Player, Seen, player_of
from mtquant.types import Array, Bool, Float

EnvFactory = Callable[[Market], Any]
"""Builds the environment from bars, everything that is fitted included; equal bars give equal environments."""
CLOSE_ENOUGH = 1e-9
"""Relative difference that is rounding: some libraries sum arrays of other lengths in another order."""
NOTHING = 1e-13
"""Absolute difference that is rounding around zero."""
GAP_MOVES = 3.0
"""Size of a gap in typical moves."""
SEEN_SHARE = 0.1
"""Share of a gap that a new order may earn. Costs, a share of the fill price, are below it; a fill at the last
close earns all of it."""


@dataclass(frozen=True)
class Leak:
    """Where something knew of the future."""

    check: str
    """`statistic`, `episode`, `position`, `reward`, `observation`, `fill` or `prefix`."""
    what: str
    """For people: `observation of forex`."""
    entry: str
    """The entry of the vector: its name where it has one, else its number."""
    bar: int
    """The bar up to which it may know the market; -1: it was fitted before the first bar that is played."""
    present: int
    """The last bar that was left as it was."""
    perturbation: str
    """What was done to later bars."""
    here: float
    there: float
    """The entry on the given bars and on the changed ones."""

    def __str__(self) -> str:
        at = "fitted beforehand" if self.bar < 0 else f"at bar {self.bar}"
        entry = f", {self.entry}," if self.entry else ""
        return (
            f"{self.what}{entry} {at} knows the future: {self.here:.6g} became {self.there:.6g} when bars after "
            f"{self.present} were changed ({self.perturbation})"
        )


class LeakFound(AssertionError):
    """An environment knows the future; `leak` says where."""

    def __init__(self, leak: Leak) -> None:
        super().__init__(str(leak))
        self.leak = leak


@dataclass(frozen=True)
class Search:
    """How long a leak is looked for."""

    trials: int = 24
    """Random futures; each with an episode, actions and a present of its own."""
    steps: int = 40
    """Steps of an episode that are played."""
    fills: bool = True
    """Whether to look for fills at prices already seen; needs rewards that follow profits."""
    fill_trials: int = 6
    streams: Streams = field(default_factory=lambda: Streams(0))
    """Everything is drawn from here: equal streams look at the same futures."""


USUAL = Search()
"""Seconds of looking, for most environments. With 16 trials two choices made on the test split went unnoticed."""


def assert_causal(
    env_factory: EnvFactory,
    market: Market | None = None,
    *,
    fitted_until: int = 0,
    access: Access | None = None,
    search: Search = USUAL,
) -> None:
    """Raise `LeakFound` where the environment shows, decides, pays or was fitted to what lies in the future.

    `env_factory` gets bars and returns a `GameEngine`, a `VecMarketEnv`, or any Gymnasium environment; one that is
    not of this package needs `access`. `market` are bars to try it on (default: a random walk of four instruments
    with gaps). `fitted_until` is the end of the train split: statistics may know the bars before it.
    """
    leak = find_leak(env_factory, market, fitted_until=fitted_until, access=access, search=search)
    if leak is not None:
        raise LeakFound(leak)


def find_leak(
    env_factory: EnvFactory,
    market: Market | None = None,
    *,
    fitted_until: int = 0,
    access: Access | None = None,
    search: Search = USUAL,
) -> Leak | None:
    """Return the first leak that the search meets, or None; arguments as in `assert_causal`.

    Deterministic. Raises `UsageError` where no reward follows prices (then fills cannot be judged) or where the
    market ends before anything can be changed.
    """
    bars = random_walk(search.streams) if market is None else market
    reference = player_of(env_factory(bars), access)
    for trial in range(search.trials):
        rng = search.streams.rng("causality", "trial", trial)
        seed = int(rng.integers(2**31))
        actions = reference.draw(rng, search.steps)
        told = _told(reference, seed, actions, NEVER - 1)
        present = max(_present(told, bars, rng), fitted_until - 1)
        name = _perturbation(bars, present, trial)
        other = player_of(env_factory(PERTURBATIONS[name](bars, present, rng)), access)
        leak = _first_difference(told, _told(other, seed, actions, present), present, name)
        if leak is not None:
            return leak
    return _seen_fill(env_factory, bars, access, search) if search.fills else None


def find_unstable(
    features: Callable[[Market], Array],
    market: Market,
    *,
    fitted_until: int = 0,
    names: Sequence[str] = (),
    search: Search = USUAL,
) -> Leak | None:
    """Return the first entry of `features(bars)` [T, ...] that differs where the bars end sooner, or None.

    `names` are those of the last axis. Histories are cut at random bars after `fitted_until`.
    """
    whole = np.asarray(features(market))
    rng = search.streams.rng("causality", "prefix")
    for _ in range(search.trials):
        bars = int(rng.integers(max(fitted_until, 1), len(market.time)))
        cut = np.asarray(features(truncated(market, bars)))
        differs = _differs(whole[:bars], cut)
        if differs.any():
            where = tuple(int(i) for i in np.argwhere(differs)[0])
            entry = names[where[-1]] if names and len(where) > 1 else ", ".join(str(i) for i in where[1:])
            values = float(whole[where]), float(cut[where])
            return Leak("prefix", "feature", entry, where[0], bars - 1, "the bars end there", *values)
    return None


def assert_prefix_stable(
    features: Callable[[Market], Array],
    market: Market,
    *,
    fitted_until: int = 0,
    names: Sequence[str] = (),
    search: Search = USUAL,
) -> None:
    """Raise `LeakFound` where a feature of a truncated history differs from that of the whole; see `find_unstable`."""
    leak = find_unstable(features, market, fitted_until=fitted_until, names=names, search=search)
    if leak is not None:
        raise LeakFound(leak)


def _told(player: Player, seed: int, actions: list[Any], present: int) -> list[list[Seen]]:
    """Play until every row stands beyond `present` or is over; return what was seen, step by step."""
    out = [player.begin(seed)]
    for action in actions:
        if (player.bars > present).all():
            break
        out.append(player.play(action))
    return out


def _present(told: list[list[Seen]], market: Market, rng: np.random.Generator) -> int:
    """Return a bar at which some row stood; half of the time one at which an instrument had none.

    What fills missing bars shows at these only.
    """
    stood = np.unique(np.concatenate([seen.bar for step in told for seen in step if seen.kind == "observation"]))
    stood = stood[stood < len(market.time) - 2]
    if not len(stood):
        raise UsageError("The environment stands at the end of its bars at once; give it more bars.")
    without = stood[~market.tradable[stood].all(axis=1)]
    return int(rng.choice(without if len(without) and rng.random() < 0.5 else stood))


def _perturbation(market: Market, present: int, trial: int) -> str:
    """Return the name of the trial's perturbation: every second time all values, which show most."""
    if trial % 2 == 0:
        return "values"
    others = [n for n in PERTURBATIONS if n != "values"]
    if market.history[present] == market.history[-1]:
        others.remove("later histories")
    return others[trial // 2 % len(others)]


def _first_difference(here: list[list[Seen]], there: list[list[Seen]], present: int, perturbation: str) -> Leak | None:
    for ours, theirs in zip(here, there, strict=False):
        for one, two in zip(ours, theirs, strict=True):
            known = one.bar <= present
            if not known.any():
                continue
            if one.values.shape != two.values.shape:
                sizes = float(one.values.size), float(two.values.size)
                return Leak(one.kind, one.what, "size", int(one.bar[known][0]), present, perturbation, *sizes)
            differs = _differs(one.values, two.values) & known[:, None]
            if differs.any():
                # the earliest bar, then the first entry
                rows = np.flatnonzero(differs.any(axis=1))
                row = int(rows[np.argmin(one.bar[rows])])
                column = int(np.argmax(differs[row]))
                entry = one.names[column] if one.names else str(column) if one.values.shape[1] > 1 else ""
                values = float(one.values[row, column]), float(two.values[row, column])
                return Leak(one.kind, one.what, entry, int(one.bar[row]), present, perturbation, *values)
    return None


def _differs(here: Array, there: Array) -> Bool:
    if here.shape != there.shape:
        raise UsageError(f"The same bars gave {there.shape} numbers instead of {here.shape}.")
    alike: Bool = np.isclose(here, there, rtol=CLOSE_ENOUGH, atol=NOTHING, equal_nan=True)
    return ~alike


def _seen_fill(env_factory: EnvFactory, market: Market, access: Access | None, search: Search) -> Leak | None:
    """Return a leak where an order earns the gap between the close it was decided at and the next bar.

    Two actions are tried at the same close. A gap after it is earned by what was held before, whichever is taken;
    only a fill at a price from before the gap pays them differently. The gap one step later, which the new
    positions do earn, says how large that would be.
    """
    plain = player_of(env_factory(market), access)
    steps = np.abs(np.diff(market.close, axis=0))
    points = GAP_MOVES * np.array([np.median(moved[moved > 0]) for moved in steps.T])
    first, second, where = 0.0, 0.0, -1
    for trial in range(search.fill_trials):
        rng = search.streams.rng("causality", "fill", trial)
        seed, wait = int(rng.integers(2**31)), int(rng.integers(0, 4))
        *before, one, two = plain.draw(rng, wait + 2)
        stood = _stands(plain, seed, [*before, one])
        if len(stood) < wait + 2 or stood[-1] >= len(market.time) - 2:
            continue
        now, then = stood[wait], stood[wait + 1]
        gapped = [player_of(env_factory(gap_after(market, bar, points)), access) for bar in (now, then)]
        paid = [_paid(player, seed, before, one) - _paid(player, seed, before, two) for player in (plain, *gapped)]
        first += float((paid[1] - paid[0])[0]) ** 2
        second += float((paid[2] - paid[0])[1]) ** 2
        where = now
    if second == 0.0:
        raise UsageError("No action changed what a later gap paid, so fills cannot be judged: use `fills=False`.")
    share = math.sqrt(first / second)
    if share <= SEEN_SHARE:
        return None
    return Leak("fill", "new order", "share of the gap earned", where, where, "a gap before the fill", 0.0, share)


def _stands(player: Player, seed: int, actions: list[Any]) -> list[int]:
    """Return the bars of the first row, the start included, as long as its episode runs."""
    player.begin(seed)
    out = [int(player.bars[0])]
    for action in actions:
        player.play(action)
        if player.bars[0] == NEVER:
            break
        out.append(int(player.bars[0]))
    return out


def _paid(player: Player, seed: int, before: list[Any], action: Any) -> Float:
    """Return `[2]` what the first row is paid for `action` held for two steps after `before`."""
    player.begin(seed)
    for earlier in before:
        player.play(earlier)
    paid = []
    for _ in range(2):
        player.play(action)
        paid.append(float(player.paid[0]))
    return np.array(paid)
