"""Where bars come from: digests that see every bar, and specialists that depend on their group alone."""

from dataclasses import replace

import numpy as np
import pytest

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.training.phase1_trainer import Phase1Trainer
from mtquant.config.agents import DataSpec, EnvironmentSpec
from mtquant.context import Streams
from mtquant.data.group import with_group_statistics
from mtquant.data.market import Market
from mtquant.errors import DataError
from mtquant.execution.sources import open_source, prepare
from mtquant.store.units import Unit, UnitHandle, UnitSpec
from mtquant.synthetic import build_planted
from mtquant.synthetic.export import export_csv
from tests.execution.real import GROUPS, PLANTED, small_spec


def other_bars(source, symbol):
    """Return the source with the prices of one instrument scaled, and their last moves changed."""
    market = source.market
    ohlcv = market.ohlcv.copy()
    ohlcv[:, market.symbols.index(symbol), :4] *= np.linspace(1.0, 1.5, len(market.time))[:, None]
    changed = Market(
        market.symbols,
        market.time,
        ohlcv,
        market.tradable,
        market.history,
        market.timeframe,
        market.bars_per_year,
        market.macro,
        market.macro_names,
    )
    return replace(source, market=changed)


def test_digests_name_every_part_and_are_stable():
    spec = small_spec()
    found = prepare(spec)
    assert set(found) == {*GROUPS, "clock", "macro", "splits"}
    assert prepare(spec) == found
    assert all(prepare(small_spec(seed=1))[symbol] != found[symbol] for symbol in GROUPS)


def test_digests_see_the_bars_of_one_instrument_only():
    source = open_source(small_spec())
    before, after = source.digests(), other_bars(source, "SPX500").digests()
    assert {name for name in before if before[name] != after[name]} == {"SPX500"}


def test_digests_see_splits_and_shown_columns():
    spec = small_spec(data=DataSpec(source="gp-easy"), environment=EnvironmentSpec(instruments=("EURUSD", "SPX500")))
    source = open_source(spec)
    before = source.digests()
    values = source.shown.values.copy()
    values[5, 1, 0] += 1.0
    after = replace(source, shown=replace(source.shown, values=values)).digests()
    assert {name for name in before if before[name] != after[name]} == {"SPX500"}
    swapped = replace(
        source, splits=replace(source.splits, train=source.splits.test, test=source.splits.train)
    ).digests()
    assert {name for name in before if before[name] != swapped[name]} == {"splits"}


@pytest.mark.parametrize("name", ["embedded", "gp-easy"])
def test_what_a_specialist_reads_depends_on_its_group_alone(name):
    data = DataSpec(source=name, planted=small_spec().data.planted if name == "embedded" else {})
    spec = small_spec(data=data)
    source = open_source(spec)
    before, after = (s.dataset(spec) for s in (source, other_bars(source, "SPX500")))
    assert not np.array_equal(before.feature_mean, after.feature_mean), "the whole market's statistics do depend on it"
    views = [with_group_statistics(dataset, ("EURUSD", "GBPUSD"), spec) for dataset in (before, after)]
    for field in ("feature_mean", "feature_std"):
        np.testing.assert_array_equal(getattr(views[0], field), getattr(views[1], field))
    for field in ("features", "point_volatility"):
        np.testing.assert_array_equal(getattr(views[0], field)[:, :2], getattr(views[1], field)[:, :2])
    assert views[0].feature_names == before.feature_names


def test_neither_folder_nor_market_is_an_error():
    with pytest.raises(DataError, match="neither a folder nor a planted market. Did you mean `embedded`"):
        open_source(small_spec(data=DataSpec(source="embeded")))


def test_training_from_exported_files_gives_the_same_weights(tmp_path):
    spec = small_spec()
    export_csv(build_planted("embedded", PLANTED, Streams(spec.seed), tuple(GROUPS)), tmp_path / "bars")
    files = small_spec(data=DataSpec(source=str(tmp_path / "bars")))
    digests = []
    for name, settings in (("generated", spec), ("files", files)):
        dataset = open_source(settings).dataset(settings)
        unit = Unit(tmp_path / name, UnitSpec("phase1-forex", "phase1", "forex", {}))
        unit.create()
        handle = UnitHandle(unit, Streams(settings.seed), 1, checkpoint_seconds=1e9)
        Phase1Trainer(settings, dataset, lambda _, handle=handle: handle).train_specialist("forex")
        digests.append(PolicyBundle.load(unit.outputs / "forex").digest)
    assert digests[0] == digests[1]
