"""What was taken over from a model, kept so that it can be taken back."""

from __future__ import annotations

from typing import Any

from SPADLib.scene import Change, Result

__all__ = ["History"]


class History:
    """What was taken over from a model, newest last, to be taken back."""

    def __init__(self) -> None:
        self._done: list[tuple[Result, list[Change]]] = []

    def __len__(self) -> int:
        return len(self._done)

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
        before = len(self)
        self._done = [one for one in self._done if one[1] is not changed]
        return len(self) < before

    def back(self) -> tuple[int, int]:
        """Take the last back; pixels that were, and pixels that were changed.

        What somebody painted since stays.

        Raises
        ------
        ValueError
            Nothing is left to take back, or its segmentation was removed.
        """
        if not self._done:
            raise ValueError("Nothing is left to take back")
        result, changed = self._done.pop()
        if Result.of(result.segmentation) is None or result.segmentation.GetScene() is None:
            raise ValueError("The segmentation that was changed is not in the scene any more")
        return result.take_back(changed), sum(c.pixels for c in changed)
