"""The panel “Segment”: what to segment with what, where it goes, and the run."""

from __future__ import annotations

import os.path
from collections.abc import Sequence
from typing import Any

from spad.annotation import left_alone
from spad.cases import Layout
from SPADLib.desk import (
    FIRST,
    Desk,
    Done,
    Request,
    RunBox,
    StructureMenu,
    events,
    go_to,
    word_for,
    worded,
)
from SPADLib.host import get
from SPADLib.scene import Result, Source, array_of, open_source, refuse_replaced, results
from SPADLib.segment.layout_panel import LayoutPanel
from SPADLib.segment.model_panel import ModelPanel
from SPADLib.segment.preflight_panel import PreflightPanel

__all__ = ["SegmentPanel"]

AS_SHOWN, YES, NO = "as it is shown", "yes", "no"


class SegmentPanel:
    """Fills and reads the section “Segment” of the module's panel.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
    runs : RunBox
    which : sequence of str
        What the parameter node calls all B-scans, the one on screen, a range.
    model : str
        The parameter node's, where no person has chosen one.
    """

    def __init__(self, desk: Desk, ui: Any, runs: RunBox, which: Sequence[str], model: str) -> None:
        self.desk, self.ui, self.runs = desk, ui, runs
        self._all, self._current, self._range = which
        self.models = ModelPanel(desk, ui)
        self.layout = LayoutPanel(desk, ui)
        self.preflight = PreflightPanel(desk, ui, self.models, self.input, self.bscans)
        self._targets: list[Any] = []
        self._seen: Any = None
        self._volume = ""
        self._default = self._proposed = model
        self._filling = False
        for text in (AS_SHOWN, YES, NO):
            ui.invertedCombo.addItem(text)
        self.structures = StructureMenu(ui.structuresButton)
        ui.invertedCombo.currentIndexChanged.connect(lambda *_: self.preflight.look_soon())
        ui.intoCombo.currentIndexChanged.connect(lambda *_: self._fill_structures())
        ui.segmentButton.clicked.connect(lambda *_: self.segment())
        desk.on("parameters", self.refresh)
        desk.on("result", self._fill_targets)
        desk.on("structures", self._fill_structures)
        desk.on("busy", self._on_busy)

    # ------------------------------------------------------------------ what is chosen

    def input(self) -> Source:
        """The volume that is chosen, opened.

        Raises
        ------
        ValueError
            None is, or it is no image.
        """
        volume = self.desk.parameters.inputVolume
        chosen = get(self.ui.invertedCombo, "currentText")
        layout = Layout() if volume is None else self.desk.layout(volume)[0]
        inverted = None if chosen in ("", AS_SHOWN) else chosen == YES
        return open_source(volume, layout, inverted=inverted)

    def bscans(self, source: Source) -> range:
        """B-scans that are asked for."""
        asked = self.desk.parameters.bscans
        if asked == self._current:
            at = self.desk.bscan_of(source.volume)
            return range(at, at + 1)
        if asked == self._range:
            first, last = (get(w, "value") for w in (self.ui.firstSpin, self.ui.lastSpin))
            if first > last:
                raise ValueError(
                    f"The range of B-scans ends at {last}, before it begins at {first}: turn it"
                )
            return range(first - FIRST, last - FIRST + 1)
        return range(source.depth)

    def request(self, bscans: range, **more: Any) -> Request:
        """What to run with the choices as they are.

        Raises
        ------
        ValueError
            No model is chosen, or its file is gone.
        """
        p, path = self.desk.parameters, self.models.checkpoint
        if path is None:
            raise ValueError("No model is chosen: pick one, or open a checkpoint file")
        if not os.path.isfile(path):
            raise ValueError(f"The checkpoint {path} is gone: choose another model")
        return Request(
            path, self.models.asked, bscans, p.samples or None, p.steps or None, p.seed, **more
        )

    # ------------------------------------------------------------------ showing the choices

    def refresh(self) -> None:
        """Show what the parameter node says."""
        p = self.desk.parameters
        if p is None:
            return
        volume = p.inputVolume
        self._propose_model(volume)
        self.models.refresh()
        self._choose_word(volume)
        seen = (
            volume and (volume.GetID(), volume.GetAttribute("SPAD.layout"), volume.GetMTime()),
            p.checkpoint,
            p.samples,
            p.steps,
            p.bscans,
            p.device,
        )
        ranged = p.bscans == self._range
        for widget in (self.ui.firstSpin, self.ui.lastSpin, self.ui.toLabel):
            widget.setVisible(ranged)
        if seen != self._seen:
            self._seen = seen
            self.layout.refresh()
            self._fill_targets()
            self.preflight.look_soon()
        self._enable()

    def _propose_model(self, volume: Any) -> None:
        """Choose the model that another volume is for, unless a person has chosen one."""
        before, self._volume = self._volume, "" if volume is None else volume.GetID()
        if self._volume in ("", before):
            return
        p = self.desk.parameters
        if p.checkpoint in (self._default, self._proposed):
            name = volume.GetAttribute("SPAD.model")
            self._proposed = name if name and self.models.knows(name) else self._default
            p.checkpoint = self._proposed

    def _choose_word(self, volume: Any) -> None:
        try:
            layout = Layout() if volume is None else self.desk.layout(volume)[0]
            depth = 1 if volume is None else array_of(volume).shape[layout.axis]
            card = self.models.card()
            word = word_for(volume, depth, () if card is None else card.classes)
        except (ValueError, OSError):  # told by those who need them
            word = "B-scan"
        self.desk.input_word = word
        self.ui.bscansCombo.setItemText(0, worded(self._all, word))

    # ------------------------------------------------------------------ where it is written

    def _fill_targets(self) -> None:
        volume = self.desk.parameters.inputVolume
        self._filling = True
        self._targets = [None]
        self.ui.intoCombo.clear()
        self.ui.intoCombo.addItem("a new segmentation")
        for result in [] if volume is None else results(volume.GetScene()):
            if result.volume is volume:
                self._targets.append(result.segmentation)
                name = result.segmentation.GetName()
                self.ui.intoCombo.addItem(f"“{name}”, where nobody painted")
        self._filling = False
        self._fill_structures()

    def target(self) -> Result | None:
        """The result that a run is taken into; None: a new one.

        Raises
        ------
        ValueError
            It was removed meanwhile.
        """
        index = get(self.ui.intoCombo, "currentIndex")
        node = self._targets[index] if 0 <= index < len(self._targets) else None
        if node is None:
            return None
        if node.GetScene() is None or (found := self.desk.known(node)) is None:
            raise ValueError(
                f"“{node.GetName()}” or its volume was removed from the scene: choose again where "
                "the run is written to"
            )
        return found

    def _fill_structures(self) -> None:
        if self._filling:
            return
        try:
            target = self.target()
        except ValueError:  # told when it is pressed
            target = None
        self.structures.fill(() if target is None else target.classes[1:])
        self.ui.structuresButton.setVisible(target is not None)

    # ------------------------------------------------------------------ the run

    def segment(self) -> None:
        """Run the model with the choices as they are."""
        try:
            source = self.input()
            bscans = self.bscans(source)
            target = self.target()
            card = self.models.card()
            if target is not None:
                self._refuse(target, source, bscans, card)
            structures = None if target is None else [c.value for c in self.structures.ticked()]
            if structures == []:
                raise ValueError("No structure is ticked that may change: tick some")
            here = self.desk.bscan_of(source.volume)
            ask = self.request(
                bscans,
                probability=self.desk.parameters.probability,
                current=here if here in bscans else None,
            )
            nodes = [source.volume, *([] if target is None else [target.segmentation])]
            self.runs.start(
                events(self.desk.engine, ask, source),
                nodes,
                lambda done: self._take(done, source, target, structures),
            )
        except Exception as error:
            self.desk.fail(error)

    def _refuse(self, target: Result, source: Source, bscans: range, card: Any) -> None:
        """Refuse to write into a result what does not belong there."""
        if target.layout != source.layout:
            raise ValueError(
                f"“{target.segmentation.GetName()}” has its B-scans along {target.layout.code}, "
                f"the volume now along {source.layout.code}: choose “a new segmentation”"
            )
        if card is not None:
            target.refuse_others(card.classes)
        refuse_replaced(source, target, remedy="choose “a new segmentation”")
        if not set(bscans) - target.accepted():
            raise ValueError(left_alone(bscans))

    def _take(
        self, done: Done, source: Source, target: Result | None, structures: list[int] | None
    ) -> str:
        made = done.segmentation
        self.preflight.note(done)
        count = len(made.labels)
        said = "".join(f" {text}." for text in made.provenance.get("said", []))
        said += self._replaced(done, source)
        if target is None:
            result = Result.create(
                source.volume,
                source.layout,
                made,
                first=done.first,
                probability=made.probability is not None,
            )
            self.desk.take_result(result)
            self._show(result)
            self.desk.tell_written(result)
            self.ui.tabs.setCurrentIndex(1)
            found = [c.name for c in result.classes[1:] if (made.labels == c.value).any()]
            what = ", ".join(found) or "no structure"
            return f"Segmented {count} B-scan{'s' * (count > 1)}: {what} found.{said}"
        self.desk.tell("writing")
        held = target.accepted() & set(range(done.first, done.first + count))
        changed = target.take(made, done.first, structures=structures)
        self.desk.history.add(target, changed)
        self.desk.take_result(target)
        self.desk.tell_written(target)
        pixels = sum(c.pixels for c in changed)
        told = f"{pixels:,} pixels changed in {len(changed)} of {count} B-scans.{said}"
        return f"{told} {left_alone(held)}".rstrip()

    def _replaced(self, done: Done, source: Source) -> str:
        """Say that the pixels are others than those that the run read."""
        now = open_source(source.volume, source.layout, inverted=source.inverted)
        name, made = source.volume.GetName(), done.segmentation
        if now.stack.shape != source.stack.shape:
            raise ValueError(
                f"“{name}” became {now.stack.shape} pixels while it was segmented, and was "
                f"{source.stack.shape}: segment it again"
            )
        run = {**made.provenance, "bscans": [done.first, len(made.labels)]}
        if now.shows([run]):
            return ""
        return f" The pixels of “{name}” were replaced meanwhile; this is of those before."

    def _show(self, result: Result) -> None:
        here = self.desk.bscan_of(result.volume)
        self.desk.show(result)
        if self.desk.view is not None:
            go_to(self.desk.view, result.volume, result.layout, here)

    def _enable(self) -> None:
        self.ui.segmentButton.setEnabled(not self.runs.busy)

    def _on_busy(self) -> None:
        self._enable()
        if not self.runs.busy:
            self.preflight.look_soon()  # the pace may be known by now
