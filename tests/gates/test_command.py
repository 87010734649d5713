"""`python -m mtquant.gates`: exit codes and the file it leaves."""

import json

import pytest

from mtquant.errors import TrainingError
from mtquant.gates import __main__ as command
from tests.gates.test_runner import Run, gate


@pytest.fixture
def one_gate(monkeypatch):
    """Let there be one gate, which needs no training; return what sets its threshold."""

    def with_threshold(threshold, error=None):
        def train(root, training, seed):
            if error:
                raise error
            return Run(training, seed)

        monkeypatch.setattr(command, "finish", train)
        monkeypatch.setattr(command, "small_gates", lambda: (gate(threshold=threshold),))

    return with_threshold


def ended(monkeypatch, path):
    """Return the exit code of the command."""
    monkeypatch.setattr("sys.argv", ["mtquant.gates", "--small", "--out", str(path)])
    with pytest.raises(SystemExit) as stop:
        command.main()
    return stop.value.code


def test_gates_that_are_met_end_well(one_gate, monkeypatch, tmp_path, capsys):
    one_gate(0.9)
    assert ended(monkeypatch, tmp_path / "gates.json") in (None, 0)
    assert json.loads((tmp_path / "gates.json").read_text())[0]["passed"] is True
    assert "a claim" in capsys.readouterr().out


def test_a_gate_that_is_not_met_ends_with_8_and_still_leaves_results(one_gate, monkeypatch, tmp_path, capsys):
    one_gate(0.99)
    assert ended(monkeypatch, tmp_path / "gates.json") == 8
    assert json.loads((tmp_path / "gates.json").read_text())[0]["passed"] is False
    assert "Not met: made" in capsys.readouterr().err


def test_training_that_fails_leaves_no_results(one_gate, monkeypatch, tmp_path, capsys):
    one_gate(0.9, TrainingError("phase1-forex failed"))
    assert ended(monkeypatch, tmp_path / "gates.json") == 7
    assert not (tmp_path / "gates.json").exists()
    assert "phase1-forex failed" in capsys.readouterr().err
