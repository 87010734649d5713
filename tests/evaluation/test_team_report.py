"""What is said of a team's rewards."""

import numpy as np
import pytest

from mtquant.evaluation.team_history import RewardHistory, coordination, history_of, progress_of
from mtquant.evaluation.team_report import write_team_report
from mtquant.store.journal import JournalLine


def lines(count: int = 40) -> list[JournalLine]:
    found = []
    for i in range(count):
        metrics = {"policy_loss": 0.1}
        if i % 4:
            metrics |= {"reward": 3.0 * i, "a/reward": float(i), "b/reward": 2.0 * i}
        found.append(JournalLine(100 * (i + 1), 0.0, metrics))
    return found


def test_a_history_has_the_rollouts_in_which_episodes_ended():
    history = history_of(lines(), ["a", "b"])
    assert history.rewards.shape == (30, 2)
    np.testing.assert_array_equal(history.total, history.rewards.sum(axis=1))
    assert history.steps[0] == 200
    assert history_of([], ["a", "b"]).rewards.shape == (0, 2)


def test_progress_of_a_straight_line():
    steps = np.arange(1, 101) * 1000
    found = progress_of(steps, steps / 1e4)
    assert found.first == pytest.approx(0.55)
    assert found.last == pytest.approx(9.55)
    assert found.best == 10.0
    assert found.trend == pytest.approx(100.0)
    assert found.trend_error == pytest.approx(0.0, abs=1e-9)


def test_noise_has_no_trend_beyond_its_error():
    rng = np.random.Generator(np.random.PCG64(0))
    beyond = 0
    for _ in range(200):
        found = progress_of(np.arange(200) * 1000, rng.standard_normal(200))
        beyond += abs(found.trend) > 2.0 * found.trend_error
    assert beyond < 30


def test_nothing_is_made_up_from_too_little():
    assert all(np.isnan(value) for value in vars(progress_of(np.zeros(0, np.int64), np.zeros(0))).values())
    assert np.isnan(progress_of(np.array([1]), np.array([1.0])).trend)
    assert np.isnan(coordination(np.ones((2, 3)))).all()


def test_coordination_is_about_changes():
    rng = np.random.Generator(np.random.PCG64(0))
    rise = np.linspace(0.0, 50.0, 500)[:, None]
    one, two = rng.standard_normal((2, 500))
    found = coordination(rise + np.stack([one, one, two, -one], axis=1))
    assert found[0, 1] == pytest.approx(1.0)
    assert found[0, 3] == pytest.approx(-1.0, abs=1e-2)
    assert abs(found[0, 2]) < 0.2
    constant = coordination(np.stack([one, np.zeros(500)], axis=1))
    assert np.isnan(constant[1]).all() and constant[0, 0] == pytest.approx(1.0)


def test_the_report_can_be_read(tmp_path):
    history = history_of(lines(), ["a", "b"])
    write_team_report(tmp_path, "A team", history, {"steps": 4000, "reward": 1.5})
    text = (tmp_path / "rewards.md").read_text()
    assert text.startswith("# A team\n\n- steps: 4000\n- reward: 1.5\n")
    assert "| all agents | " in text and "| b | " in text
    assert (tmp_path / "rewards.png").read_bytes().startswith(b"\x89PNG")
    write_team_report(tmp_path, "Nothing", RewardHistory(("a",), np.zeros(0, np.int64), np.zeros((0, 1))), {})
    assert "nan" in (tmp_path / "rewards.md").read_text()
