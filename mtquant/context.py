"""Root seed, named random streams, device name and folders: the side effects, made explicit."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

STORE_VARIABLE = "MTQUANT_STORE"
MARKET_DATA_VARIABLE = "MTQUANT_MARKET_DATA"


@dataclass(frozen=True)
class Streams:
    """Independent random streams, each named; none depends on how much another has drawn."""

    seed: int

    def child(self, *names: str | int) -> np.random.SeedSequence:
        """Return the seed sequence of the stream called `names`."""
        digest = hashlib.sha256("/".join(str(name) for name in names).encode()).digest()
        words = np.frombuffer(digest, dtype="<u4")
        return np.random.SeedSequence(entropy=self.seed, spawn_key=tuple(int(w) for w in words))

    def rng(self, *names: str | int) -> np.random.Generator:
        """Return a numpy generator for the stream called `names`."""
        return np.random.Generator(np.random.PCG64(self.child(*names)))

    def integer(self, *names: str | int) -> int:
        """Return one 31-bit integer of the stream, for libraries that want a seed."""
        return int(self.child(*names).generate_state(1)[0] >> 1)


def store_root() -> Path:
    """Return the folder of the store: `MTQUANT_STORE`, else `models/`."""
    return Path(os.environ.get(STORE_VARIABLE) or "models")


def market_data_root() -> Path | None:
    """Return the folder of real bars for tests and benchmarks, or None where there is none."""
    named = os.environ.get(MARKET_DATA_VARIABLE)
    candidates = [Path(named)] if named else [Path("../shared/market-data")]
    return next((path for path in candidates if path.is_dir()), None)
