"""What every test gets: a store of its own, no stray settings from the environment, one thread."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from mtquant.context import STORE_VARIABLE

# Before numpy or torch start their threads: tests run side by side, and a thread each is quickest.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
for variable in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
    os.environ.setdefault(variable, "true")

# A shell that starts tests in the background ignores Ctrl-C for them, and the processes they start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow moment of a busy machine is no failure, and a failure is the same in every run.
settings.register_profile("mtquant", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("mtquant")


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test away from the store of the working folder."""
    monkeypatch.setenv(STORE_VARIABLE, str(tmp_path / "store"))
    return tmp_path / "store"
