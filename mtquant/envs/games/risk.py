"""The risk game: four agents move the risk of one portfolio up and down (`RiskManagementEnv`)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pettingzoo.utils.wrappers import OrderEnforcingWrapper
from scipy.stats import norm

from mtquant.config.desk_games import RiskEnvironmentSpec, RiskManagementSpec
from mtquant.config.games import Config, GamesSpec
from mtquant.config.risk import LimitsSpec
from mtquant.context import Streams
from mtquant.data.features import build_dataset
from mtquant.data.market import Market
from mtquant.envs.aec import MakeEngine
from mtquant.envs.game import PARTS, Table, TeamMarketGame
from mtquant.envs.games.documented import DocumentedAEC, DocumentedParallel, GameView, engines_of
from mtquant.envs.ground import DEFAULT_SYMBOLS, FEATURES, Bars, Ground, ground_of, settings
from mtquant.envs.rewards import outcome_of
from mtquant.envs.risk_view import RiskView
from mtquant.envs.spaces import Choice, ObservationLayout, index_of
from mtquant.envs.track import drawdown_growth, fresh_track
from mtquant.sim.kernel import StepResult
from mtquant.sim.limits import quadratic
from mtquant.synthetic.black_swan import Crashes
from mtquant.synthetic.sizing import MOVES, SizingParams, sizing_bars
from mtquant.types import Array, Bool, Float, Int

DESK = ("position_sizing", "stop_target", "risk_monitor", "portfolio_optimizer")
RISK_ACTIONS = ("REDUCE_RISK", "SLIGHT_REDUCE", "MAINTAIN", "SLIGHT_INCREASE", "INCREASE_RISK")
LEVELS = 5
MIDDLE = LEVELS // 2
STOPS = np.array([0.5, 0.75, 1.0, 1.5, np.inf])
"""Distance of the stop at each level, in units of `atr_multiplier`; the last one has neither stop nor target."""
BUDGETS = np.array([0.2, 0.4, 0.6, 0.8, 1.0])
"""Value at risk allowed at each level, as a share of `var_threshold`."""
SPREAD = np.array([1.0, 0.75, 0.5, 0.25, 0.0])
"""Share of the weights of least variance at each level; the rest is equal risk."""
EMERGENCY_SCALE = 0.5
METRIC_NAMES = (
    "size_level",
    "var_use",
    "volatility",
    "mean_correlation",
    "correlation_shock",
    "drawdown",
    "kelly_size",
    "stop_level",
    "budget_level",
    "spread_level",
)
SIZING = SizingParams(volatility=(0.10, 0.40), stay=0.99)
"""The default market: long regimes of calm and of storm, so that no constant size earns more than 0.57 of the best."""
HISTORIES, HISTORY_BARS = (3, 1, 1), 1500
"""Its size."""
DEFAULT_COST = 2e-4


class RiskGame(TeamMarketGame):
    """Each agent moves a level of its own by -2 to 2; together they decide a long portfolio of all instruments.

    `position_sizing` the portfolio's risk, `stop_target` the distance of stops and targets, `risk_monitor` the budget
    of value at risk, `portfolio_optimizer` how far weights go from equal risk (INCREASE_RISK) to least variance.
    Observation, the same for all, `[10]`: `METRIC_NAMES`. Action: 0 REDUCE_RISK, 1 SLIGHT_REDUCE, 2 MAINTAIN,
    3 SLIGHT_INCREASE, 4 INCREASE_RISK. In an emergency (a shock of volatility or correlation, or a value at risk above
    `var_threshold`) nothing is raised and exposure is halved (`emergency_protocols`). Reward, the same for all, in
    u0: profit less half its square over the Kelly fraction (the step of a utility whose optimum is the portfolio of
    the highest Sharpe ratio at fractional Kelly), a bonus for bars that begin within the value at risk, one for
    reducing risk in an emergency of the market's making, less the growth of the drawdown. State: metrics, exposures,
    weights, stops that last, crisis, share of the episode left.
    """

    name = "risk_v1"
    agents = DESK
    parts = ("utility", "var_compliance", "drawdown", "emergency")

    def __init__(self, ground: Ground, settings: RiskManagementSpec, steps: int) -> None:
        super().__init__(*ground)
        self.settings, self.steps = settings, steps
        self.view = RiskView(self.dataset, settings)

    def memory(self, rows: int) -> dict[str, Array]:
        """Return levels in the middle, equal weights, no positions and a fresh track."""
        return fresh_track(rows) | {
            "levels": np.full((rows, len(DESK)), MIDDLE),
            "moves": np.zeros((rows, len(DESK)), dtype=np.int64),
            "weights": np.tile(self.view.equal, (rows, 1)),
            "entry": np.zeros((rows, self.slots)),
            "entry_range": np.zeros((rows, self.slots)),
            "cooldown": np.zeros((rows, self.slots), dtype=np.int64),
            PARTS: np.zeros((rows, len(self.parts))),
        }

    def layout(self, agent: str) -> ObservationLayout:
        """Return the ten metrics."""
        return ObservationLayout(tuple((name, 1) for name in METRIC_NAMES))

    def actions(self, agent: str) -> Choice:
        """Return the five moves."""
        return Choice(RISK_ACTIONS)

    def observe(self, agent: str, table: Table) -> Array:
        """Return `[N, 10]` the metrics, the same for every agent."""
        memory, state = table.memory, table.sim.state
        levels = memory["levels"] / MIDDLE - 1.0
        equity = state.equity / self.spec.environment.initial_capital
        use = self.view.value_at_risk(table.sim.exposure(), state.t) / self.settings.agents.risk_monitor.var_threshold
        metrics = [
            levels[:, 0],
            use,
            np.log(self.view.volatility[state.t]),
            self.view.mean_correlation[state.t],
            self.view.correlation_shock[state.t],
            10.0 * (1.0 - equity / np.maximum(memory["peak"], equity)),
            self.view.kelly[state.t],
            levels[:, 1],
            levels[:, 2],
            levels[:, 3],
        ]
        seen: Array = np.clip(np.stack(metrics, axis=1), -10.0, 10.0).astype(np.float32)
        return seen

    def alarm(self, table: Table) -> Bool:
        """Return `[N]` whether an emergency is on: of the market, or of the value at risk of what is held."""
        t = table.sim.state.t
        held = self.view.value_at_risk(table.sim.exposure(), t)
        out: Bool = self.view.crisis[t] | (held > self.settings.agents.risk_monitor.var_threshold)
        return out

    def decode(self, table: Table) -> Float:
        """Return the exposures `[N, K]` that levels, weights, budget and stops leave."""
        memory, agents = table.memory, self.settings.agents
        t = table.sim.state.t
        moves = np.zeros(memory["levels"].shape, dtype=np.int64)
        for column, agent in enumerate(DESK):
            if agent in table.said:
                moves[:, column] = np.array(MOVES)[index_of(table.said[agent])]
        alarm = self.alarm(table) & agents.risk_monitor.emergency_protocols
        moves = np.where(alarm[:, None], np.minimum(moves, 0), moves)
        levels = np.clip(memory["levels"] + moves, 0, LEVELS - 1)
        memory["moves"], memory["levels"] = moves, levels
        memory["weights"] = self._weights(memory["weights"], levels[:, 3], t)
        size = np.array(agents.position_sizing.levels)[levels[:, 0]] * np.where(alarm, EMERGENCY_SCALE, 1.0)
        wanted = self.view.exposures(memory["weights"], size)
        budget = BUDGETS[levels[:, 2]] * agents.risk_monitor.var_threshold
        at_risk = self.view.value_at_risk(wanted, t)
        wanted = wanted * (budget / np.maximum(at_risk, budget))[:, None]
        return self._stopped(wanted, levels[:, 1], table)

    def _weights(self, before: Float, level: Int, t: Int) -> Float:
        """Return `[N, K]` new weights where they would drift far enough to be worth a trade."""
        share = SPREAD[level][:, None]
        wanted = share * self.view.least_variance[t] + (1.0 - share) * self.view.equal
        drift = 0.5 * np.abs(wanted - before).sum(axis=1)
        keep = drift <= self.settings.agents.portfolio_optimizer.rebalance_threshold
        return np.where(keep[:, None], before, wanted)

    def _stopped(self, wanted: Float, level: Int, table: Table) -> Float:
        """Return `wanted` without the instruments whose stop or target was hit, and remember entries."""
        memory, rules = table.memory, self.settings.agents.stop_target
        t = table.sim.state.t
        held = table.sim.exposure()
        close, now = self.dataset.market.close[t], self.view.true_range[t]
        distance = now if rules.dynamic_adjustment else memory["entry_range"]
        stop = (rules.atr_multiplier * STOPS[level])[:, None]
        gain = np.sign(held) * (close - memory["entry"])
        open_ = (held != 0.0) & (distance > 0.0) & np.isfinite(stop)
        reach = np.where(np.isfinite(stop), stop, 0.0) * distance
        hit = open_ & ((gain <= -reach) | (gain >= rules.profit_target_ratio * reach))
        cooldown = np.where(hit, rules.cooldown_bars + 1, memory["cooldown"])
        allowed = np.where(cooldown > 0, 0.0, wanted)
        memory["cooldown"] = np.maximum(cooldown - 1, 0)
        opened = (held == 0.0) & (allowed != 0.0)
        memory["entry"] = np.where(opened, close, memory["entry"])
        memory["entry_range"] = np.where(opened, now, memory["entry_range"])
        return allowed

    def reward(self, table: Table, result: StepResult) -> dict[str, Float]:
        """Return the desk's reward for every agent."""
        memory, weights, agents = table.memory, self.settings.rewards, self.settings.agents
        outcome = outcome_of(result, quadratic(result.exposure, self.dataset.correlation, np), self.unit_risk)
        half = 0.5 * self.unit_risk / agents.position_sizing.kelly_fraction
        utility = outcome.gross - outcome.cost - half * outcome.gross**2
        within = self.view.value_at_risk(result.exposure, result.t) <= agents.risk_monitor.var_threshold
        grown = drawdown_growth(memory, result.equity / self.spec.environment.initial_capital, self.unit_risk)
        parts = [
            weights.utility * utility,
            weights.var_bonus * within,
            -weights.drawdown_penalty * grown,
            weights.emergency_bonus * (self.view.crisis[result.t] & self._answered(memory)),
        ]
        memory[PARTS] = self.settings.environment.reward_scaling * np.stack(parts, axis=1)
        total = memory[PARTS].sum(axis=1)
        return {agent: total.copy() for agent in DESK}

    @staticmethod
    def _answered(memory: dict[str, Array]) -> Bool:
        """Return `[N]` whether the desk reduced risk, or had none left to reduce."""
        out: Bool = (memory["moves"].sum(axis=1) < 0) | (memory["levels"][:, 0] == 0)
        return out

    def state(self, table: Table) -> Array:
        """Return `[N, 10 + 3 K + 2]`."""
        memory, state = table.memory, table.sim.state
        blocks = [
            self.observe(DESK[0], table),
            table.sim.exposure(),
            memory["weights"],
            memory["cooldown"] > 0,
            self.view.crisis[state.t][:, None],
            ((state.end - state.t) / self.steps)[:, None],
        ]
        return np.concatenate(blocks, axis=1, dtype=np.float32)


def histories_of(world: RiskEnvironmentSpec) -> tuple[int, int, int]:
    """Return how many histories of train, validation and test the default market has."""
    return (world.train_histories or HISTORIES[0], *HISTORIES[1:])


def risk_ground(
    bars: Bars, settings_: RiskManagementSpec, steps: int, seed: int, sizing: SizingParams = SIZING
) -> Ground:
    """Return dataset and settings; without bars of your own, volatility regimes with a drift, crashes included."""
    world = settings_.environment
    crashes = Crashes(world.black_swan_rate, world.black_swan_size, world.black_swan_bars)
    alter: Callable[[Market], Market] = partial(crashes.planted, streams=Streams(seed))
    sizing_agent, optimizer = settings_.agents.position_sizing, settings_.agents.portfolio_optimizer
    limits = LimitsSpec(
        max_position_size=sizing_agent.max_position,
        position_base=sizing_agent.position_base,
        max_correlation_exposure=optimizer.correlation_limit,
        # the monitor's budget and the agents' stops take the place of the simulator's
        max_portfolio_var=1.0,
        stop_loss="off",
        max_sector_allocation=1.0,
    )
    if bars is not None:
        return ground_of(bars, world, steps, seed=seed, limits=limits, alter=alter if world.black_swan_rate else None)
    made = sizing_bars(sizing, Streams(seed), DEFAULT_SYMBOLS, histories_of(world), HISTORY_BARS)
    account = world
    if world.costs == "auto":
        account = world.model_copy(update={"costs": "flat", "transaction_cost": DEFAULT_COST})
    spec = settings(DEFAULT_SYMBOLS, account, steps, limits)
    return Ground(build_dataset(alter(made.market), made.splits, FEATURES, planted=True), spec)


class _Methods(GameView):
    """What the documents ask of the risk environment."""

    def engines(self, spec: GamesSpec, bars: Bars, split: str, seed: int, max_cycles: int | None) -> MakeEngine:
        """Return what makes engines of the configured game."""
        chosen = spec.risk_management
        steps = max_cycles or chosen.environment.max_episode_steps
        return engines_of(RiskGame(risk_ground(bars, chosen, steps, seed), chosen, steps), split)

    @property
    def _game(self) -> RiskGame:
        game: RiskGame = self.row.engine.game  # type: ignore[assignment]
        return game

    def get_var_metrics(self) -> dict[str, float]:
        """Return value at risk and expected shortfall of a day of what is held, as shares of equity, and limits."""
        game, table = self._game, self._table
        t = table.sim.state.t
        deviation = float(game.view.deviation(table.sim.exposure(), t)[0])
        confidence = game.settings.environment.var_confidence
        quantile = float(norm.ppf(confidence))
        threshold = game.settings.agents.risk_monitor.var_threshold
        value = quantile * deviation
        return {
            "value_at_risk": value,
            "confidence": confidence,
            "expected_shortfall": deviation * float(norm.pdf(quantile)) / (1.0 - confidence),
            "threshold": threshold,
            "budget": float(BUDGETS[table.memory["levels"][0, 2]]) * threshold,
            "use": value / threshold,
        }

    def get_correlation_matrix(self) -> Float:
        """Return `[K, K]` the correlation of the last bars."""
        return self._game.view.matrix(int(self._table.sim.state.t[0]))

    def get_risk_alerts(self) -> list[dict[str, Any]]:
        """Return what is beyond its threshold now: kind, value, threshold, message."""
        view, chosen = self._game.view, self._game.settings
        t = int(self._table.sim.state.t[0])
        monitor = chosen.agents.risk_monitor
        measured = (
            ("value_at_risk", self.get_var_metrics()["value_at_risk"], monitor.var_threshold, "value at risk of a day"),
            (
                "correlation",
                float(view.mean_correlation[t]),
                chosen.environment.correlation_threshold,
                "mean correlation",
            ),
            (
                "correlation_shock",
                float(view.correlation_shock[t]),
                monitor.correlation_shock_threshold,
                "rise of the mean correlation",
            ),
            (
                "volatility_shock",
                float(view.volatility_ratio[t]),
                monitor.volatility_shock,
                "volatility over the usual",
            ),
        )
        return [
            {
                "kind": kind,
                "value": value,
                "threshold": limit,
                "emergency": kind != "correlation",
                "message": f"{what} is {value:.3f}, above {limit:.3f}",
            }
            for kind, value, limit, what in measured
            if value >= limit
        ]


class RiskManagementEnv(_Methods, DocumentedAEC):
    """The risk game agent by agent; see `RiskGame` for spaces, rewards and state."""


class RiskManagementParallelEnv(_Methods, DocumentedParallel):
    """The risk game with all agents choosing at once."""


def create_risk_environment(config: Config = None, **options: Any) -> RiskManagementEnv:
    """Return a `RiskManagementEnv`; `options` are those of `GameView`."""
    return RiskManagementEnv(config, **options)


def env(config: Config = None, **options: Any) -> OrderEnforcingWrapper:
    """Return the AEC environment as PettingZoo's users expect it."""
    return OrderEnforcingWrapper(RiskManagementEnv(config, **options))


def parallel_env(config: Config = None, **options: Any) -> RiskManagementParallelEnv:
    """Return the Parallel environment."""
    return RiskManagementParallelEnv(config, **options)
