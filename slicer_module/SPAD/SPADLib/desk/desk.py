"""What the panels share: the choices, the result at work, the view, and who wants to hear of it."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, MutableMapping
from typing import Any

import slicer

from spad.cases import Layout
from spad.doctor import note
from spad.inference import Engine, explain
from SPADLib.desk.history import History
from SPADLib.desk.views import bscan_at, overlay
from SPADLib.desk.words import overlapping, word_for, worded
from SPADLib.scene import (
    Result,
    array_of,
    guessed_layout,
    ijk_to_ras,
    note_order,
    open_image,
    recovered,
    refusal,
    refuse_replaced,
    results,
)

__all__ = ["Desk"]

VIEW = "vtkMRMLSliceNodeRed"
LAYOUT = "SPAD.layout"
"""Attribute of a volume: how a person said that its B-scans lie."""
SAFE = "The scene and your edits are as they were."


class Desk:
    """State that the panels share.

    Parameters
    ----------
    engine : Engine
    settings : mutable mapping of str to str
        The application's settings.
    show : callable
        Gets a sentence for the person, and whether it is of something that went wrong.

    Attributes
    ----------
    parameters : parameter node of the module, wrapped; None between scenes
    history : History
    written : Result or None
        While "written" is told: in which; a run goes on where another one is chosen meanwhile.
    input_word : str
        What the images of the volume that is chosen are called, for the model that is.
    """

    def __init__(
        self,
        engine: Engine,
        settings: MutableMapping[str, str],
        show: Callable[[str, bool], None],
    ) -> None:
        self.engine, self.settings, self._show = engine, settings, show
        self.parameters: Any = None
        self.history = History()
        self.input_word = "B-scan"
        self._word: tuple[Any, str] = (None, "")
        self._results: dict[str, Result] = {}
        self._labels: Any = None
        self._overlap = 0
        self.written: Result | None = None
        self._seen: dict[str, tuple[int, int, bytes]] = {}
        self._hear: dict[str, list[Callable[[], None]]] = defaultdict(list)
        self._about: Any = None

    # ------------------------------------------------------------------ telling

    def on(self, what: str, call: Callable[[], None]) -> None:
        """Call back when something changed.

        Parameters
        ----------
        what : str
            "parameters", the choices; "result", another is at work; "structures", one was added to
            it; "moved", it was laid anew on its volume; "regridded", that has another grid, so that
            what was drawn before lies elsewhere; "edited", its pixels changed; "writing" and
            "written", a model, or what takes it back, is about to write in it, and has
            (`tell_written`);
            "lines", lines over its volume changed, came or went; "reviewed", a B-scan was accepted
            or skipped; "saved", it was written to a file; "kept", autosave wrote, or could not;
            "view", the slice view moved; "left", a node left the scene; "busy", a run began or
            ended.
        call : callable
        """
        self._hear[what].append(call)

    def tell(self, what: str) -> None:
        """Call who wants to hear of it; what fails in one of them costs the others nothing."""
        for call in self._hear[what]:
            try:
                call()
            except Exception as error:
                logging.exception("SPAD: a panel could not follow %s", what)
                self.fail(error)

    def say(self, text: str) -> None:
        """Show a sentence, until what it is about is on screen no more."""
        self._about = self._on_screen()
        self._show(self.worded(text), False)

    def _on_screen(self) -> Any:
        """The volume and the result that are chosen, and the B-scan on screen."""
        p = self.parameters
        chosen = (None, None) if p is None else (p.inputVolume, p.result)
        try:
            bscan = None if self.result is None else self.bscan()
        except ValueError:
            bscan = None
        return *chosen, bscan

    def hush(self) -> None:
        """Say no more of what something else has come on screen for."""
        now = self._on_screen()
        if self._about is not None and self._about != now and any(now):
            self._about = None
            self._show("", False)

    def fail(self, error: BaseException | str) -> None:
        """Show what went wrong, in words."""
        note(error)
        self._about = self._on_screen()
        text = error if isinstance(error, str) else explain(error, safe=SAFE)
        self._show(self.worded(text), True)

    def guarded(self, call: Callable[[], None]) -> None:
        """Call what a button is for; no error is lost in a signal."""
        try:
            call()
        except Exception as error:
            self.fail(error)

    def tell_edited(self) -> None:
        """Tell that the pixels of the result at work changed: they are read once for all."""
        self.look_at_volume()
        if (result := self.result) is None:  # its volume went, or has another size now
            self.tell("parameters")
            return
        before, read = self._overlap, result.read()
        self._labels, self._overlap = result.layout.stack(read.labels), read.overlap
        if self._overlap not in (0, before):
            self.say(f"⚠ {overlapping(self._overlap)} Scores, measures and models see no other.")
        try:
            self.tell("edited")
        finally:
            self._labels = None

    def tell_written(self, result: Result) -> None:
        """Tell that a model, or what takes it back, has written in a result, at work or not."""
        self.written = result
        try:
            self.tell("written")
        finally:
            self.written = None

    def look_at_volume(self) -> None:
        """Follow the volume of the result at work: say where it was moved, or is another image."""
        if (result := self.result) is None:
            return
        result.follow()
        name, volume = result.segmentation.GetID(), result.volume
        now, grid = volume.GetImageData().GetMTime(), ijk_to_ras(volume).tobytes()
        laid, image, was = self._seen.get(name, (0, now, grid))
        self._seen[name] = result.laid, now, grid
        forgot = ""
        if grid != was:
            self.tell("regridded")
            forgot = " What the Segment Editor could undo before is forgotten."
        if result.laid != laid:
            for other in results(volume.GetScene()):  # it may be the reference
                if other.volume is volume:
                    other.follow()
            self.tell("moved")
            self.say(
                f"“{volume.GetName()}” was moved, or has another spacing: "
                f"“{result.segmentation.GetName()}” was laid on its pixels again.{forgot}"
            )
        elif forgot:
            self.say(f"“{volume.GetName()}” lies on another grid now.{forgot}")
        elif image != now:
            self.guarded(lambda: refuse_replaced(open_image(result, to_show=True), result))

    @property
    def labels(self) -> Any:
        """Label map (Z, H, W) of the result at work while "edited" is told; else None."""
        return self._labels

    # ------------------------------------------------------------------ the result at work

    @property
    def result(self) -> Result | None:
        """The result that is compared, corrected and saved; None where none is chosen."""
        node = None if self.parameters is None else self.parameters.result
        if node is None:
            return None
        if (known := self.known(node)) is not None:
            self._results[node.GetID()] = known  # kept for its samples
        return known

    def need_result(self) -> Result:
        """The result at work.

        Raises
        ------
        ValueError
            There is none.
        """
        if (result := self.result) is None:
            raise ValueError(self.refusal or "Choose a volume and press Segment first")
        return result

    @property
    def refusal(self) -> str:
        """Why the segmentation that is chosen cannot be worked on; empty where none is chosen."""
        node = None if self.parameters is None else self.parameters.result
        return "" if node is None or self.result is not None else refusal(node)

    def recover(self) -> None:
        """Make anew what the segmentation that is chosen lacks of a result; it is said."""
        node = None if self.parameters is None else self.parameters.result
        if node is not None and (said := recovered(node)):
            self.say(said)
        self.look_at_volume()

    def take_result(self, result: Result) -> None:
        """Make a new result the one at work."""
        self._results[result.segmentation.GetID()] = result
        self.parameters.result = result.segmentation
        for other in results(result.volume.GetScene()):  # or both would be seen at once
            if other.volume is result.volume and (display := other.segmentation.GetDisplayNode()):
                display.SetVisibility(other.segmentation is result.segmentation)
        self.tell("result")

    @property
    def word(self) -> str:
        """What the images of the result at work are called: B-scan, slice, or image."""
        if (result := self.result) is None:
            return self.input_word
        about = result.segmentation.GetID(), result.classes
        if self._word[0] != about:  # DICOM's database is asked once
            self._word = about, word_for(result.volume, result.depth, result.classes)
        return self._word[1]

    def worded(self, text: str) -> str:
        """Say a text with this word for B-scan."""
        return worded(text, self.word)

    def known(self, node: Any) -> Result | None:
        """The result that a segmentation is, with its samples where they are at hand."""
        kept = self._results.get(node.GetID())
        if kept is None or kept.segmentation is not node:
            return Result.of(node)
        return None if refusal(node) else kept

    def forget_one(self, segmentation: Any) -> None:
        """Let go of what belongs to a segmentation that leaves the scene."""
        self._results.pop(segmentation.GetID(), None)
        self._seen.pop(segmentation.GetID(), None)
        self.history.forget(segmentation)

    def forget(self) -> None:
        """Let go of all results, as when a scene is closed."""
        self._results.clear()
        self._seen.clear()
        self._word = (None, "")
        self.history.forget()

    # ------------------------------------------------------------------ B-scans on screen

    def show(self, result: Result) -> None:
        """Show a result's image in the slice views, its uncertainty over it if so chosen."""
        doubt = result.uncertainty_node if self.parameters.showUncertainty else None
        overlay(result.volume, doubt)

    def layout(self, volume: Any) -> tuple[Layout, str]:
        """How a volume's B-scans lie, and why so: as a person said, or guessed.

        Raises
        ------
        ValueError
            The volume has no pixels.
        """
        guessed = guessed_layout(volume)
        if code := volume.GetAttribute(LAYOUT):
            try:
                layout = Layout.of(code)
                depth = array_of(volume).shape[layout.axis]
                return layout, f"{depth} along {code[0]}, as you chose"
            except ValueError:
                pass  # a scene may come from anywhere
        return guessed

    def set_layout(self, volume: Any, layout: Layout) -> None:
        """Keep what a person said of a volume, with the scene."""
        volume.SetAttribute(LAYOUT, layout.code)
        note_order(volume)
        self.tell("parameters")

    @property
    def view(self) -> Any:
        """The slice node of the view for B-scans; None without views."""
        return slicer.mrmlScene.GetNodeByID(VIEW)

    def bscan_of(self, volume: Any) -> int:
        """The B-scan of a volume that is on screen."""
        return 0 if self.view is None else bscan_at(self.view, volume, self.layout(volume)[0])

    def bscan(self) -> int:
        """The B-scan of the result at work that is on screen.

        Raises
        ------
        ValueError
            There is no result.
        """
        result = self.need_result()
        return 0 if self.view is None else bscan_at(self.view, result.volume, result.layout)
