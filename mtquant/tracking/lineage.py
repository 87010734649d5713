"""What a unit was made from, as the tracker shows it: bars by split, and the runs of the units it read. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtquant.errors import StoreError
from mtquant.store.digests import digest_json
from mtquant.store.runs import RunRecord, unit_of_run
from mtquant.store.units import Unit

DATA_TAG, UPSTREAM_TAG = "mtquant.data.", "mtquant.upstream"
SPLITS = ("train", "validation", "test")
DATASET = "dataset-market"
_NO_INSTRUMENTS = ("clock", "macro", "splits")
_FEW = 8
"""Outputs that are told one by one; more of them as one digest."""
_SOURCE = 60_000


@dataclass(frozen=True)
class DatasetEntry:
    """One split of the bars, as MLflow shows datasets."""

    name: str
    digest: str
    """32 hex digits: MLflow allows 36."""
    full_digest: str
    source: str
    schema: str
    profile: str
    context: str
    """`train`, `validation` or `test`."""


def datasets(root: Path, record: RunRecord, unit: Unit) -> list[DatasetEntry]:
    """Return the splits that a unit reads; none where it reads no bars."""
    data = unit.spec.inputs.get("data")
    if not data:
        return []
    described = record.config.get("data", {})
    market = f"{Path(str(described.get('source') or 'bars')).name} {described.get('timeframe') or ''}".strip()
    symbols = [name for name in data if name not in _NO_INSTRUMENTS]
    schema = json.dumps({"mlflow_colspec": [{"name": s, "type": "double", "required": True} for s in symbols]})
    bars = _bars(root, record)
    entries = []
    for split in _read_splits(unit):
        digest = digest_json({"data": data, "split": split})
        source = json.dumps({"source": described, "split": split, "digests": data}, sort_keys=True)[:_SOURCE]
        profile = {"num_rows": bars[split], "num_elements": bars[split] * len(symbols)} if split in bars else {}
        entries.append(
            DatasetEntry(f"{market} {split}", digest[:32], digest, source, schema, json.dumps(profile), split)
        )
    return entries


def _read_splits(unit: Unit) -> tuple[str, ...]:
    """Return the splits that a unit's kind reads."""
    kind = unit.spec.kind
    if kind == "dataset":
        return SPLITS
    if kind == "evaluate":
        # Validation decides the common budget of phase 1.
        opened = unit.spec.inputs.get("config", {}).get("evaluation", {}).get("split", "test")
        return tuple(dict.fromkeys((str(opened), "validation")))
    if kind == "export":
        return ("test",)
    return ("train", "validation") if kind == "phase3" else ("train",)


def _bars(root: Path, record: RunRecord) -> dict[str, int]:
    """Return the number of bars by split, as the dataset's unit counted them."""
    try:
        done = unit_of_run(root, record, DATASET).done() if DATASET in record.units else None
    except StoreError:
        return {}
    metrics = done.metrics if done else {}
    return {split: int(metrics[f"{split}_bars"]) for split in SPLITS if f"{split}_bars" in metrics}


def upstream(root: Path, record: RunRecord, unit: Unit, run_ids: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return by name what a unit read: the unit's key, MLflow's id of its run, and the digests of its outputs."""
    found: dict[str, dict[str, Any]] = {}
    for name in unit.spec.upstream:
        if name not in record.units:
            continue
        entry: dict[str, Any] = {"unit_key": record.units[name]["key"], "run_id": run_ids.get(name, "")}
        try:
            done = unit_of_run(root, record, name).done()
        except StoreError:
            done = None
        if done is not None:
            few = len(done.outputs) <= _FEW
            entry["outputs"] = dict(done.outputs) if few else {"sha256": digest_json(done.outputs)}
        found[name] = entry
    return found


def upstream_tags(found: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return a tag with everything, and one per unit with MLflow's run id, which can be searched."""
    if not found:
        return {}
    single = {f"{UPSTREAM_TAG}.{name}": str(entry["run_id"]) for name, entry in found.items() if entry["run_id"]}
    return {UPSTREAM_TAG: json.dumps(found, sort_keys=True)} | single


def unit_note(
    record: RunRecord, unit: Unit, found: Mapping[str, Mapping[str, Any]], experiments: Mapping[str, str]
) -> str:
    """Return the description of a unit's run: what it is, and links to the runs of what it read, in Markdown."""
    links = [
        f"[{name}](#/experiments/{experiments[name]}/runs/{entry['run_id']})" if name in experiments else name
        for name, entry in found.items()
    ]
    made_from = f" Made from {', '.join(links)}." if links else ""
    return f"Unit `{unit.spec.folder_name}` of run `{record.run_id}`.{made_from}"
