"""What phase 3 can do beside its defaults: each option does what it says, and can be continued exactly."""

import numpy as np
import pytest
import torch

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.learning.aggregators import build_aggregator
from mtquant.agents.learning.gradient_coordination import GradientCoordinationSystem, noise_corrected_cosine
from mtquant.agents.training.model_checkpointing import ModelCheckpointingSystem
from mtquant.envs.games.joint import META
from mtquant.errors import Preempted
from tests.agents.made import Stop, handle_of, journal_of
from tests.agents.test_training import phase3_trainer

TWO_OBJECTIVES = {"name": "primary_projection", "beta": 0.1}
OPTIONS = {
    "difference rewards": {"credit": "difference"},
    "shared reward": {"credit": "shared", "noise_baseline": False},
    "own books too": {"aggregator": TWO_OBJECTIVES},
    "sequential": {"sequential": True},
    "anchor": {"kl_anchor": 0.5},
    "tail": {"tail": {"enabled": True, "level": 0.001, "budget": 0.0}},
    "instruments as peers": {"peer_aggregator": {"name": "upgrad"}},
    "concatenated rollouts": {"specialist_update_freq": 2},
    "adaptive": {"adaptive_learning_rates": True},
    "everything": {
        "sequential": True,
        "kl_anchor": 0.5,
        "tail": {"enabled": True, "level": 0.001, "budget": 0.0},
        "peer_aggregator": {"name": "mean"},
        "adaptive_learning_rates": True,
    },
}


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_continues_exactly(tmp_path, option):
    whole = phase3_trainer(tmp_path / "whole", **OPTIONS[option])
    whole.train()
    cut = phase3_trainer(tmp_path / "cut", **OPTIONS[option])
    cut.unit = handle_of(tmp_path / "cut", "phase3-joint", stop=Stop(2))
    cut.checkpointing = ModelCheckpointingSystem(cut.unit)
    with pytest.raises(Preempted):
        cut.train()
    again = phase3_trainer(tmp_path / "cut", **OPTIONS[option])
    again.train()
    assert again.unit.head == whole.unit.head
    assert journal_of(again.unit) == journal_of(whole.unit)


@pytest.mark.parametrize(
    "option", ["sequential", "anchor", "tail", "instruments as peers", "difference rewards", "own books too"]
)
def test_every_option_changes_what_is_learned(tmp_path, option):
    plain, other = phase3_trainer(tmp_path / "plain"), phase3_trainer(tmp_path / "other", **OPTIONS[option])
    plain.train()
    other.train()
    assert plain.unit.head != other.unit.head


def test_the_meta_controller_learns_from_the_reward_it_is_paid(tmp_path):
    """What the ledger's derivative stands for is the plain utility, and the settings may ask for something else."""
    digests = {}
    for name, reward in {
        "utility": {},
        "bonus": {"diversification_bonus_weight": 5.0},
        "larger bonus": {"diversification_bonus_weight": 50.0},
        "sharpe": {"name": "differential_sharpe"},
    }.items():
        trainer = phase3_trainer(tmp_path / name, reward=reward)
        trainer.train()
        digests[name] = PolicyBundle.load(trainer.unit.outputs / META).digest
        assert trainer.bundles[META].policy.log_std.requires_grad is (name != "utility")
        assert not trainer.bundles["forex"].policy.log_std.requires_grad
    assert len(set(digests.values())) == len(digests)


def test_each_update_is_diagnosed(tmp_path):
    trainer = phase3_trainer(tmp_path, kl_anchor=0.1, tail={"enabled": True}, aggregator=TWO_OBJECTIVES)
    trainer.train()
    last = journal_of(trainer.unit)[-1][1]
    for name in ("cosine", "conflict", "corrected_cosine", "norm_ratio", "removed", "portfolio_progress"):
        assert f"forex/{name}" in last
    for name in ("own_progress", "approx_kl", "clip_fraction", "explained_variance", "anchor_kl", "gradient_norm"):
        assert f"forex/{name}" in last
    assert {"large_loss_rate", "tail_multiplier"} <= set(last)
    assert last["forex/anchor_kl"] > 0.0
    assert f"{META}/own_progress" not in last, "the meta-controller has one objective"


def test_the_mean_of_the_instruments_gradients_is_the_default(tmp_path):
    """Equal to rounding: the same samples, added in another order."""
    default, mean = (
        phase3_trainer(
            tmp_path / name, specialist_learning_rate=1e-5, peer_aggregator=aggregator, aggregator=TWO_OBJECTIVES
        )
        for name, aggregator in (("default", None), ("mean", {"name": "mean"}))
    )
    default.train()
    mean.train()
    one, two = (dict(journal_of(trainer.unit))[240] for trainer in (default, mean))
    for name in ("utility_per_bar", "forex/gradient_norm", "forex/cosine"):
        assert one[name] == pytest.approx(two[name], rel=1e-3), name


def test_a_strong_anchor_holds_the_policies(tmp_path):
    free = phase3_trainer(tmp_path / "free", kl_anchor=1e-9)
    held = phase3_trainer(tmp_path / "held", kl_anchor=100.0)
    free.train()
    held.train()
    assert dict(journal_of(held.unit))[180]["forex/anchor_kl"] < dict(journal_of(free.unit))[180]["forex/anchor_kl"]


def test_peers_are_aggregated_before_objectives():
    parameter = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
    rows = torch.tensor([[3.0, 0.0], [-1.0, 2.0]])
    losses = [torch.stack([row @ parameter for row in rows])]
    for name, expected in (("mean", rows.mean(dim=0)), ("upgrad", build_aggregator({"name": "upgrad"})(rows))):
        system = GradientCoordinationSystem(
            build_aggregator({"name": "portfolio_only"}), peers=build_aggregator({"name": name})
        )
        system.coordinate_updates(losses, [parameter])
        torch.testing.assert_close(parameter.grad, expected)
        losses = [torch.stack([row @ parameter for row in rows])]


def noisy(true: torch.Tensor, shared: float, own: float, generator: torch.Generator) -> torch.Tensor:
    """Return gradients with noise that both rows share and noise of their own."""
    size = true.shape[1]
    common = shared * torch.randn(size, generator=generator)
    return true + common + own * torch.randn(true.shape, generator=generator)


@pytest.mark.parametrize("truth", [-0.8, 0.0, 0.8])
def test_the_corrected_cosine_is_that_of_the_expectations(truth):
    """The raw cosine says `aligned` where noise is shared; the corrected one finds what the expectations are."""
    generator = torch.Generator().manual_seed(0)
    size = 4000
    base = torch.nn.functional.normalize(torch.randn(2, size, generator=generator), dim=1)
    base[1] = truth * base[0] + np.sqrt(1 - truth**2) * base[1]
    true = base * size**0.5
    raw, corrected = [], []
    for _ in range(20):
        halves = [noisy(true, 1.0, 0.5, generator) for _ in range(2)]
        raw.append(float(torch.nn.functional.cosine_similarity(*halves[0], dim=0)))
        corrected.append(noise_corrected_cosine(*halves))
    assert np.mean(corrected) == pytest.approx(truth, abs=0.05)
    if truth < 0.5:
        assert np.mean(raw) > truth + 0.2


def test_no_answer_is_made_of_noise():
    generator = torch.Generator().manual_seed(1)
    one, two = torch.randn(2, 500, generator=generator), torch.randn(2, 500, generator=generator)
    assert np.isnan(noise_corrected_cosine(one, torch.stack([-one[0], two[1]])))
    assert np.isnan(noise_corrected_cosine(one[:1], one[:1]))
    assert np.isnan(noise_corrected_cosine(one, torch.zeros_like(one)))
