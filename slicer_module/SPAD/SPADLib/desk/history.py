"""What was taken over from a model, kept so that it can be taken back."""

from __future__ import annotations

from typing import Any

from spad.annotation import left_alone
from SPADLib.scene import Change, Result

__all__ = ["History"]


class History:
    """What was taken over from a model, newest last, to be taken back: each result's its own."""

    def __init__(self) -> None:
        self._done: list[tuple[Result, list[Change]]] = []

    def of(self, result: Result | None) -> list[list[Change]]:
        """What was taken over into a result and not taken back, the newest last."""
        node = None if result is None else result.segmentation
        return [changed for one, changed in self._done if one.segmentation is node]

    def add(self, result: Result, changed: list[Change]) -> None:
        """Remember what was changed at once; nothing where nothing was."""
        if changed:
            self._done.append((result, changed))

    def forget(self, segmentation: Any = None) -> None:
        """Forget all, as when a scene is closed; or what was done to one segmentation."""
        self._done = [
            one
            for one in self._done
            if segmentation is not None and one[0].segmentation is not segmentation
        ]

    def drop(self, changed: list[Change]) -> bool:
        """Forget one of them, which is taken back by other means; whether it was still there."""
        before = len(self._done)
        self._done = [one for one in self._done if one[1] is not changed]
        return len(self._done) < before

    def back(self, result: Result) -> tuple[int, int, set[int]]:
        """Take the last back that a result took over.

        What somebody painted since stays, and so do B-scans that were accepted since.

        Returns
        -------
        back, changed : int
            Pixels that are as before, and that were changed in B-scans that are not accepted.
        held : set of int
            B-scans that stay since they are accepted.

        Raises
        ------
        ValueError
            Nothing is left to take back, all of it is accepted, or the segmentation was removed.
        """
        if not (done := self.of(result)):
            raise ValueError("Nothing is left to take back")
        if Result.of(result.segmentation) is None or result.segmentation.GetScene() is None:
            raise ValueError("The segmentation that was changed is not in the scene any more")
        held = result.accepted() & {c.bscan for c in done[-1]}
        todo = [c for c in done[-1] if c.bscan not in held]
        if not todo:
            raise ValueError(left_alone(held))
        self.drop(done[-1])
        return result.take_back(todo), sum(c.pixels for c in todo), held
