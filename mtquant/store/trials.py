"""What was tried on which bars: the record that a Sharpe ratio is deflated by.

`<store>/trials/<market>/<split>-<policy>.json`, one file per trained policy and split that was opened, written when it
was measured and never changed. `mtquant gc` leaves it alone: what was tried stays tried after its weights are gone.
Settings, seeds and code that lead to another policy are another trial; the same policy measured again is the same one.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.digests import digest_json
from mtquant.store.files import guarded, make_folder, write_new
from mtquant.store.journal import from_json_number, to_json_number

TRIALS = "trials"


@dataclass(frozen=True)
class Trial:
    """One policy measured out of sample."""

    policy: str
    """Key of the unit that trained it."""
    split: str
    """Split that was opened."""
    sharpe: float
    """Annualised, net; NaN where there is none."""
    passes: list[int]
    """Pass of each day."""
    days: list[int]
    """Days since 1970, UTC."""
    returns: list[float]
    """Net return of each day."""


def market_of(data: Mapping[str, str], *without: str) -> str:
    """Return the digest of the bars in a unit's `data` inputs, whatever they were split into."""
    return digest_json({name: digest for name, digest in data.items() if name not in without})


def record_trial(root: Path, market: str, trial: Trial) -> None:
    """Write `trial` unless it is there already. Raises `StoreError` where the store cannot be written."""
    folder = root / TRIALS / market[:16]
    make_folder(folder)
    content = asdict(trial) | {"sharpe": to_json_number(trial.sharpe)}
    text = json.dumps(content | {"sha256": digest_json(content)}, sort_keys=True)
    write_new(folder / f"{trial.split}-{trial.policy[:16]}.json", text.encode())


def read_trials(root: Path, market: str, split: str) -> list[Trial]:
    """Return every trial on `market` that opened `split`, by policy. Raises `StoreError` where one is damaged."""
    folder = root / TRIALS / market[:16]
    return [_read(path) for path in sorted(folder.glob(f"{split}-*.json"))]


def _read(path: Path) -> Trial:
    try:
        with guarded(path, "read"):
            found: dict[str, Any] = json.loads(path.read_bytes())
        if found.pop("sha256") != digest_json(found):
            raise ValueError("its content changed")
        return Trial(**(found | {"sharpe": from_json_number(found["sharpe"])}))
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged: {error}. Restore it, or delete it and count one trial in "
            "`evaluation.earlier_trials` instead."
        ) from error
