"""Where the bars of a run come from: a planted market by name, or a folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.data.features import Shown, build_dataset
from mtquant.data.folder import load_folder
from mtquant.data.folds import make_folds
from mtquant.data.market import Market
from mtquant.data.splits import NAMES, Splits, between
from mtquant.errors import DataError
from mtquant.pipeline import is_planted
from mtquant.registry import did_you_mean
from mtquant.store.digests import digest_arrays, digest_json
from mtquant.store.explanation import CLOCK, SPLITS
from mtquant.store.fold_names import fold_name
from mtquant.synthetic import SYNTHETIC, build_planted
from mtquant.synthetic.export import CLOCK as MARKET_FILE


@dataclass(frozen=True)
class Source:
    """A market as it was obtained, before features."""

    market: Market
    splits: Splits
    planted: bool
    shown: Shown = field(default_factory=Shown)
    """Columns of a planted market that its prices do not contain."""
    warnings: tuple[str, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    folds: tuple[Splits, ...] = ()
    """Splits of a walk-forward, in order."""

    def fold(self, number: int | None) -> "Source":
        """Return the same market with the splits of fold `number`, counted from 1; None: with its own."""
        return self if number is None else replace(self, splits=self.folds[number - 1])

    def digests(self) -> dict[str, str]:
        """Return the content digest of each symbol, of `clock`, `macro` and `splits`."""
        found = self.market.digests() | {SPLITS: _digest(self.splits)}
        found |= {fold_name(SPLITS, number): _digest(fold) for number, fold in enumerate(self.folds, start=1)}
        # an exported planted market is treated as planted, which its bars alone do not say
        found[CLOCK] = digest_json([found[CLOCK], self.planted])
        for k, symbol in enumerate(self.market.symbols) if self.shown.names else ():
            columns = digest_arrays({"shown": self.shown.values[:, k]})
            found[symbol] = digest_json([found[symbol], columns, list(self.shown.names)])
        return found

    def dataset(self, spec: PipelineSpec) -> Dataset:
        """Return the dataset with the features that `spec` asks for."""
        return build_dataset(
            self.market,
            self.splits,
            spec.features,
            planted=self.planted,
            warnings=self.warnings,
            provenance=self.provenance,
            catalogue=spec.catalogue,
            shown=self.shown,
        )


def _digest(splits: Splits) -> str:
    return digest_json({name: splits[name].segments for name in NAMES})


def open_source(spec: PipelineSpec) -> Source:
    """Generate or read the bars of the traded instruments, with the folds of a walk-forward where it is asked for.

    Raises `DataError` where they are missing or broken, `ConfigError` for unknown parameters of a planted market.
    """
    source = _opened(spec)
    wanted = spec.evaluation
    if wanted.by_date:
        # refused before anything is trained, not when it is measured
        between(source.market, source.splits, wanted.first_day, wanted.last_day)
    if not spec.walk_forward.count:
        return source
    if wanted.by_date:
        raise DataError(
            "A walk-forward tests its own folds; leave out `evaluation.first_day` and `evaluation.last_day`."
        )
    histories = len(source.market.history_bounds())
    if histories > 1:
        raise DataError(
            f"A walk-forward needs bars of one history in order of time; `{spec.data.source}` has {histories} "
            "histories that are independent of each other. Switch `walk_forward.enabled` off, or bring your own bars."
        )
    longest = spec.environment.warmup_steps + spec.walk_forward.horizon_bars
    gap = max(spec.data.embargo_bars, longest)
    return replace(source, folds=make_folds(len(source.market.time), spec.walk_forward, gap))


def _opened(spec: PipelineSpec) -> Source:
    name, symbols = spec.data.source, spec.environment.instruments
    if is_planted(spec):
        planted = build_planted(name, spec.data.planted, Streams(spec.seed), symbols)
        shown = Shown() if planted.signals is None else Shown(planted.signals, planted.signal_names)
        return Source(planted.market, planted.splits, True, shown)
    folder = Path(name)
    if not folder.is_dir():
        known = did_you_mean(name, SYNTHETIC)
        raise DataError(f"`data.source` is `{name}`, which is neither a folder nor a planted market.{known}")
    market, splits, warnings, provenance = load_folder(folder, symbols, spec.data.timeframe, spec.catalogue, spec.data)
    # an exported planted market is traded as one (costs, volatility), so that training on its files is the same
    return Source(market, splits, (folder / MARKET_FILE).is_file(), Shown(), warnings, provenance)


def prepare(spec: PipelineSpec) -> dict[str, str]:
    """Return the digests of the bars of a run, which `pipeline.units_of` makes keys of."""
    return open_source(spec).digests()
