"""Many images through one model: a folder into files with sidecars, or all open image layers.

The work is a run of the desk like any other (one worker, one model, Cancel, progress), made of the
runs of its images. A bad image is named and does not end the others; what is done is skipped.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from napari_spad.desk import Finished, Request, explain, model_tag, segment_parts
from napari_spad.layers import Source, class_features, colormap, open_source
from napari_spad.write import refuse_long_name, write_png, write_tiff
from spad.annotation import RunProgress, images_in, result_stems, seconds_left
from spad.cases import case_spacing, read_json
from spad.inference import Engine, ServerError, open_model
from spad.pictures import SUFFIXES
from spad.pictures import image_files as pictures

__all__ = ["Batch", "Choices", "Done", "Failed", "FileItem", "LayerItem", "Skipped", "image_files"]

SHARES = 1000  # of an image, for the progress bar


@dataclass(frozen=True)
class Choices:
    """With what to segment, as the form says it."""

    checkpoint: Path
    device: str
    samples: int
    steps: int | None
    seed: int

    @property
    def model(self) -> str:
        """What tells one checkpoint from another, as in `Result`."""
        return model_tag(self.checkpoint)


@dataclass(frozen=True)
class Done:
    """An image is segmented.

    Parameters
    ----------
    name : str
    notes : tuple of str
    left_out : str
        Which of its B-scans could not be segmented, and why; empty where all could.
    """

    name: str
    notes: tuple[str, ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Skipped:
    """An image was done before."""

    name: str


@dataclass(frozen=True)
class Failed:
    """An image could not be segmented."""

    name: str
    why: str


@dataclass
class FileItem:
    """An image file, and where its result goes.

    Parameters
    ----------
    path : Path
    target : Path
        Of the results, without extension.
    """

    path: Path
    target: Path

    @property
    def name(self) -> str:
        """For messages."""
        return self.path.name

    def open(self) -> Source:
        """Read the file with whatever opens it in napari. In a worker."""
        from napari.layers import Image

        data, options = _picture(self.path) if _is_plain(self.path) else _opened(self.path)
        layer = Image(data, **options)
        layer.name = self.path.name
        nowhere: Any = SimpleNamespace(dims=SimpleNamespace(point=(0.0,) * layer.ndim))
        source = open_source(layer, nowhere, whole_stack=True)
        source.notes += layer.metadata.get("notes", ())
        return source

    def is_done(self, choices: Choices, sha256: str, steps: int) -> bool:
        """Whether the result is there, made by this checkpoint with these settings.

        Raises
        ------
        ValueError
            There is a file in its place that no model made, or its name would be too long.
        """
        refuse_long_name(f"{self.target}.tif")  # before the computing, not after it
        results = self._results()
        beside = self._sidecar
        if not beside.exists():
            if results:
                raise ValueError(
                    f"{results[0].name} is in the folder of the results, and has no sidecar: no "
                    "model made it; choose another folder"
                )
            return False
        try:
            runs = read_json(beside)["provenance"]
            made = {(r["checkpoint"]["sha256"], r["samples"], r["steps"], r["seed"]) for r in runs}
        except (ValueError, KeyError, TypeError):
            return False
        young = results and results[0].stat().st_mtime >= self.path.stat().st_mtime
        return bool(young) and made == {(sha256, choices.samples, steps, choices.seed)}

    def save(self, source: Source, parts: list[Finished]) -> None:
        """Write the label map and its sidecar; older ones are kept as ``.N.bak``."""
        labels = np.zeros(source.shape, np.uint8)
        for event in parts:
            labels[event.part.region] = event.segmentation.labels
        classes = parts[0].segmentation.classes
        for old in (*self._results(), self._sidecar):
            if old.exists():
                number = 1
                while (kept := old.with_name(f"{old.name}.{number}.bak")).exists():
                    number += 1
                old.rename(kept)
        meta = {
            "name": self.path.name,
            "scale": source.placement["scale"],
            "units": source.placement["units"],
            "colormap": colormap(classes),
            "features": class_features(classes),
            "metadata": {
                **source.layer.metadata,  # scale, eye, fovea: of the rest nothing is written
                "spad": {
                    "image": self.path.name,
                    "classes": [c.as_json() for c in classes],
                    "provenance": sorted(
                        (
                            {"bscan": list(e.part.index), **dict(e.segmentation.provenance)}
                            for e in parts
                        ),
                        key=lambda run: run["bscan"],
                    ),
                },
            },
        }
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if labels.ndim == 2:
            write_png(f"{self.target}.png", labels, meta)
        else:
            write_tiff(f"{self.target}.tif", labels, meta)

    @property
    def _sidecar(self) -> Path:
        return Path(f"{self.target}.spad.json")

    def _results(self) -> list[Path]:
        return [p for end in (".png", ".tif") if (p := Path(f"{self.target}{end}")).exists()]


@dataclass
class LayerItem:
    """An image layer; its result becomes a layer."""

    source: Source

    @property
    def name(self) -> str:
        """For messages."""
        return self.source.name


@dataclass
class Batch:
    """What to run, in place of a `Request`.

    Parameters
    ----------
    choices : Choices
    items : list of FileItem or LayerItem
    """

    choices: Choices
    items: list[FileItem | LayerItem]
    outcomes: list[Done | Skipped | Failed] = field(default_factory=list)

    def work(self, engine: Engine) -> Generator[Any, None, None]:
        """Segment all; yields words, `RunProgress`, and what became of each image.

        Of layers also (source, `Finished`) for each B-scan, which the main thread puts into one.
        """
        choices = self.choices
        yield f"opening {choices.checkpoint.stem}…"
        open_model(engine, choices.checkpoint, choices.device)  # a fault of the model is no image's
        digest, steps = "", 0
        if any(isinstance(item, FileItem) for item in self.items):
            from spad.checkpoint import sha256

            digest = sha256(choices.checkpoint)
            steps = choices.steps or engine.read_card(choices.checkpoint).sampling.steps
        began, worked = 0.0, 0
        for number, item in enumerate(self.items):
            try:
                if isinstance(item, FileItem) and item.is_done(choices, digest, steps):
                    yield Skipped(item.name)
                    continue
                began = began or time.monotonic()
                for event in self._segment(engine, item):
                    if isinstance(event, float):
                        count = len(self.items)
                        yield RunProgress(
                            int(SHARES * (number + event)),
                            SHARES * count,
                            seconds_left(began, worked + event, worked + count - number),
                            number + 1,
                            count,
                            "image",
                        )
                    else:
                        yield event
            except ServerError:  # nor is this an image's
                raise
            except Exception as error:
                yield Failed(item.name, explain(error))
            worked += 1

    def _segment(self, engine: Engine, item: FileItem | LayerItem) -> Iterator[Any]:
        """Run one image; yields the share that is done, and what `work` passes on."""
        choices = self.choices
        source = item.open() if isinstance(item, FileItem) else item.source
        request = Request(
            choices.checkpoint,
            choices.device,
            source,
            choices.samples,
            choices.steps,
            choices.seed,
        )
        parts: list[Finished] = []
        notes, left_out = dict.fromkeys(source.notes), ""
        try:
            for event in segment_parts(engine, request):
                if isinstance(event, RunProgress):
                    yield event.done / event.total
                elif event is None:
                    yield None
                elif isinstance(event, Finished):
                    notes |= dict.fromkeys(event.said)
                    parts.append(event)
                    if isinstance(item, LayerItem):
                        yield source, event
        except (ValueError, OSError) as error:
            if not parts:
                raise
            left_out = explain(error)  # the others are as good as without it
        if isinstance(item, FileItem):
            item.save(source, parts)
        yield Done(item.name, tuple(notes), left_out)

    def summary(self) -> str:
        """What was done, skipped, and what failed why."""
        done = [one for one in self.outcomes if isinstance(one, Done)]
        failed = [one for one in self.outcomes if isinstance(one, Failed)]
        skipped = len(self.outcomes) - len(done) - len(failed)
        said = [f"{len(done)} segmented"]
        if skipped:
            said.append(f"{skipped} done before and skipped")
        if rest := len(self.items) - len(self.outcomes):
            said.append(f"{rest} left")
        if failed:
            said.append(f"{len(failed)} failed")
        notes = Counter(note for one in done for note in one.notes)
        lines = [f"{', '.join(said)}."]
        lines += [f"{note} ({count} of them)" for note, count in notes.items()]
        lines += [f"{one.name}: {one.left_out}" for one in done if one.left_out]
        lines += [f"{one.name}: {one.why}" for one in failed]
        return "\n".join(lines)


def image_files(folder: Path, out: Path) -> list[FileItem]:
    """List the images of a folder that something here opens, by name.

    Raises
    ------
    ValueError
        The folder is missing or without images, or the results would lie among the images.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; choose the folder of the images")
    found = images_in(folder, _opens)
    if out.resolve() in (folder.resolve(), *(path.parent.resolve() for path in found[:1])):
        raise ValueError(f"the results would lie among the images in {out}; choose another one")
    if not found:
        raise ValueError(
            f"{folder} has no image that napari opens ({', '.join(SUFFIXES)}, or what its plugins "
            "read); choose another folder"
        )
    return [FileItem(path, out / stem) for path, stem in result_stems(found).items()]


def _opens(path: Path) -> bool:
    if _is_plain(path):
        return True
    from npe2 import PluginManager

    readers = PluginManager.instance().iter_compatible_readers([str(path)])
    # napari's own also open tables and scripts.
    return any(reader.plugin_name != "napari" for reader in readers)


def _is_plain(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _picture(path: Path) -> tuple[Any, dict[str, Any]]:
    """Pixels and layer settings of a picture, all pages of it, as the command line reads it."""
    try:
        pixels, colour = pictures.decoded(path)
    except ValueError as error:  # the name comes before it anyway
        raise ValueError(str(error).removeprefix(f"{path}: ")) from error
    if pixels.dtype.kind == "b":
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    planes = pixels.ndim - colour
    options = {"rgb": colour, "axis_labels": ("B-scan", "row", "column")[-planes:]}
    if planes == 2 and (spacing := case_spacing(path)) is not None:
        options |= {"scale": spacing, "units": ["mm", "mm"]}
    return pixels, options


def _opened(path: Path) -> tuple[Any, dict[str, Any]]:
    """Pixels and layer settings of what one of napari's plugins opens."""
    from npe2 import read

    try:
        opened = read([str(path)], stack=False)
    except Exception as error:  # a decoder raises anything; its first line tells enough
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"cannot be read ({reason}); is it damaged? Save it again") from error
    found = [one for one in opened if _kind(one) == "image"]
    if not found:
        raise ValueError("holds no image; open it in napari to see what it is")
    data, options = (*found[0], {})[:2]
    known = {"rgb", "scale", "translate", "units", "axis_labels", "metadata", "multiscale"}
    kept = {k: v for k, v in options.items() if k in known}
    if len(found) > 1:
        names = [f"“{one[1].get('name', '')}”" if len(one) > 1 else "“”" for one in found]
        note = (
            f"{path.name} holds {len(found)} images, of which the first is segmented, {names[0]}; "
            f"open it in napari for {', '.join(names[1:])}"
        )
        told = kept.get("metadata") or {}
        kept["metadata"] = {**told, "notes": [*told.get("notes", ()), note]}
    return data, kept


def _kind(layer_data: tuple[Any, ...]) -> str:
    return layer_data[2] if len(layer_data) > 2 else "image"
