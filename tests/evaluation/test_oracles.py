"""Reference policies: the published values, causality, and the score they are measured with."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from mtquant.context import Streams
from mtquant.errors import ConfigError
from mtquant.evaluation.oracles.books import Moments, book_moments, follow
from mtquant.evaluation.oracles.budgets import allocation_optimum, best_budgets, constant_budgets, decided_budgets
from mtquant.evaluation.oracles.noise_free import NoiseFreeScore, score_book, share
from mtquant.evaluation.oracles.policies import (
    PartialAdjustment,
    build_oracle,
    constant_reference,
    delayed,
    fit_moments,
    offered,
    phase1,
    phase2_reference,
)
from mtquant.synthetic import Planted, build_planted, evaluation_paths
from mtquant.synthetic.closed_form import factor_value, joint_factor_value
from mtquant.synthetic.embedded import EmbeddedParams, generate_paths
from mtquant.synthetic.jump_linear import joint, policy_value, stand_alone, stationary_moments
from mtquant.synthetic.observed import by_history
from mtquant.types import Float

WARMUP = 150
ON = EmbeddedParams()
BOUND = policy_value(ON, joint(ON)).utility
"""Exact value of full information; the control variate of every simulated value."""


def score(policy: PartialAdjustment, planted: Planted) -> NoiseFreeScore:
    return score_book(follow(policy, planted.market, WARMUP), planted.market, planted.truth, WARMUP)


@pytest.fixture(scope="module")
def fitted() -> Planted:
    return generate_paths(ON, Streams(20), 16, 2600)


@pytest.fixture(scope="module")
def paths() -> Planted:
    return generate_paths(ON, Streams(21), 40, 1150)


@pytest.fixture(scope="module")
def scores(paths: Planted, fitted: Planted) -> dict[str, NoiseFreeScore]:
    return {name: score(build_oracle(name, paths, fitted), paths) for name in offered(paths)}


TABLE = {
    "phase1": (0.0302, 1.77),
    "equal": (0.0529, 1.85),
    "static": (0.0562, 1.91),
    "phase2": (0.0738, 2.18),
    "joint-groups": (0.1039, 2.59),
    "joint-blind": (0.0844, 2.35),
    "joint": (0.1130, 2.71),
    "full-information": (0.1265, 2.87),
}


@pytest.mark.parametrize("name", TABLE)
def test_reference_policies_earn_the_published_values(scores, name):
    utility, sharpe = TABLE[name]
    assert share(scores[name], scores["full-information"]).value * BOUND == pytest.approx(utility, rel=0.05)
    assert scores[name].sharpe == pytest.approx(sharpe, abs=0.12)


def test_every_phase_has_something_to_win(scores):
    assert share(scores["phase2"], scores["equal"]).value == pytest.approx(1.40, abs=0.06)
    assert share(scores["joint"], scores["phase2"]).value == pytest.approx(1.53, abs=0.06)
    assert scores["markowitz"].utility < -1.0
    order = ["equal", "static", "phase2", "joint-blind", "joint-groups", "joint", "full-information"]
    values = [scores[name].utility for name in order]
    assert values == sorted(values)


@pytest.mark.slow
def test_reference_policies_earn_the_published_values_tightly():
    streams = Streams(22)
    planted = build_planted("embedded", {"validation_histories": 1, "test_histories": 1}, streams)
    paths = evaluation_paths(planted, streams, 512, 1150)
    scores = {name: score(build_oracle(name, paths, planted), paths) for name in TABLE}
    for name, (utility, sharpe) in TABLE.items():
        found = share(scores[name], scores["full-information"])
        assert found.high - found.low < 0.02
        assert found.value * BOUND == pytest.approx(utility, rel=0.02)
        assert scores[name].sharpe == pytest.approx(sharpe, abs=0.05)
    assert share(scores["phase2"], scores["equal"]).value == pytest.approx(1.40, abs=0.025)
    assert share(scores["joint"], scores["phase2"]).value == pytest.approx(1.53, abs=0.02)


NULLS = {
    "flat": ({"regimes": False, "correlation_scale": 0.0}, (0.0868, 0.0868, 0.0868)),
    "no regimes": ({"regimes": False}, (0.0519, 0.0552, 0.0816)),
    "independent": ({"correlation_scale": 0.0}, (0.0879, 0.1113, 0.1154)),
    "poor macro": ({"macro_mean": 0.3}, (0.0531, 0.0662, 0.1006)),
    "good macro": ({"macro_mean": 1.2}, (0.0531, 0.0792, 0.1217)),
    "fast regimes": ({"stay": 0.97}, (0.0502, 0.0647, 0.0998)),
}


@pytest.mark.parametrize("name", ["flat", "no regimes"])
def test_without_regimes_budgets_have_nothing_to_time(name):
    overrides, table = NULLS[name]
    params = EmbeddedParams(**overrides)
    paths, fitted = generate_paths(params, Streams(23), 16, 900), generate_paths(params, Streams(24), 8, 2600)
    found = {n: score(build_oracle(n, paths, fitted), paths) for n in ("equal", "static", "phase2", "joint")}
    assert share(found["phase2"], found["static"]).value == pytest.approx(1.0, abs=0.01)
    if name == "flat":
        assert share(found["joint"], found["equal"]).value == pytest.approx(1.0, abs=0.01)
    for policy, utility in zip(("equal", "phase2", "joint"), table, strict=True):
        assert found[policy].utility == pytest.approx(utility, rel=0.07)


@pytest.mark.slow
@pytest.mark.parametrize("name", NULLS)
def test_variants_earn_the_published_values(name):
    overrides, table = NULLS[name]
    streams = Streams(25)
    planted = build_planted("embedded", {"validation_histories": 1, "test_histories": 1} | overrides, streams)
    paths = evaluation_paths(planted, streams, 256, 1150)
    params = EmbeddedParams(**overrides)
    exact = policy_value(params, joint(params)).utility
    bound = score(build_oracle("full-information", paths), paths)
    for policy, utility in zip(("equal", "phase2", "joint"), table, strict=True):
        found = share(score(build_oracle(policy, paths, planted), paths), bound)
        assert found.value * exact == pytest.approx(utility, rel=0.025)


def test_a_market_without_signal_is_left_alone():
    planted = build_planted("embedded-null", {"train_histories": 1, "history_bars": 400}, Streams(0))
    for name in ("equal", "static", "phase2", "joint", "full-information"):
        assert not follow(build_oracle(name, planted), planted.market, WARMUP).any()


def test_simulated_moments_agree_with_the_exact_ones(fitted):
    moments = fit_moments(fitted, follow(phase1(fitted), fitted.market, WARMUP))
    exact = stationary_moments(ON, stand_alone(ON))
    group = np.eye(3)[list(fitted.truth.group_of)]
    np.testing.assert_allclose(moments.edge / 3, exact.edge @ group, rtol=0.12, atol=0.0006)
    second = np.einsum("kg,skl,lh->sgh", group, exact.second * fitted.truth.correlation, group)
    np.testing.assert_allclose(moments.second / 3, second, rtol=0.12, atol=0.004)
    np.testing.assert_allclose(moments.trades / 3, np.einsum("skk->sk", exact.trades) @ group, rtol=0.05)
    mu, quadratic = exact.edge.sum(axis=0) @ group, ON.objective.g * second.sum(axis=0)
    quadratic += ON.impact * np.diag(np.einsum("skk->k", exact.trades) @ group)
    static = constant_budgets(moments, ON.objective, common=False)
    np.testing.assert_allclose(static, np.linalg.solve(quadratic, mu), rtol=0.12)
    assert constant_budgets(moments, ON.objective, common=True)[0] == pytest.approx(0.61, abs=0.05)


def test_the_test_split_fits_nothing():
    planted = build_planted(
        "embedded", {"train_histories": 2, "validation_histories": 1, "test_histories": 1}, Streams(8)
    )
    book = follow(phase1(planted), planted.market, WARMUP)
    test = planted.splits.test.mask(len(book))
    spoiled = np.where(test[:, None], -book, book)
    left, right = fit_moments(planted, book), fit_moments(planted, spoiled)
    assert np.array_equal(left.edge, right.edge)
    assert not np.array_equal(fit_moments(planted, book, split="test").edge, left.edge)
    # Paths have a test split only and are fitted on all of it.
    assert fit_moments(generate_paths(ON, Streams(8), 1, 300), np.ones((300, 8))).weight.sum() == pytest.approx(1.0)


def test_one_bar_of_delay_costs_and_one_bar_of_sight_shows(paths):
    policy = build_oracle("joint", paths)
    prompt, late = score(policy, paths), score(delayed(policy, paths, 1), paths)
    assert share(late, prompt).high < 0.97
    close = by_history(paths.market, paths.market.close)
    eps = np.zeros_like(close)
    eps[:, :-1] = (close[:, 1:] / close[:, :-1] - 1) / paths.truth.volatility
    realised = replace(paths.truth, alpha=eps.reshape(paths.truth.alpha.shape))
    honest, leaking = (
        score_book(follow(build_oracle(name, paths), paths.market, WARMUP), paths.market, realised, WARMUP).utility
        for name in ("joint", "peeking")
    )
    assert honest == pytest.approx(prompt.utility, abs=0.04)
    assert leaking > 3 * BOUND


@pytest.mark.parametrize("name", ["equal", "phase2", "joint"])
def test_aims_do_not_look_ahead(name, fitted):
    whole = generate_paths(ON, Streams(30), 2, 500)
    head = generate_paths(ON, Streams(30), 2, 400)  # the same histories, cut
    long_, short = (build_oracle(name, planted, fitted) for planted in (whole, head))
    np.testing.assert_array_equal(by_history(whole.market, long_.aims)[:, :400], by_history(head.market, short.aims))


def test_policies_read_prices_and_macro_columns_only(paths, fitted):
    blind = replace(
        paths,
        truth=replace(
            paths.truth,
            alpha=np.zeros_like(paths.truth.alpha),
            regime=np.zeros_like(paths.truth.regime),
            posterior=np.full_like(paths.truth.posterior, 1 / 3),
        ),
    )
    for name in ("phase1", "equal", "static", "phase2", "joint", "joint-groups", "joint-blind"):
        left, right = build_oracle(name, paths, fitted), build_oracle(name, blind, fitted)
        assert np.array_equal(left.aims, right.aims)


def test_a_row_does_not_depend_on_the_others(paths):
    policy = build_oracle("joint", paths)
    rng = np.random.Generator(np.random.PCG64(0))
    observation = np.concatenate([rng.integers(0, 1150, (50, 1)).astype(float), rng.standard_normal((50, 8))], axis=1)
    together = policy(observation)
    for row in (0, 17, 49):
        assert np.array_equal(policy(observation[row : row + 1])[0], together[row])


def test_factor_markets_reach_their_closed_form():
    planted = build_planted(
        "gp-joint",
        {"train_histories": 0, "validation_histories": 0, "test_histories": 60},
        Streams(1),
        ("EURUSD", "XAUUSD", "SPX500"),
    )
    params = planted.truth.params
    arguments = (params.loadings, params.phi, planted.objective.g, planted.objective.impact)
    alone, together = (score(build_oracle(name, planted), planted) for name in ("phase1", "joint"))
    assert alone.utility == pytest.approx(3 * factor_value(*arguments).utility, rel=0.04)
    exact = joint_factor_value(planted.truth.correlation, *arguments).utility / factor_value(*arguments).utility / 3
    assert share(together, alone).value == pytest.approx(exact, abs=0.02)
    # Constant law: the best budgets are one, so phase 2 is the sum of stand-alone desks.
    assert share(score(build_oracle("phase2", planted), planted), alone).value == pytest.approx(1.0, abs=0.01)


def test_allocation_optimum_is_the_best_of_a_grid():
    rng = np.random.Generator(np.random.PCG64(1))
    roots = rng.standard_normal((40, 3, 3))
    quadratic = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(3)
    linear = rng.standard_normal((40, 3))
    found = allocation_optimum(linear, quadratic)
    assert (found >= 0).all() and (found == 0).any()

    def value(a: Float) -> Float:
        return np.einsum("ni,ni->n", linear, a) - 0.5 * np.einsum("ni,nij,nj->n", a, quadratic, a)

    best = value(found)
    for _ in range(300):
        step = found + 0.05 * rng.standard_normal(found.shape)
        assert (value(np.maximum(step, 0)) <= best + 1e-12).all()
        assert (value(rng.exponential(size=found.shape)) <= best + 1e-12).all()
    assert not allocation_optimum(np.zeros((1, 3)), np.zeros((1, 3, 3))).any()


def test_allocation_under_caps_is_what_a_general_solver_finds():
    rng = np.random.Generator(np.random.PCG64(2))
    roots = rng.standard_normal((30, 3, 3))
    quadratic = roots @ roots.transpose(0, 2, 1) + 0.1 * np.eye(3)
    linear = 2.0 * rng.standard_normal((30, 3)) + 1.0
    found = allocation_optimum(linear, quadratic, cap=1.0, total=1.5)
    assert (found >= 0).all() and (found <= 1.0).all() and (found.sum(axis=1) <= 1.5 + 1e-9).all()
    assert (found == 1.0).any() and np.isclose(found.sum(axis=1), 1.5).any(), "both caps bind somewhere"
    for pull, risk, ours in zip(linear, quadratic, found, strict=True):

        def loss(a: Float, pull: Float = pull, risk: Float = risk) -> float:
            return float(0.5 * a @ risk @ a - pull @ a)

        within = {"type": "ineq", "fun": lambda a: 1.5 - a.sum()}
        other = minimize(loss, np.full(3, 0.4), method="SLSQP", bounds=[(0.0, 1.0)] * 3, constraints=[within])
        assert loss(ours) <= other.fun + 1e-9
        assert loss(ours) == pytest.approx(other.fun, abs=1e-5)


def test_budgets_are_decided_every_k_bars_and_smoothed():
    market = generate_paths(ON, Streams(2), 2, 12).market
    wanted = np.arange(24.0)[:, None]
    budgets = decided_budgets(market, wanted, warmup=2, decision_bars=5, smoothing=0.5)[:, 0]
    assert budgets[:12].tolist() == [0, 0, 2, 2, 2, 2, 2, 4.5, 4.5, 4.5, 4.5, 4.5]
    assert budgets[12:].tolist() == [0, 0, 14, 14, 14, 14, 14, 16.5, 16.5, 16.5, 16.5, 16.5]


def test_books_of_any_specialists_can_be_allocated(paths, fitted):
    # Specialists at half size: the references rescale them, so allocation loses nothing.
    books, half = (follow(phase1(paths, scale), paths.market, WARMUP) for scale in (1.0, 0.5))
    moments = fit_moments(fitted, follow(phase1(fitted), fitted.market, WARMUP))
    halved = fit_moments(fitted, follow(phase1(fitted, 0.5), fitted.market, WARMUP))
    for reference in (phase2_reference, constant_reference):
        full, scaled = reference(paths, books, moments), reference(paths, half, halved)
        np.testing.assert_allclose(full.aims, scaled.aims, atol=1e-9)
    split = book_moments(paths.truth, paths.market, books, np.arange(len(books)) < 1150, WARMUP)
    assert split.weight.sum() == pytest.approx(1.0)


def test_budgets_weigh_regimes_by_what_the_next_bars_will_be():
    moments = Moments(np.array([[2.0], [0.0]]), np.ones((2, 1, 1)), np.zeros((2, 1)), np.full(2, 0.5), np.zeros((2, 1)))
    objective = replace(ON.objective, risk_aversion=1 / ON.objective.unit_risk)  # g = 1: the budget is E[edge]
    transition = np.array([[0.8, 0.2], [0.4, 0.6]])
    belief = np.array([[1.0, 0.0], [0.5, 0.5]])
    for bars, expected in ((1, [2.0, 1.0]), (2, [1.8, 1.1])):
        np.testing.assert_allclose(best_budgets(moments, objective, belief, transition, bars)[:, 0], expected)


def test_unknown_references_are_explained(paths):
    with pytest.raises(ConfigError, match="Did you mean `phase2`"):
        build_oracle("phase-2", paths)
    with pytest.raises(ConfigError, match="refused"):
        build_oracle("joint", paths, colour="red")
