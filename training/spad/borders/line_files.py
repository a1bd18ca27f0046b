"""Lines as files: CSV for every other program, npz to go on with. Both come back to the same bits.

CSV: a row for each B-scan and column, both counted from 1, and of each line the height in px, from
the centre of the uppermost row at 0; empty where the line is not there.
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spad.borders.lines import Lines
from spad.cases import file_stem, replaced

__all__ = [
    "SUFFIXES",
    "check_size",
    "from_bits",
    "lines_csv",
    "lines_name",
    "read_lines",
    "to_bits",
    "write_lines",
]

SUFFIXES = (".csv", ".npz")
FORMAT = 1
_PLACE = ("bscan_from_1", "column_from_1")
_BEFORE = ("bscan", "column")  # what they were called, counted alike
_UNIT = " [px]"
_LARGEST = 2**26
"""Heights of a file; more is no stack of B-scans."""
_NAN = np.float32(np.nan).view(np.int32)


def to_bits(heights: NDArray[np.float32]) -> NDArray[np.int32]:
    """Heights as whole numbers that autosave keeps to the last bit.

    Those of NaN are 0: a B-scan without lines is all 0, which autosave does not write, and reads
    where it wrote nothing.
    """
    return np.ascontiguousarray(heights, np.float32).view(np.int32) ^ _NAN


def from_bits(bits: NDArray[np.integer]) -> NDArray[np.float32]:
    """Heights, float32, of what `to_bits` made of them."""
    return (bits.astype(np.int32) ^ _NAN).view(np.float32)


def lines_name(name: str) -> str:
    """What a file of lines is called so that ``spad measure`` finds it beside a result NAME."""
    return file_stem(name, "image") + ".lines.csv"


def check_size(lines: Lines, bscans: int, columns: int, name: str) -> None:
    """Refuse lines of another image.

    Parameters
    ----------
    lines : Lines
        Of a file of this `name`.
    bscans, columns : int
        Of the image.

    Raises
    ------
    ValueError
        They are of more or fewer.
    """
    found = lines.heights.shape[1:]
    if found != (bscans, columns):
        raise ValueError(
            f"{name} has lines of {found[0]} B-scans of {found[1]} columns, and the image "
            f"{bscans} of {columns}; open the image that they were drawn on"
        )


def lines_csv(lines: Lines) -> str:
    """Lines as CSV, as the module says."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*_PLACE, *(name + _UNIT for name in lines.names)])
    for z in range(lines.heights.shape[1]):
        # The shortest text that is read back to the same float32.
        texts = [["" if h != h else str(h) for h in line] for line in lines.heights[:, z]]
        writer.writerows(
            (z + 1, column, *row) for column, row in enumerate(zip(*texts, strict=True), 1)
        )
    return out.getvalue()


def _npz(lines: Lines) -> bytes:
    """Lines as NumPy's zip archive: ``names``, ``heights``, ``format``."""
    out = io.BytesIO()
    np.savez_compressed(
        out, format=FORMAT, names=np.array(lines.names, np.str_), heights=lines.heights
    )
    return out.getvalue()


def write_lines(lines: Lines, path: str | os.PathLike[str]) -> None:
    """Write a ``.csv`` or ``.npz``; a killed process leaves the old file or the new one.

    Raises
    ------
    ValueError
        Another suffix.
    OSError
        The folder is not there, full or read-only.
    """
    path = Path(path)
    kind = _kind(path)
    with replaced(path) as beside:
        beside.write_bytes(lines_csv(lines).encode() if kind == ".csv" else _npz(lines))


def read_lines(path: str | os.PathLike[str]) -> Lines:
    """Read what `write_lines` wrote.

    Returns
    -------
    Lines
        The same names, and the same heights to the last bit.

    Raises
    ------
    ValueError
        No such content, or a damaged file; the message names it and the remedy.
    OSError
        There is no such file, or it may not be read.
    """
    path = Path(path)
    kind = _kind(path)
    raw = path.read_bytes()
    try:
        return _from_csv(raw) if kind == ".csv" else _from_npz(raw)
    except Exception as error:  # a flipped bit ends in any of a dozen kinds
        raise ValueError(
            f"{path.name} holds no lines that can be read ({str(error) or type(error).__name__}); "
            "a .csv has the columns bscan_from_1, column_from_1 and one a line, a .npz names and "
            "heights"
        ) from None


def _kind(path: Path) -> str:
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise ValueError(f"{path.name}: lines are kept as {' or '.join(SUFFIXES)}; name it so")
    return kind


def _from_npz(raw: bytes) -> Lines:
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        held = sum(one.file_size for one in archive.infolist())
        if held > _LARGEST * 4 + 2**20:
            raise ValueError(f"it holds {held} bytes, more than any stack's lines")
    with np.load(io.BytesIO(raw), allow_pickle=False) as found:
        if int(found["format"]) != FORMAT:
            raise ValueError(f"format {found['format']}, and this version reads {FORMAT}")
        return Lines(tuple(str(name) for name in found["names"]), found["heights"])


def _from_csv(raw: bytes) -> Lines:
    text = raw.decode("utf-8-sig")
    # As spreadsheets of half the world save it: semicolons between cells, a decimal comma in them.
    comma = text.startswith((";".join(_PLACE), ";".join(_BEFORE)))
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=";" if comma else ",")
    header = next(rows, [])
    if tuple(header[:2]) not in (_PLACE, _BEFORE) or len(header) < 3:
        raise ValueError(f"it begins with the columns {', '.join(header[:5])[:80] or '(none)'}")
    names = tuple(name.removesuffix(_UNIT) for name in header[2:])
    places: list[tuple[int, int]] = []
    heights: list[list[float]] = []
    for number, row in enumerate(rows, 2):
        if len(row) != len(header):
            raise ValueError(f"row {number} has {len(row)} cells, not {len(header)}")
        places.append((int(row[0]), int(row[1])))
        cells = [cell.replace(",", ".") if comma else cell for cell in row[2:]]
        heights.append([float(cell) if cell else np.nan for cell in cells])
    if not places:
        raise ValueError("it has no rows")
    return Lines(names, _placed(np.array(places), np.array(heights, np.float32)))


def _placed(places: NDArray[np.int64], heights: NDArray[np.float32]) -> NDArray[np.float32]:
    low, (bscans, width) = places.min(0), places.max(0)
    if low.min() < 1 or bscans * width * heights.shape[1] > _LARGEST:
        raise ValueError(f"B-scans and columns {low.tolist()} to {[int(bscans), int(width)]}")
    out = np.full((heights.shape[1], bscans * width), np.nan, np.float32)
    at = (places[:, 0] - 1) * width + places[:, 1] - 1
    if len(np.unique(at)) < len(at):
        raise ValueError("it has a column of a B-scan twice")
    out[:, at] = heights.T
    return out.reshape(-1, bscans, width)
