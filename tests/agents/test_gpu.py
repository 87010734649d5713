"""Help with a GPU does nothing without one."""

import pytest
import torch
from torch import nn

from mtquant.agents.learning.gpu import clear_cache, mixed_precision, monitor_memory, optimize_batch_size
from tests.agents.teams import learners, rollout, rows_of, settings
from tests.envs.teams import Duel


def test_a_batch_on_the_cpu_is_as_large_as_asked_for():
    network = nn.Linear(3, 2)
    assert optimize_batch_size(network, (3,), largest=4096) == 4096
    assert network.weight.grad is None, "nothing was tried"


def test_memory_of_the_cpu_is_that_of_the_process():
    report = monitor_memory("cpu")
    assert report.process > 1_000_000
    assert (report.total, report.free, report.allocated, report.reserved, report.peak) == (None,) * 5
    clear_cache("cpu")


def test_mixed_precision_changes_nothing_on_the_cpu():
    weight = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    with mixed_precision("cpu", wanted=True):
        assert not torch.is_autocast_enabled("cpu")
        assert (weight @ weight).dtype == torch.float32
    weights = []
    for wanted in (False, True):
        config = settings(mixed_precision=wanted)
        _, samples = rollout(Duel, config)
        (learner,) = learners(rows_of(Duel, config), config).values()
        learner.learn(samples[learner.group.name], 1.0)
        weights.append(learner.policy.action_net.weight.detach().clone())
    assert torch.equal(*weights)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_measured_and_used():
    network = nn.Linear(1000, 1000).cuda()
    found = optimize_batch_size(network, (1000,), largest=1 << 12, device="cuda")
    assert 64 <= found <= 1 << 12
    report = monitor_memory("cuda")
    assert report.allocated is not None and report.total is not None
    assert 0 < report.allocated <= report.total
    with mixed_precision("cuda", wanted=True):
        said = network(torch.zeros(2, 1000, device="cuda"))
    assert said.dtype == (torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32)
