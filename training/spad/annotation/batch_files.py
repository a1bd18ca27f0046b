"""The image files of a batch, and where their results go: none is overwritten by another's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from spad.cases import is_dangling

__all__ = ["images_in", "result_stems"]


def images_in(folder: Path, opens: Callable[[Path], bool]) -> list[Path]:
    """List the files directly in a folder that the host opens, by name; hidden ones are none.

    Of a case folder, which has none itself, those in its ``images``. A link whose target is gone is
    among them: it fails, and is told, as the file that it was.
    """
    found = [
        path
        for path in sorted(folder.iterdir())
        if (path.is_file() or is_dangling(path)) and not path.name.startswith(".") and opens(path)
    ]
    within = folder / "images"
    if not found and within.is_dir() and (folder / "labels.json").is_file():
        return images_in(within, opens)
    return found


def result_stems(
    images: Sequence[Path], stem: Callable[[Path], str] = lambda path: path.stem
) -> dict[Path, str]:
    """Name the result of each image, without extension, so that no two share one.

    Parameters
    ----------
    images : sequence of Path
        Of one folder.
    stem : callable
        A file's name without what says its format.

    Returns
    -------
    dict of Path to str
        The stem; where two have the same (some file systems tell no A from a), the whole name with
        underscores: ``eye.png`` and ``eye.tif`` become ``eye_png`` and ``eye_tif``.
    """
    count = Counter(stem(path).lower() for path in images)
    taken = {name for name, n in count.items() if n == 1}
    found = {}
    for path in images:
        name = stem(path)
        if count[name.lower()] > 1:
            name = path.name.replace(".", "_")
            while name.lower() in taken:
                name += "_"
            taken.add(name.lower())
        found[path] = name
    return found
