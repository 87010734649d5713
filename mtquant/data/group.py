"""One group's view of a dataset: the statistics that its specialist may depend on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtquant.config.agents import PipelineSpec
from mtquant.data.dataset import Dataset
from mtquant.data.features import Shown, build_dataset


def with_group_statistics(dataset: Dataset, symbols: Sequence[str], spec: PipelineSpec) -> Dataset:
    """Return the dataset with feature means and deviations [F] of `symbols` alone.

    A specialist trained on it does not depend on the bars of other groups, so new bars of one instrument
    leave the specialists of other groups as they are. All else, also other instruments, stays in place.
    """
    columns = [dataset.market.symbols.index(symbol) for symbol in symbols]
    extra = len(dataset.signal_columns) - len(spec.features.return_half_lives)
    shown = Shown()
    if extra:
        values = np.asarray(dataset.features[:, columns, -extra:], dtype=np.float64)
        shown = Shown(values, dataset.feature_names[-extra:])
    alone = build_dataset(
        dataset.market.select(symbols), dataset.splits, spec.features, planted=dataset.planted, shown=shown
    )
    return replace(dataset, feature_mean=alone.feature_mean, feature_std=alone.feature_std)
