"""Write a planted market as the CSV files a person would bring, and its truth as one file beside them.

Layout: `<split>/<history>/<instrument>.csv` (timestamp,open,high,low,close,volume), `<split>/<history>/macro.csv`,
`market.json` (`timeframe`, `bars_per_year`: the planted year has 260 bars, which a calendar would not say) and
`truth.npz`, which only the noise-free score reads. Floats are written so that reading gives the same bits.
"""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from mtquant.data.splits import NAMES
from mtquant.errors import ConfigError, DataError
from mtquant.synthetic.planted import Objective, Planted, Truth
from mtquant.synthetic.registry import LAWS

TRUTH = "truth.npz"
CLOCK = "market.json"
COLUMNS = ("open", "high", "low", "close", "volume")
_ARRAYS = ("alpha", "regime", "posterior", "correlation", "volatility")


def export_csv(planted: Planted, folder: Path) -> None:
    """Write bars, macro columns and truth under `folder`, which must be empty or new.

    Raises `ConfigError` for markets whose signals are not in their prices: files of bars would lose them.
    """
    if planted.signals is not None:
        raise ConfigError(
            f"The signals {list(planted.signal_names)} of this planted market are not in its prices, so bars alone "
            "would lose them. Export the market `embedded`, or train on this one by name (`data.source`)."
        )
    if folder.exists() and any(folder.iterdir()):
        raise DataError(f"{folder} is not empty. Name a new folder, or empty this one.")
    market = planted.market
    stamps = np.datetime_as_string(market.time.astype("datetime64[ns]"), unit="s", timezone="UTC")
    for name in NAMES:
        for index, (start, stop) in enumerate(planted.splits[name].segments):
            target = folder / name / f"{index:03d}"
            target.mkdir(parents=True)
            clock = pd.Index(stamps[start:stop], name="timestamp")
            for k, symbol in enumerate(market.symbols):
                bars = pd.DataFrame(market.ohlcv[start:stop, k], index=clock, columns=list(COLUMNS))
                bars.to_csv(target / f"{symbol}.csv", lineterminator="\n")
            if market.macro_names:
                macro = pd.DataFrame(market.macro[start:stop], index=clock, columns=list(market.macro_names))
                macro.to_csv(target / "macro.csv", lineterminator="\n")
    clock_says = {"timeframe": market.timeframe, "bars_per_year": market.bars_per_year}
    (folder / CLOCK).write_text(json.dumps(clock_says) + "\n")
    save_truth(planted.truth, folder / TRUTH)


def save_truth(truth: Truth, path: Path) -> None:
    """Write `truth` as one npz file: arrays and a JSON text, no pickle."""
    law = next(name for name, kind in LAWS.items() if type(truth.params) is kind)
    described = {
        "symbols": truth.symbols,
        "groups": truth.groups,
        "group_of": truth.group_of,
        "objective": asdict(truth.objective),
        "law": law,
        "params": truth.params.model_dump(mode="json"),
    }
    arrays = {name: getattr(truth, name) for name in _ARRAYS}
    np.savez(path, **arrays, described=np.array(json.dumps(described, sort_keys=True)))


def load_truth(path: Path) -> Truth:
    """Read what `save_truth` wrote; bars are in the order train, validation, test.

    Raises `DataError` where the file is missing or is not a truth file.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
            described = json.loads(str(stored["described"]))
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is no truth file of a planted market ({error}). Export the market again.") from error
    return Truth(
        symbols=tuple(described["symbols"]),
        groups=tuple(described["groups"]),
        group_of=tuple(described["group_of"]),
        objective=Objective(**described["objective"]),
        params=LAWS[described["law"]].model_validate_json(json.dumps(described["params"])),
        **arrays,
    )
