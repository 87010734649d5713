"""`Snapshot`: the complete state of a learner, as arrays and JSON values, without pickle."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from mtquant.errors import StoreError
from mtquant.store.files import guarded, write_durable
from mtquant.types import Array

ARRAYS, VALUES = "arrays.safetensors", "values.json"
_KINDS = "biuf"
_LENGTH_BYTES = 8


@dataclass(frozen=True)
class Snapshot:
    """Everything needed to continue: arrays of any shape (bool, integer, float) and JSON values.

    Values are dicts with text keys, lists, text, numbers, booleans and None, so that what is read equals what
    was written; tuples, numpy scalars and other types are refused. Floats may be NaN or infinite.
    """

    arrays: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write `arrays.safetensors` and `values.json` into an existing folder, durably.

        Raises `TypeError` for what the format cannot hold and `StoreError` where writing fails.
        """
        _require_plain(self.values, "values")
        packed = {name: _packed(name, array) for name, array in self.arrays.items()}
        # An empty safetensors file is valid, so the two files always exist.
        write_durable(folder / ARRAYS, safetensors.numpy.save(packed))
        write_durable(folder / VALUES, json.dumps(self.values, sort_keys=True).encode())

    def packed(self) -> bytes:
        """Return the same as one message: the length of the JSON (8 bytes, little-endian), the JSON, the arrays.

        Raises `TypeError` for what the format cannot hold.
        """
        _require_plain(self.values, "values")
        text = json.dumps(self.values).encode()
        arrays = safetensors.numpy.save({name: _packed(name, array) for name, array in self.arrays.items()})
        return len(text).to_bytes(_LENGTH_BYTES, "little") + text + arrays

    @staticmethod
    def unpacked(message: bytes) -> "Snapshot":
        """Undo `packed`."""
        begin = _LENGTH_BYTES + int.from_bytes(message[:_LENGTH_BYTES], "little")
        return Snapshot(safetensors.numpy.load(message[begin:]), json.loads(message[_LENGTH_BYTES:begin]))

    @staticmethod
    def read(folder: Path) -> "Snapshot":
        """Return the snapshot written into `folder`. Raises `StoreError` where a file is missing or broken."""
        try:
            with guarded(folder, "read", passing=(FileNotFoundError,)):
                arrays = safetensors.numpy.load((folder / ARRAYS).read_bytes())
                values = json.loads((folder / VALUES).read_bytes())
        except FileNotFoundError as error:
            raise StoreError(f"{error.filename} is missing; the checkpoint is not whole.") from error
        except (ValueError, safetensors.SafetensorError) as error:
            raise StoreError(
                f"The snapshot in {folder} cannot be read: {error}. "
                "Move the folder away to continue from the one before."
            ) from error
        return Snapshot(arrays, values)


def _packed(name: str, array: Array) -> Array:
    """Return `array` as safetensors needs it: C order, native bytes; it would write other layouts scrambled."""
    found = np.asarray(array)
    if found.dtype.kind not in _KINDS or found.dtype.itemsize > 8:
        raise TypeError(f"Snapshot array `{name}` has dtype {found.dtype}; bool, integers and floats are possible.")
    return found.astype(found.dtype.newbyteorder("="), order="C", copy=False)


def _require_plain(value: Any, where: str) -> None:
    """Raise `TypeError` unless `value` comes back from JSON equal to itself."""
    if value is None or type(value) in (bool, int, float, str):
        return
    if type(value) is list:
        for index, entry in enumerate(value):
            _require_plain(entry, f"{where}[{index}]")
    elif type(value) is dict:
        for key, entry in value.items():
            if type(key) is not str:
                raise TypeError(f"Snapshot {where} has the key {key!r}; keys must be text.")
            _require_plain(entry, f"{where}.{key}")
    else:
        raise TypeError(f"Snapshot {where} is a {type(value).__name__}; use lists, dicts, text, numbers or arrays.")
