"""Every aggregator: a finite direction that follows agreement; and what single ones promise."""

import pytest
import torch

from mtquant.agents.learning.aggregators import AGGREGATORS, build_aggregator
from mtquant.context import Streams
from mtquant.errors import ConfigError
from tests.contracts.asserts import (
    assert_agreement_passes,
    assert_finite_direction,
    assert_no_row_is_harmed,
    assert_primary_is_kept,
)

CHOICES = [{"name": name} for name in AGGREGATORS] + [{"name": "primary_projection", "beta": 1.0}]
NON_CONFLICTING = ("upgrad", "dualproj", "mgda")
"""Those whose authors promise that no objective gets worse."""


def jacobians() -> list[torch.Tensor]:
    """Random gradients, opposed ones, a zero one, tiny and large ones."""
    rng = Streams(0).rng("jacobians")
    shapes = ((2, 5), (2, 200), (3, 40), (2, 2))
    found = [torch.from_numpy(rng.standard_normal(shape).astype("float32")) for shape in shapes]
    found.append(torch.tensor([[1.0, 0.0], [-0.9, 0.1]]))
    found.append(torch.cat([found[0][:1], -found[0][:1] + 0.1 * found[0][1:]]))
    return found + [scale * found[0] for scale in (1e-4, 1e3)]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
class TestEvery:
    def test_finite(self, choice):
        for jacobian in jacobians():
            assert_finite_direction(build_aggregator(choice), jacobian)

    def test_zero_gradients_give_no_direction_but_no_nan(self, choice):
        for rows in (1, 2):
            assert_finite_direction(build_aggregator(choice), torch.zeros(rows, 7))
        half = jacobians()[0].clone()
        half[1] = 0.0
        assert_finite_direction(build_aggregator(choice), half)
        assert_finite_direction(build_aggregator(choice), half.flip(0))

    def test_agreement_passes(self, choice):
        for rows in (1, 2, 3):
            assert_agreement_passes(build_aggregator(choice), jacobians()[1][0], rows)


@pytest.mark.parametrize("name", NON_CONFLICTING)
def test_no_objective_is_harmed(name):
    for jacobian in jacobians():
        assert_no_row_is_harmed(build_aggregator({"name": name}), jacobian)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1.0, 5.0])
def test_primary_projection_keeps_the_portfolio_s_progress(beta):
    aggregate = build_aggregator({"name": "primary_projection", "beta": beta})
    for jacobian in jacobians():
        assert_primary_is_kept(aggregate, jacobian)
    friendly = torch.tensor([[1.0, 0.0], [0.5, 2.0]])
    torch.testing.assert_close(aggregate(friendly), friendly[0] + beta * friendly[1])
    opposed = torch.tensor([[2.0, 0.0], [-1.0, 3.0]])
    torch.testing.assert_close(aggregate(opposed), torch.tensor([2.0, 3.0 * beta]))


def test_portfolio_only_ignores_the_rest():
    jacobian = jacobians()[2]
    assert torch.equal(build_aggregator({"name": "portfolio_only"})(jacobian), jacobian[0])
    torch.testing.assert_close(build_aggregator({"name": "sum"})(jacobian), jacobian.sum(dim=0))


def test_wrong_choices_are_named():
    with pytest.raises(ConfigError, match=r"Unknown aggregator `up_grad`. Did you mean `upgrad`\?"):
        build_aggregator({"name": "up_grad"})
    with pytest.raises(ConfigError, match="`primary_projection` refused its parameters"):
        build_aggregator({"name": "primary_projection", "gamma": 1.0})
    with pytest.raises(ConfigError, match="`mgda` refused its parameters"):
        build_aggregator({"name": "mgda", "beta": 1.0})
