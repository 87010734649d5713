"""Digests: of JSON values, arrays, files and source code; what keys and manifests are made of."""

import ast
import hashlib
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import mtquant
from mtquant.errors import StoreError
from mtquant.store.files import guarded, write_atomic
from mtquant.types import Array

__all__ = [
    "LIBRARIES",
    "canonical_json",
    "code_digest",
    "code_versions",
    "digest_arrays",
    "digest_bytes",
    "digest_file",
    "digest_json",
    "library_versions",
    "source_digest",
    "syntax_digest",
    "write_atomic",
]

LIBRARIES = ("torch", "stable-baselines3", "gymnasium", "numpy")
"""Distributions whose exact version decides the bits of a result."""


def canonical_json(value: Any) -> bytes:
    """Return the one byte string of a JSON value: sorted keys, no spaces, UTF-8, shortest floats.

    Raises `ValueError` for NaN and infinities and `TypeError` for what JSON has not.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_json(value: Any) -> str:
    """Return the sha256 of a JSON value's canonical form."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def digest_bytes(content: bytes) -> str:
    """Return the sha256 of `content`."""
    return hashlib.sha256(content).hexdigest()


def digest_arrays(arrays: Mapping[str, Array]) -> str:
    """Return the sha256 over names (sorted), dtypes, shapes and bytes; memory layout does not count."""
    hasher = hashlib.sha256()
    for name in sorted(arrays):
        array = np.asarray(arrays[name])
        little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
        hasher.update(canonical_json([name, little.dtype.str, list(little.shape)]))
        hasher.update(little.tobytes())
    return hasher.hexdigest()


def digest_file(path: Path) -> str:
    """Return the sha256 of a file's content."""
    with guarded(path, "read"), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def code_digest(packages: Sequence[str]) -> str:
    """Return one digest over the source of modules or packages (`mtquant.envs`) and the library versions.

    Comments, docstrings and layout do not count; see `code_versions` for the parts.
    """
    return digest_json(code_versions(packages))


def code_versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the digest of each module or package, and the version of Python and of each of `LIBRARIES`."""
    parts = {name: source_digest(Path(mtquant.__file__).parents[1], name) for name in sorted(packages)}
    return parts | library_versions()


def library_versions() -> dict[str, str]:
    """Return the exact versions that decide the bits of a result, without importing anything."""
    found = {name: metadata.version(name) for name in LIBRARIES}
    return found | {"python": ".".join(platform.python_version_tuple()[:2])}


def source_digest(root: Path, name: str) -> str:
    """Return the digest of module or package `name` below `root`: names of files and their syntax trees.

    Raises `StoreError` where there is no such source.
    """
    base = root.joinpath(*name.split("."))
    module = base.with_suffix(".py")
    files: Iterable[Path] = [module] if module.is_file() else sorted(base.rglob("*.py"))
    parts = {file.relative_to(root).as_posix(): syntax_digest(file.read_bytes()) for file in files}
    if not parts:
        raise StoreError(f"There is no source of `{name}` below {root}; reinstall the package.")
    return digest_json(parts)


@cache
def syntax_digest(source: bytes) -> str:
    """Return the digest of the syntax tree of `source`; docstrings, comments and layout do not count."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # A string that stands alone is documentation of the module, class, function or attribute.
            node.body = [entry for entry in node.body if not _is_text(entry)]
    return digest_bytes(ast.dump(tree, annotate_fields=False, include_attributes=False).encode())


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
