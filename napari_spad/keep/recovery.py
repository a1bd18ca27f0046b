"""Saved layers back into the viewer: as a working result where their image is open, else as labels.

An image is the right one if the pixels of its B-scans have the hashes that the runs noted; where
none was noted, if its shape and its name are the same. Labels that come back without their image
are joined to it as soon as it is opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal  # type: ignore[attr-defined, unused-ignore]

from napari_spad.desk import Desk, FunctionWorker, Result, explain
from napari_spad.keep.autosave import Autosave
from napari_spad.layers import (
    FIRST,
    Hand,
    Source,
    class_features,
    colormap,
    hand_colormap,
    is_image,
    open_source,
)
from spad.autosave import AutosavedLayer, Loaded, Session, move

__all__ = ["Recovery"]


@dataclass
class _Found:
    saved: AutosavedLayer
    loaded: Loaded
    source: Source | None


@dataclass
class _Waiting:
    """Labels whose image is not open."""

    layer: Labels
    by_hand: Labels
    hand: Hand
    loaded: Loaded


class Recovery(QObject):
    """Reads saved layers in a worker thread and puts them into the viewer.

    Parameters
    ----------
    desk : Desk
    autosave : Autosave
        Goes on saving them.
    """

    finished = Signal(list)
    """What there is to say, a line each."""

    def __init__(self, desk: Desk, autosave: Autosave) -> None:
        super().__init__()
        self.desk, self.autosave, self.viewer = desk, autosave, desk.viewer
        self._waiting: list[_Waiting] = []
        self._workers: list[FunctionWorker] = []
        self.viewer.layers.events.inserted.connect(self._on_inserted)
        self.viewer.layers.events.removed.connect(self._on_removed)

    def disconnect_viewer(self) -> None:
        """Let go of the viewer."""
        self.viewer.layers.events.inserted.disconnect(self._on_inserted)
        self.viewer.layers.events.removed.disconnect(self._on_removed)
        for one in self._waiting:
            one.hand.stop()

    def recover(self, layers: Sequence[AutosavedLayer]) -> None:
        """Bring these back; `finished` tells what came of it."""
        sources = [s for layer in self.viewer.layers if (s := _source(layer, self.viewer))]
        self._start(self._on_loaded, _load, self.autosave.session, list(layers), sources)

    def _start(self, then: Any, work: Any, *args: Any) -> None:
        worker = FunctionWorker(work, *args)
        self._workers = [*(w for w in self._workers if w.is_running), worker]
        worker.returned.connect(then)
        worker.start()

    def _on_loaded(self, answer: tuple[list[_Found], list[str]]) -> None:
        found, said = answer
        for one in found:
            name, bscans = one.loaded.header["name"], len(one.saved.places())
            count = f"“{name}”: {bscans} B-scan{'s' if bscans != 1 else ''}"
            try:
                said.append(f"{count}{self._show(one)}")
            except Exception as error:  # the files are as they were: they can be tried again
                said.append(f"“{name}” could not be shown: {explain(error)}")
            said += one.loaded.problems
        self.finished.emit(said)

    def _show(self, one: _Found) -> str:
        """Show a layer, with as much of what it was as can be; return what there is to say."""
        loaded, name = one.loaded, one.loaded.header["name"]
        if loaded.header["lines"]:
            self.autosave.lines.show(one.saved, loaded, _placed(loaded.header))
            return ""
        if one.source is not None and one.source.layer in self.viewer.layers:
            before = set(self.viewer.layers)
            try:
                self._add_result(one.saved, loaded, one.source)
                return f" on “{one.source.name}”"
            except Exception as error:
                loaded.problems.append(
                    f"“{loaded.header['name']}” is labels only: {explain(error)}"
                )
                for layer in set(self.viewer.layers) - before:
                    layer.visible = False  # empty; to remove it now could end napari
        image = loaded.header["image"]
        try:
            self._add_labels(one.saved, loaded)
        except Exception as error:
            loaded.problems.append(f"“{name}” is without its place and colours: {explain(error)}")
            loaded.header |= {"placement": {}, "classes": [], "own_colors": False, "model": ""}
            self._add_labels(one.saved, loaded)
        if not image:
            return ""
        if any(is_image(layer) and layer.name == image for layer in self.viewer.layers):
            return (
                f"; the “{image}” that is open has other pixels or another size than the one "
                "that they were made of: open that to go on with the model"
            )
        return f"; open its image “{image}” to go on with the model"

    # ------------------------------------------------------------------ into the viewer

    def _add_result(self, saved: AutosavedLayer, loaded: Loaded, source: Source) -> None:
        result = _make_result(self.desk, loaded, source)
        self.autosave.track(result.layer, saved)
        self.desk.add_result(result)

    def _add_labels(self, saved: AutosavedLayer, loaded: Loaded) -> None:
        header = loaded.header
        classes: Any = [SimpleNamespace(**c) for c in header["classes"]]
        placed = _placed(header)
        looks: dict[str, Any] = {"features": class_features(classes)} if classes else {}
        if classes and header["own_colors"]:
            looks["colormap"] = colormap(classes)
        by_model = bool(header["model"])
        metadata: dict[str, Any] = {"annotator": header["annotator"]}
        if by_model:
            metadata["spad"] = _known(loaded) | {"by_hand": loaded.by_hand}
        layer = self.viewer.add_labels(
            loaded.labels, name=header["name"], metadata=metadata, opacity=0.5, **looks, **placed
        )
        if by_model:
            by_hand = self.viewer.add_labels(
                loaded.by_hand,
                name=f"{header['name']} – by hand",
                colormap=hand_colormap(),
                metadata={"role": "aid", "by_hand_of": header["image"]},
                **placed,
            )
            by_hand.contour = 1
            hand = Hand(layer, loaded.by_hand, lambda _: by_hand.refresh())
            self._waiting.append(_Waiting(layer, by_hand, hand, loaded))
        self.viewer.layers.selection.active = layer
        tracked = self.autosave.track(layer, saved)
        tracked.model, tracked.origin = header["model"], header["origin"]
        tracked.locked = list(header["locked"])

    # ------------------------------------------------------------------ an image comes later

    def _on_inserted(self, event: Any) -> None:
        if self._waiting and (source := _source(event.value, self.viewer)) is not None:
            self._look_for(source)

    def _look_for(self, source: Source) -> None:
        """Look among the labels that wait for those made of an image."""
        if self._waiting:
            loaded = [one.loaded for one in self._waiting]
            self._start(self._on_matched, _first_match, loaded, source)

    def _on_matched(self, answer: tuple[Loaded, Source] | None) -> None:
        if answer is None:
            return
        loaded, source = answer
        one = next((w for w in self._waiting if w.loaded is loaded), None)
        if one is None or source.layer not in self.viewer.layers:
            return
        self._forget(one)
        name = loaded.header["name"] = one.layer.name
        loaded.labels = one.layer.data  # with the strokes made since
        for layer in (one.layer, one.by_hand):
            layer.name = f"{layer.name} (without its image)"
        result = _make_result(self.desk, loaded, source)
        self.autosave.hand_over(one.layer, result)
        for layer in (one.layer, one.by_hand):
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        self.desk.add_result(result)
        self.desk.say(f"“{name}” is joined to “{source.name}” again.")
        self._look_for(source)  # there may be more of it

    def _on_removed(self, event: Any) -> None:
        for one in [w for w in self._waiting if w.layer is event.value]:
            self._forget(one)

    def _forget(self, one: _Waiting) -> None:
        one.hand.stop()
        self._waiting.remove(one)


def _make_result(desk: Desk, loaded: Loaded, source: Source) -> Result:
    from spad.checkpoint import LabelClass

    header = loaded.header
    classes = [
        LabelClass(c["value"], c["name"], tuple(c["color"]), c.get("terminology"))
        for c in header["classes"]
    ]
    result = Result(desk.viewer, source, classes, header["model"])
    result.origin = header["origin"]
    result.layer.data[...] = loaded.labels
    result.hand.mask[...] = loaded.by_hand
    for index, part in loaded.model.items():
        result.written[index] = part.written
        result.uncertainty.data[index] = part.uncertainty
        at = result.part(index)
        if part.packed is not None and part.packed.shape[1:] == (at.height, at.width):
            result.packed[index] = part.packed
    result.locked |= set(header["locked"])
    result.runs = _known(loaded)["provenance"]
    if header["annotator"]:
        result.layer.metadata["annotator"] = header["annotator"]
    result.layer.name = header["name"]
    for layer in (result.layer, result.by_hand, result.uncertainty):
        layer.refresh()
    return result


def _known(loaded: Loaded) -> dict[str, Any]:
    header = loaded.header
    return {
        "notice": header["notice"],
        "image": header["image"],
        "classes": header["classes"],
        "provenance": [
            {"bscan": list(index), **part.provenance}
            for index, part in sorted(loaded.model.items())
        ],
    }


def _placed(header: dict[str, Any]) -> dict[str, Any]:
    """What a header says of the layer's place, and nothing else it may have come to say."""
    keys = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
    placed = {key: value for key, value in header["placement"].items() if key in keys}
    if "axis_labels" in placed:
        placed["axis_labels"] = tuple(placed["axis_labels"])
    return placed


# ---------------------------------------------------------------------- which image it was


def _source(layer: Any, viewer: Any) -> Source | None:
    if not is_image(layer):
        return None
    try:
        return open_source(layer, viewer, whole_stack=False)
    except ValueError:
        return None


def _load(
    session: Session, layers: list[AutosavedLayer], sources: list[Source]
) -> tuple[list[_Found], list[str]]:
    """Take the layers over and read them; what fails is told, and stays where it is."""
    found, said = [], []
    for saved in layers:
        try:
            saved.read_header()
            if saved.folder.parent != session.folder:
                saved = move(saved, session)
            loaded = saved.load(FIRST)
            with suppress(OSError):
                saved.set_aside_damaged(loaded)
            source = next((s for s in sources if _fits(loaded, s)), None)
            found.append(_Found(saved, loaded, source))
        except Exception as error:
            # An exception that left the worker would be shown as a traceback.
            said.append(explain(error))
    return found, said


def _first_match(waiting: list[Loaded], source: Source) -> tuple[Loaded, Source] | None:
    return next(((loaded, source) for loaded in waiting if _fits(loaded, source)), None)


def _fits(loaded: Loaded, source: Source) -> bool:
    """Whether a layer was made from this image."""
    if not loaded.header["model"] or source.shape != tuple(loaded.labels.shape):
        return False
    if loaded.labels.dtype != np.uint8:  # no model wrote these
        return False
    hashes = {
        index: part.provenance["image_sha256"]
        for index, part in loaded.model.items()
        if part.provenance.get("image_sha256")
    }
    if not hashes:
        return source.name == str(loaded.header["image"])
    return source.shows(hashes)
