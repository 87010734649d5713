"""`MarketSim`: N parallel accounts of k slots over one shared market."""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.errors import DataError
from mtquant.sim.costs import cost_table
from mtquant.sim.kernel import Bars, Rules, State, StepResult, exposure_of, gather, step
from mtquant.sim.limits import Limits, build_limits, value_at_risk
from mtquant.types import Array, Bool, Float, Int

DAY = 86_400_000_000_000


@dataclass(frozen=True)
class Episode:
    """Where rows start: one entry per reset row."""

    start: Int
    """[n] bar at whose close the first decision is made."""
    end: Int
    """[n] last bar."""
    slots: Int
    """[n, k] instrument of each slot."""
    cost_scale: Float
    """[n]"""
    move_scale: Float
    """[n]"""
    noise_level: Float | None = None
    """[n] noise on what is seen, which the accounts do not know of; None: none."""


class MarketSim:
    """Parallel accounts; all money changes in `kernel.step`.

    The dataset's instruments are the columns that slots point to. With one slot, rows may hold
    different instruments; with several, every row holds the same ones in the same order.
    """

    def __init__(
        self, dataset: Dataset, spec: PipelineSpec, *, rows: int, slots: int, joint: bool = False, xp: Any = np
    ) -> None:
        symbols = dataset.market.symbols
        if slots not in (1, len(symbols)):
            raise DataError(f"A row holds one instrument or all {len(symbols)}; {slots} slots were asked for.")
        self.symbols = symbols
        self.rows, self.slots = rows, slots
        groups = spec.groups
        self.groups = groups
        self.group_of = tuple(groups.index(spec.catalogue.instruments[s].group) for s in symbols)
        single = slots == 1
        limits = build_limits(
            spec.limits,
            np.ones((1, 1)) if single else dataset.correlation,
            (0,) if single else self.group_of,
            spec.environment.target_volatility,
            joint=joint,
            xp=xp,
        )
        self.rules = Rules(
            unit_risk=spec.environment.target_volatility * dataset.unit_risk,
            initial_capital=spec.environment.initial_capital,
            fill_at_close=spec.environment.fill == "next_close",
            limits=limits,
        )
        self.bars = build_bars(dataset, spec, xp)
        self.xp = xp
        self.state = _empty_state(rows, slots, xp)

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles of this simulator hold: a module travels as its name."""
        return self.__dict__ | {"xp": self.xp.__name__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Continue from `__getstate__`."""
        self.__dict__.update(state | {"xp": import_module(state["xp"])})

    @property
    def limits(self) -> Limits:
        """The rules of the risk layer."""
        return self.rules.limits

    def reset(self, rows: Bool, episode: Episode) -> None:
        """Start new episodes in the rows where `rows` [N] is True; `episode` has one entry for each."""
        xp, state = self.xp, self.state
        mask = xp.asarray(rows)
        start = xp.asarray(episode.start)
        slots = xp.asarray(episode.slots)
        now = gather(self.bars, start, slots, len(self.symbols), xp)
        capital = self.rules.initial_capital
        values = {
            "t": start,
            "end": xp.asarray(episode.end),
            "slots": slots,
            "cash": capital,
            "units": 0.0,
            "equity": capital,
            "day_equity": capital,
            "breaker": 0,
            "open_profit": 0.0,
            "entry": 0.0,
            "cooldown": 0,
            "ruined": False,
            "anchor": now[:, :, 1],
            "cost_scale": xp.asarray(episode.cost_scale),
            "move_scale": xp.asarray(episode.move_scale),
        }
        fresh = {}
        for name, value in values.items():
            array = xp.asarray(getattr(state, name), copy=True)
            array[mask] = value
            fresh[name] = array
        self.state = State(**fresh)

    def step(self, target: Array) -> StepResult:
        """Advance every row one bar towards `target` exposures [N, k] (risk units, finite)."""
        self.state, result = step(self.state, target, self.bars, self.rules, self.xp)
        return result

    def exposure(self) -> Array:
        """Return `[N, k]` the exposure now held, risk units."""
        now = gather(self.bars, self.state.t, self.state.slots, len(self.symbols), self.xp)
        held: Array = exposure_of(self.state, now, self.rules)
        return held

    def value_at_risk(self, exposure: Array) -> Array:
        """Return `[N]` the ex-ante value at risk a day of `exposure` [N, k], as a share of equity."""
        out: Array = value_at_risk(exposure, self.rules.limits, array_namespace(exposure))
        return out

    def state_dict(self) -> dict[str, Array]:
        """Return the state record as named numpy arrays."""
        return {name: np.asarray(value) for name, value in self.state._asdict().items()}

    def load_state_dict(self, arrays: dict[str, Array]) -> None:
        """Continue from a record made by `state_dict`."""
        self.state = State(**{name: self.xp.asarray(arrays[name]) for name in State._fields})


def build_bars(dataset: Dataset, spec: PipelineSpec, xp: Any = np) -> Bars:
    """Return the flattened market arrays of `dataset` with the costs of `spec`."""
    market = dataset.market
    contract = np.array([spec.catalogue.instruments[s].contract_value for s in market.symbols])
    table = np.stack(
        [
            market.ohlcv[:, :, 0],
            market.ohlcv[:, :, 3],
            np.asarray(dataset.point_volatility) * contract,
            market.tradable.astype(np.float64),
        ],
        axis=-1,
    ).reshape(-1, 4)
    day = market.time // DAY
    passed = np.diff(day, prepend=day[0])
    same = np.diff(market.history, prepend=market.history[0]) == 0
    nights = np.where(same, passed, 0).astype(np.float64)
    costs = cost_table(spec.environment, spec.catalogue, market.symbols, dataset.planted)
    return Bars(
        *(
            xp.asarray(np.ascontiguousarray(a))
            for a in (
                table,
                contract,
                nights > 0,
                nights,
                costs.linear,
                costs.impact,
                costs.financing_long,
                costs.financing_short,
            )
        )
    )


def _empty_state(rows: int, slots: int, xp: Any) -> State:
    one, many = xp.zeros(rows, dtype=xp.float64), xp.zeros((rows, slots), dtype=xp.float64)
    count = xp.zeros(rows, dtype=xp.int64)
    return State(
        t=count,
        end=count,
        slots=xp.zeros((rows, slots), dtype=xp.int64),
        cash=one,
        units=many,
        equity=one + 1.0,
        day_equity=one + 1.0,
        breaker=count,
        open_profit=many,
        entry=many,
        cooldown=xp.zeros((rows, slots), dtype=xp.int64),
        ruined=xp.zeros(rows, dtype=xp.bool),
        anchor=many,
        cost_scale=one + 1.0,
        move_scale=one + 1.0,
    )
