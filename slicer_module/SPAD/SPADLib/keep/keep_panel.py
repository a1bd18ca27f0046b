"""What autosave kept: the offer to recover it, at the start and when its image is opened."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import slicer

from spad.autosave import AutosavedLayer, Kept, kept_layers, move, prune, throw_away
from spad.cases import file_error
from SPADLib.desk import Desk, go_to
from SPADLib.host import one_shot_timer
from SPADLib.keep.autosave import Autosave, now
from SPADLib.keep.recovery import as_segments, on_volume, volume_of
from SPADLib.keep.saved_lines import lines_on_volume
from SPADLib.lines import LineSet

__all__ = ["KeepPanel"]

NAMED = 2
"""So many are named in an offer."""


class KeepPanel:
    """Works on the offer above the tabs, and on autosave's line in the tab Save.

    Parameters
    ----------
    desk : Desk
    ui : namespace of widgets
        offerFrame, offerLabel, recoverButton, laterButton, forgetButton, keptLabel.
    """

    def __init__(self, desk: Desk, ui: Any) -> None:
        self.desk, self.ui = desk, ui
        self.autosave = Autosave(desk)
        self.offered: list[Kept] = []
        self._copies: list[Kept] = []
        self._headers: dict[Path, dict[str, Any]] = {}
        self._seen: Any = None  # the image for which it was last looked
        self._answered: set[Path] = set()
        self._start = one_shot_timer(0, self.look)  # not before the panel is on screen
        ui.recoverButton.clicked.connect(lambda *_: desk.guarded(self.recover))
        ui.laterButton.clicked.connect(lambda *_: desk.guarded(self.later))
        ui.forgetButton.clicked.connect(lambda *_: desk.guarded(self.forget))
        desk.on("parameters", self._on_parameters)
        desk.on("kept", self._on_kept)
        self._start.start()

    def leave(self) -> None:
        """The scene is about to be closed: write the rest."""
        self.autosave.leave()
        self.look()

    def stop(self) -> None:
        """Write the rest, and let go of the folder."""
        self._start.stop()
        self.autosave.stop()

    # ------------------------------------------------------------------ what there is

    def look(self) -> None:
        """Look what is kept."""
        root = self.autosave.root
        try:
            prune(root)
            self._copies = kept_layers(root)
        except Exception as error:  # nothing that lies there may cost more than itself
            self._copies = []
            self.desk.fail(
                f"What autosave kept cannot be listed ({file_error(error)}): look into {root}"
            )
        for saved in self.autosave.removed:  # of this session, whose folder is locked
            name = saved.read_header()["name"]
            copy = Kept(saved, name, len(saved.places()), saved.seconds(), lost=False)
            self._copies.append(copy)
        self._copies = [copy for copy in self._copies if copy.bscans]
        self._headers = {copy.saved.folder: _header(copy) for copy in self._copies}
        self._offer()

    def _on_parameters(self) -> None:
        chosen: Any = None if self.desk.parameters is None else self.desk.parameters.inputVolume
        image = None if chosen is None else chosen.GetImageData()
        seen = None if image is None else (chosen.GetID(), image.GetMTime())
        if seen != self._seen:
            self._seen = seen
            self._offer()

    def _offer(self) -> None:
        """Offer what was lost, and what is of the image that is chosen."""
        open_ = [one for one in self._copies if one.saved.folder not in self._answered]
        self.offered = [one for one in open_ if one.lost or self._is_of_the_image(one)]
        if self.offered:
            self.ui.offerLabel.setText(self.desk.worded(self._sentence()))
        self.ui.offerFrame.setVisible(bool(self.offered))

    def _is_of_the_image(self, copy: Kept) -> bool:
        chosen = None if self.desk.parameters is None else self.desk.parameters.inputVolume
        header = self._headers[copy.saved.folder]
        if chosen is None or header.get("exported"):
            return False
        return volume_of(header["details"], slicer.mrmlScene, chosen) is chosen

    def _sentence(self) -> str:
        named = [
            f"“{one.name}” ({one.bscans} B-scan{'s' * (one.bscans > 1)}, {_when(one.seconds)})"
            for one in self.offered[:NAMED]
        ]
        more = len(self.offered) - len(named)
        what = " and ".join([*named, *([f"{more} more"] if more else [])])
        was = "was" if len(self.offered) == 1 else "were"
        why = "when Slicer ended" if any(one.lost for one in self.offered) else "with a scene"
        said = f"{what} {was} not saved {why}."
        header = self._headers[self.offered[0].saved.folder]
        found = volume_of(header["details"], slicer.mrmlScene) is not None
        self.ui.recoverButton.setText("Recover" if found else "Recover the segments")
        if not found:
            image = f" “{header['image']}”" if header["image"] else ""
            said += f" Open the image{image} first; without it, only segments come back."
        return said

    def _on_kept(self) -> None:
        trouble, when = self.autosave.trouble, self.autosave.when
        text = f"Autosaved {_when(when)}" if when else ""
        self.ui.keptLabel.setText(f"Not autosaved: {trouble}" if trouble else text)

    # ------------------------------------------------------------------ what is done with it

    def later(self) -> None:
        """Offer these no more in this session."""
        self._answered |= {one.saved.folder for one in self.offered}
        self._offer()

    def forget(self) -> None:
        """Delete these, if that is confirmed."""
        names = ", ".join(f"“{one.name}”" for one in self.offered)
        if not slicer.util.confirmYesNoDisplay(f"Delete {names} for good?", "SPAD"):
            return
        for one in self.offered:
            if self._is_ours(one.saved):
                shutil.rmtree(one.saved.folder)
            else:
                throw_away(one.saved)
            self._drop(one.saved)
        self.look()

    def recover(self) -> None:
        """Bring these back: onto their image, or as segments where it is not in the scene."""
        said: list[str] = []
        problems: list[str] = []
        for one in self.offered:
            try:
                said.append(self._recover(one.saved, problems))
            except Exception as error:  # what is on the disk stays there
                problems.append(
                    f"“{one.name}” could not be recovered ({file_error(error)}); it stays in "
                    f"{one.saved.folder}"
                )
                self._answered.add(one.saved.folder)
        self.look()
        if problems:
            self.desk.fail(" ".join([*said, *problems]))
        else:
            self.desk.say(" ".join(said))

    def _recover(self, saved: AutosavedLayer, problems: list[str]) -> str:
        header = saved.read_header()
        volume = volume_of(header["details"], slicer.mrmlScene)
        if volume is None and header.get("lines"):
            return f"The lines “{header['name']}” come back when you open their image."
        if volume is None:
            loaded = saved.load()
            node = as_segments(loaded, saved.folder, slicer.mrmlScene)
            problems += loaded.problems
            self._answered.add(saved.folder)
            if not loaded.problems:
                with suppress(OSError):  # no longer missed: it is offered with its image
                    saved.save_header({**loaded.header, "removed": now()})
                    self._answered.discard(saved.folder)
            return (
                f"The segments of “{node.GetName()}” are back, without their image. When you open "
                "that, the whole result is offered."
            )
        if not self._is_ours(saved):
            saved = move(saved, self.autosave.session)
        self._drop(saved)
        try:
            loaded = saved.load()
            with suppress(OSError):
                saved.set_aside_damaged(loaded)
            again = lines_on_volume if header.get("lines") else on_volume
            back = again(loaded, saved.folder, volume)
        except Exception:
            self.autosave.removed.append(saved)
            raise
        problems += loaded.problems
        if self.desk.parameters.inputVolume is None:
            self.desk.parameters.inputVolume = volume
        self.autosave.track(back, saved)
        if isinstance(back, LineSet):
            self.desk.tell("lines")
            return f"“{back.name}” is back over “{volume.GetName()}”: Correct, Lines."
        self.desk.take_result(back)
        here = self.desk.bscan_of(volume)
        self.desk.show(back)
        if self.desk.view is not None:
            go_to(self.desk.view, volume, back.layout, here)
        self.ui.tabs.setCurrentIndex(1)
        return f"“{back.segmentation.GetName()}” is back on “{volume.GetName()}”."

    def _is_ours(self, saved: AutosavedLayer) -> bool:
        return saved.folder.parent == self.autosave.session.folder

    def _drop(self, saved: AutosavedLayer) -> None:
        kept: Sequence[AutosavedLayer] = self.autosave.removed
        self.autosave.removed = [one for one in kept if one.folder != saved.folder]


def _header(copy: Kept) -> dict[str, Any]:
    try:
        return copy.saved.read_header()
    except ValueError:  # of a newer version; told when one tries to recover it
        return {"name": copy.name, "image": "", "details": {}}


def _when(seconds: float) -> str:
    then = time.localtime(seconds)
    today = time.strftime("%Y%m%d", then) == time.strftime("%Y%m%d")
    return time.strftime("%H:%M" if today else "%d %b %H:%M", then)
