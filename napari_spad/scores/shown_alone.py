"""One structure shown alone, in the segmentation and in the reference. No Qt in here."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_spad.desk import Escapes
from napari_spad.layers import StructureControls
from napari_spad.scores.live_scores import LiveScores
from spad.checkpoint import IGNORE

if TYPE_CHECKING:
    from napari.layers import Labels

__all__ = ["Alone"]


class Alone:
    """Which structure is shown alone, and how both layers look therefore.

    Parameters
    ----------
    live : LiveScores
        Knows which values of the reference are which structure.
    structures : StructureControls
        Knows what is hidden.
    on_change : callable
        Called after the layers look otherwise.
    escapes : Escapes

    Attributes
    ----------
    code : int or None
        The class that is shown alone.
    """

    def __init__(
        self,
        live: LiveScores,
        structures: StructureControls,
        on_change: Callable[[], None],
        escapes: Escapes,
    ) -> None:
        self._live, self._structures, self._on_change = live, structures, on_change
        self._escapes = escapes
        self.code: int | None = None
        self._followed: tuple[Labels | None, Labels | None] = None, None

    def follow(self, segmentation: Labels, reference: Labels | None) -> None:
        """Act on these layers from now on."""
        self._followed = segmentation, reference
        if self._structures.hidden(segmentation):
            self.dress()

    @property
    def segmentation(self) -> Labels | None:
        """The segmentation that is followed."""
        return self._followed[0]

    def let_go(self) -> None:
        """Leave both layers as they were."""
        segmentation, reference = self._followed
        self.show_all()
        if segmentation is not None and segmentation is not self._live.segmentation:
            self._structures.undress(segmentation)
        if reference is not None:
            self._structures.undress(reference)
        self._followed = None, None

    def show(self, code: int) -> None:
        """Dim all structures but one, in the segmentation and in the reference."""
        if self.code is None:
            for layer in filter(None, self._followed):
                self._escapes.add(layer, self.show_all)
        self.code = code
        self.dress()

    def show_all(self) -> None:
        """Show all structures again."""
        if self.code is not None:
            for layer in filter(None, self._followed):
                self._escapes.remove(layer, self.show_all)
            self.code = None
            self.dress()

    def dress(self) -> None:
        """Let both layers look as the eyes and the choice of one alone ask for."""
        live, alone = self._live, self.code
        segmentation, reference = self._followed
        if segmentation is not live.segmentation:
            return  # it was given other data, and is about to be let go
        if segmentation is not None:
            ours = None if alone is None else {live.values[alone]}
            self._structures.looks(segmentation).apply(live.values, ours)
        if segmentation is not None and reference is not None:
            unseen = self._structures.hidden(segmentation)
            classes = {v: code for v, code in live.translation.items() if code and v != IGNORE}
            looks = self._structures.looks(reference)
            looks.hidden = {v for v, code in classes.items() if live.values[code] in unseen}
            theirs = {v for v, code in classes.items() if code == alone}
            looks.apply([*classes, 0], None if alone is None else theirs)
        self._on_change()
