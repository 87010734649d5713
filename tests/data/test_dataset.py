"""Saved datasets come back bit for bit, mapped and read-only; anything else is refused."""

import json
from dataclasses import fields

import numpy as np
import pytest

from mtquant.config.agents import FeatureSpec
from mtquant.data.align import with_macro
from mtquant.data.dataset import Dataset
from mtquant.data.features import build_dataset
from mtquant.errors import DataError
from tests.data.make import real_like_market, three_way


def made(columns: int) -> Dataset:
    market = real_like_market(400)
    if columns:
        market = with_macro(market, np.cumsum(np.ones((400, columns)), axis=0) / 7, tuple("abc")[:columns])
    return build_dataset(
        market, three_way(400), FeatureSpec(), planted=False, warnings=["é: odd"], provenance={"EURUSD": "a file"}
    )


@pytest.mark.parametrize("columns", [0, 2])
def test_loaded_equals_saved(tmp_path, columns):
    saved = made(columns)
    saved.save(tmp_path / "dataset")
    loaded = Dataset.load(tmp_path / "dataset")
    assert loaded.market.fingerprint == saved.market.fingerprint
    assert loaded.market.bars_per_year == saved.market.bars_per_year
    assert (loaded.market.timeframe, loaded.market.macro_names) == (saved.market.timeframe, saved.market.macro_names)
    for field in fields(Dataset):
        ours, theirs = getattr(loaded, field.name), getattr(saved, field.name)
        if isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype and np.array_equal(ours, theirs)
            assert not ours.flags.writeable
        elif field.name == "statistics":
            assert ours.keys() == theirs.keys() and all(np.array_equal(ours[k], theirs[k]) for k in theirs)
        elif field.name != "market":
            assert ours == theirs, field.name
    assert isinstance(loaded.features, np.memmap)


def test_saving_twice_writes_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        made(2).save(tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_broken_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match="no readable dataset"):
        Dataset.load(tmp_path)
    made(0).save(tmp_path)
    page = tmp_path / "dataset.json"
    text = page.read_text()
    page.write_text(json.dumps(json.loads(text) | {"format": 99}))
    with pytest.raises(DataError, match="format 99"):
        Dataset.load(tmp_path)
    page.write_text(text)
    content = (tmp_path / "features.npy").read_bytes()
    (tmp_path / "features.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"features\.npy is (missing or )?broken"):
        Dataset.load(tmp_path)
    (tmp_path / "features.npy").unlink()
    with pytest.raises(DataError, match=r"features\.npy"):
        Dataset.load(tmp_path)
