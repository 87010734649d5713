"""The raw content of a bar file: bytes, compression, encoding, cells with their line numbers."""

import csv
import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtquant.errors import DataError

SHOWN_ROWS = 5
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class Table:
    """Cells of a text file; `lines[i]` is the line (1 = first) on which row i lies."""

    path: Path
    rows: list[list[str]]
    lines: list[int]
    digest: str


def read_table(path: Path) -> Table:
    """Read a text file, plain, `.gz` or `.zip`, into cells; blank lines are left out.

    Raises `DataError` for a file that is absent, empty, truncated, not UTF-8 (or marked UTF-16), or binary.
    """
    content = _bytes(path)
    digest = hashlib.sha256(content).hexdigest()
    text = _decoded(path, _unpacked(path, content))
    head = next((line for line in text.splitlines() if line.strip()), "")
    if not head:
        raise DataError(f"{path} is empty. Export the bars again.")
    delimiter = next((d for d in ("\t", ";") if d in head), ",")
    rows, lines = [], []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            if cells and (len(cells) > 1 or cells[0].strip()):
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}, row {reader.line_num}: not readable as a table ({error}). Export again.") from error
    return Table(path, rows, lines, digest)


def listed(lines: Sequence[int] | np.ndarray) -> str:
    """Return `row 7` or `rows 7, 9, 12 (and 40 more)`."""
    shown = ", ".join(str(int(line)) for line in lines[:SHOWN_ROWS])
    more = f" (and {len(lines) - SHOWN_ROWS} more)" if len(lines) > SHOWN_ROWS else ""
    return f"row{'s' if len(lines) > 1 else ''} {shown}{more}"


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}. Check its name and permissions.") from error
    if not content:
        raise DataError(f"{path} is empty. Export the bars again.")
    return content


def _unpacked(path: Path, content: bytes) -> bytes:
    """Undo gzip or zip, recognised by content rather than by name."""
    if content[:2] == b"\x1f\x8b":
        try:
            return gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path} is a truncated or broken gzip file ({error}). Copy it again.") from error
    if content[:4] == b"PK\x03\x04":
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
                if len(names) != 1:
                    raise DataError(f"{path} holds {len(names)} files ({names[:5]}); one is expected. Unpack it.")
                return archive.read(names[0])
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise DataError(f"{path} is a truncated, broken or locked zip file ({error}). Copy it again.") from error
    if path.suffix.lower() in (".gz", ".zip"):
        raise DataError(f"{path} is named `{path.suffix}` but does not begin like one. Copy or download it again.")
    return content


def _decoded(path: Path, content: bytes) -> str:
    try:
        if content[:2] in _UTF16:
            return content.decode("utf-16")
        if b"\x00" in content[:4096]:
            raise DataError(f"{path} is a binary file; bars are expected as text or parquet. Export it as CSV.")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, row {row}: not UTF-8 text ({error.reason}). Save the file as UTF-8.") from error
