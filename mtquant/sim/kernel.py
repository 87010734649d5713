"""The accounting kernel: a pure step over explicit arrays. The only place where money changes.

Every line uses the array API standard, so numpy and torch run the same step. Shapes: N rows, k slots.
The decision made at the close of bar t fills at the open of t + 1 (or its close) and earns to the
close of t + 1.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from mtquant.sim.limits import TINY, Limits, project

OPEN, CLOSE, SCALE, TRADABLE = range(4)
"""Columns of `Bars.table`."""

RUIN = 0.05
"""Share of the initial capital below which an account is closed."""


class Bars(NamedTuple):
    """Read-only market arrays, instruments flattened behind bars: row t * K + instrument."""

    table: Any
    """[T * K, 4] open, close, point volatility x contract value, tradable (0 or 1)."""
    contract: Any
    """[K] contract value."""
    new_day: Any
    """[T] whether the bar begins a day."""
    nights: Any
    """[T] nights passed since the previous bar."""
    linear: Any
    impact: Any
    financing_long: Any
    financing_short: Any


class State(NamedTuple):
    """Everything that changes; a checkpoint of the simulator is this record."""

    t: Any
    """[N] bar at whose close the next decision is made."""
    end: Any
    """[N] last bar of the episode."""
    slots: Any
    """[N, k] instrument of each slot."""
    cash: Any
    """[N] account currency."""
    units: Any
    """[N, k] signed position."""
    equity: Any
    """[N] cash plus positions marked at the close of t."""
    day_equity: Any
    """[N] equity at the start of the present day."""
    breaker: Any
    """[N] circuit breakers active today (0 to 3)."""
    open_profit: Any
    """[N, k] profit of the position since it was opened."""
    entry: Any
    """[N, k] price at which the position was opened."""
    cooldown: Any
    """[N, k] bars an instrument still stays flat after its stop."""
    ruined: Any
    """[N] whether the account was closed."""
    anchor: Any
    """[N, k] close at the start of the episode; price moves are scaled around it."""
    cost_scale: Any
    """[N] multiplier of costs (scenario)."""
    move_scale: Any
    """[N] multiplier of price moves (scenario)."""


class StepResult(NamedTuple):
    """What one bar did."""

    t: Any
    """[N] bar of the decision."""
    equity_before: Any
    equity: Any
    gross: Any
    """[N, k] profit before costs, account currency."""
    cost: Any
    """[N, k] costs, account currency."""
    exposure: Any
    """[N, k] exposure held over the bar, risk units."""
    trade: Any
    """[N, k] exposure change traded, risk units."""
    projection: Any
    """[N] L1 distance between wanted and allowed exposure."""
    breaker: Any
    """[N] circuit breakers active."""
    stops: Any
    """[N] stops hit."""
    done: Any
    """[N] whether the episode ended with this bar."""


@dataclass(frozen=True)
class Rules:
    """Numbers of the account that never change."""

    unit_risk: float
    """u0: standard deviation of one bar's return of exposure 1."""
    initial_capital: float
    fill_at_close: bool
    limits: Limits


def gather(bars: Bars, t: Any, slots: Any, instruments: int, xp: Any) -> Any:
    """Return `[N, k, 4]` the rows of the bar table at bars `t` [N] and `slots` [N, k]."""
    index = t[:, None] * instruments + slots
    flat = xp.take(bars.table, xp.reshape(index, (-1,)), axis=0)
    return xp.reshape(flat, (slots.shape[0], slots.shape[1], 4))


def exposure_of(state: State, now: Any, rules: Rules) -> Any:
    """Return `[N, k]` the exposure of the positions held, at the close of t."""
    return state.units * now[:, :, SCALE] / (state.equity * rules.unit_risk)[:, None]


def _scaled(price: Any, state: State, xp: Any) -> Any:
    """Scale price moves around the episode's first close; exactly the price where the scale is 1."""
    scale = state.move_scale[:, None]
    return xp.where(scale == 1.0, price, state.anchor + scale * (price - state.anchor))


class _Prices(NamedTuple):
    now: Any
    """[N, k, 4] rows of the bar table at t."""
    contract: Any
    close: Any
    close_next: Any
    fill: Any
    tradable: Any
    """[N, k] whether the instrument has a bar at t + 1."""


def _prices(state: State, bars: Bars, rules: Rules, xp: Any) -> _Prices:
    instruments = bars.contract.shape[0]
    now = gather(bars, state.t, state.slots, instruments, xp)
    after = gather(bars, state.t + 1, state.slots, instruments, xp)
    contract = xp.take(bars.contract, xp.reshape(state.slots, (-1,)), axis=0)
    close_next = _scaled(after[:, :, CLOSE], state, xp)
    return _Prices(
        now=now,
        contract=xp.reshape(contract, state.slots.shape),
        close=_scaled(now[:, :, CLOSE], state, xp),
        close_next=close_next,
        fill=close_next if rules.fill_at_close else _scaled(after[:, :, OPEN], state, xp),
        tradable=after[:, :, TRADABLE] > 0.0,
    )


def step(state: State, target: Any, bars: Bars, rules: Rules, xp: Any) -> tuple[State, StepResult]:
    """Trade towards `target` exposures [N, k] and advance one bar; pure.

    Exposures must be finite. An instrument without a bar at t + 1 is not traded.
    """
    now, contract, close_now, close_next, fill, tradable = _prices(state, bars, rules, xp)
    unit = state.equity * rules.unit_risk
    per_unit = now[:, :, SCALE] / unit[:, None]

    held = state.units * per_unit
    wanted = xp.where(state.ruined[:, None], xp.zeros_like(target), target)
    allowed, guard = _guard(state, wanted, close_now, contract, now, bars, rules, xp)
    allowed = xp.where(tradable, allowed, held)

    units = xp.where(tradable, allowed / per_unit, state.units)
    change = units - state.units
    trade = change * per_unit
    cost = _costs(state, change * fill * contract, trade, close_now * contract, bars, rules, xp)
    gross = contract * (state.units * (fill - close_now) + units * (close_next - fill))
    cash = state.cash - xp.sum(change * fill * contract, axis=1) - xp.sum(cost, axis=1)
    equity = cash + xp.sum(units * close_next * contract, axis=1)

    ruined = state.ruined | (equity <= RUIN * rules.initial_capital)
    turned = (xp.sign(units) != xp.sign(state.units)) & (units != 0.0)
    zero = xp.zeros_like(gross)
    new = state._replace(
        t=state.t + 1,
        cash=cash,
        units=units,
        equity=equity,
        day_equity=guard.day_equity,
        breaker=guard.breaker,
        open_profit=xp.where(
            units == 0.0, zero, xp.where(turned, contract * units * (close_next - fill), state.open_profit + gross)
        ),
        entry=xp.where(turned, fill, state.entry),
        cooldown=guard.cooldown,
        ruined=ruined,
    )
    result = StepResult(
        t=state.t,
        equity_before=state.equity,
        equity=equity,
        gross=gross,
        cost=cost,
        exposure=units * per_unit,
        trade=trade,
        projection=xp.sum(xp.abs(xp.where(tradable, wanted - allowed, zero)), axis=1),
        breaker=guard.breaker,
        stops=guard.stops,
        done=ruined | (new.t >= state.end),
    )
    return new, result


class _Guard(NamedTuple):
    day_equity: Any
    breaker: Any
    cooldown: Any
    stops: Any


def _guard(
    state: State, wanted: Any, close: Any, contract: Any, now: Any, bars: Bars, rules: Rules, xp: Any
) -> tuple[Any, _Guard]:
    """Apply circuit breakers, stop-losses and limits; return allowed exposures and the rules' memory."""
    limits = rules.limits
    none = xp.zeros_like(state.breaker)
    if not limits.enabled:
        return wanted, _Guard(state.day_equity, none, state.cooldown, none)
    fresh_day = xp.take(bars.new_day, state.t + 1, axis=0)
    day_equity = xp.where(fresh_day, state.equity, state.day_equity)
    loss = 1.0 - state.equity / day_equity
    breaker = xp.where(fresh_day, none, state.breaker)
    share = xp.ones_like(loss)
    for level, (at, scale) in enumerate(zip(limits.breaker_losses, limits.breaker_scales, strict=True), start=1):
        tripped = (loss >= at) | (breaker >= level)
        breaker = xp.where(tripped & (breaker < level), none + level, breaker)
        share = xp.where(tripped, xp.full_like(share, scale), share)
    stops, cooldown = none, state.cooldown
    allowed = wanted * share[:, None]
    if limits.stop != "off":
        hit = _stop_hit(state, close, limits, xp) & (state.units != 0.0)
        cooldown = xp.where(hit, xp.full_like(cooldown, limits.cooldown_bars + 1), cooldown)
        allowed = xp.where(cooldown > 0, xp.zeros_like(allowed), allowed)
        cooldown = xp.clip(cooldown - 1, 0, None)
        stops = xp.sum(xp.astype(hit, none.dtype), axis=1)
    factor = xp.ones_like(allowed)
    if limits.literal:
        # notional per exposure, as a share of equity
        factor = xp.abs(close) * contract * rules.unit_risk / xp.clip(now[:, :, SCALE], TINY, None)
        factor = xp.clip(factor, 1e-12, None)
    return project(allowed, factor, limits, xp), _Guard(day_equity, breaker, cooldown, stops)


def _stop_hit(state: State, close: Any, limits: Limits, xp: Any) -> Any:
    if limits.stop == "equity":
        return state.open_profit <= -limits.stop_loss * state.equity[:, None]
    against = -xp.sign(state.units) * (close - state.entry)
    return against >= limits.stop_loss * xp.abs(state.entry)


def _costs(state: State, traded: Any, trade: Any, held_price: Any, bars: Bars, rules: Rules, xp: Any) -> Any:
    """Return `[N, k]` spread, commission, slippage, impact and financing, account currency."""
    flat = xp.reshape(state.slots, (-1,))

    def pick(table: Any) -> Any:
        return xp.reshape(xp.take(table, flat, axis=0), state.slots.shape)

    unit = (state.equity * rules.unit_risk)[:, None]
    trading = xp.abs(traded) * pick(bars.linear) + 0.5 * pick(bars.impact) * unit * trade * trade
    nights = xp.take(bars.nights, state.t + 1, axis=0)[:, None]
    rate = xp.where(state.units > 0.0, pick(bars.financing_long), pick(bars.financing_short))
    financing = xp.abs(state.units * held_price) * rate * nights
    return (trading + financing) * state.cost_scale[:, None]
