"""What films a desk for `record.py`: frames with the mouse drawn in, a GIF, small PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from driver import Driver
from PIL import Image, ImageDraw
from qtpy.QtCore import QPoint

from spad.checkpoint import label_classes
from spad.phantom import CLASS_NAMES

FILM_WIDTH_PX = 840
FRAME_MS = 120
LARGEST_BYTES = 3_000_000
FILM_COLORS, STILL_COLORS = 128, 256
BITS = np.array([16, 8, 0])
"""Where a colour's red, green and blue lie in one number."""
FASTER = 1.1
"""From one frame of waiting to the next, for a busy machine lets one wait long."""
ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))
GLIDE_PX = 60
"""From one frame to the next, where the mouse goes from one place to another."""


@dataclass
class Camera:
    """Frames of the window with the mouse drawn in, as the film's time goes by.

    Parameters
    ----------
    filming : bool
        Otherwise nothing is kept.
    """

    filming: bool
    driver: Driver = field(init=False)
    frames: list[Image.Image] = field(default_factory=list)
    times_ms: list[int] = field(default_factory=list)
    speed: float = 1
    _passed: float = 0.0
    _last: QPoint | None = None
    _clean: Image.Image | None = None

    def on_step(self, milliseconds: int) -> None:
        """Let the film's time pass; a frame is taken where one is due."""
        if not self.filming or not hasattr(self, "driver"):
            return
        last = self._last or self.driver.pointer
        way = self.driver.pointer - last
        far = 0 if self.driver.pressed else max(abs(way.x()), abs(way.y())) // GLIDE_PX
        for part in range(1, far + 1):  # the window is as it was
            self.take(last + way * (part / (far + 1)), like=self._clean)
        self._last = QPoint(self.driver.pointer)
        self._passed += milliseconds / self.speed
        if self._passed >= FRAME_MS:
            self._passed = 0.0
            self.speed *= FASTER if self.speed > 1 else 1
            self.take(self.driver.pointer)

    def hold(self, milliseconds: int) -> None:
        """Show what is on screen for a while."""
        if self.filming:
            self.driver.pause(150)
            self.take(self.driver.pointer)
            self.times_ms[-1] = milliseconds

    def take(self, pointer: QPoint, like: Image.Image | None = None) -> None:
        """Take a frame; `like` is a picture of the window that is still true."""
        if like is None:
            shot = self.driver.viewer.screenshot(canvas_only=False, flash=False)
            like = Image.fromarray(shot[..., :3])
        self._clean = like
        frame = like.copy()
        draw = ImageDraw.Draw(frame)
        x, y = pointer.x(), pointer.y()
        if self.driver.pressed:
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), outline=(255, 210, 0), width=3)
        draw.polygon([(x + dx, y + dy) for dx, dy in ARROW], fill="white", outline="black")
        self.frames.append(_smaller(frame))
        self.times_ms.append(FRAME_MS)

    def save(self, path: Path) -> int:
        """Write the GIF; returns its size.

        Raises
        ------
        RuntimeError
            It is too large.
        """
        # One palette for all, so that nothing flickers.
        palette = _palette(self.frames[:: max(1, len(self.frames) // 8)], FILM_COLORS)
        plain = Image.Dither.NONE  # noise does not compress
        indexed = [f.quantize(palette=palette, dither=plain) for f in self.frames]
        indexed[0].save(
            path, save_all=True, append_images=indexed[1:], duration=self.times_ms, loop=0,
            optimize=False, disposal=1,
        )  # fmt: skip
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise RuntimeError(
                f"{path} has {size / 1e6:.1f} MB, more than {LARGEST_BYTES / 1e6:.0f}: fewer "
                "steps, a longer FRAME_MS or fewer FILM_COLORS"
            )
        return size


def _palette(pictures: Sequence[Image.Image], count: int) -> Image.Image:
    """Colours that suit all pictures, those of the structures among them.

    A colour's weight is the logarithm of its pixels: rare ones count beside the greys.
    """
    packed = np.stack([np.asarray(p) // 4 for p in pictures]).reshape(-1, 3) @ (1 << BITS)
    values, counts = np.unique(packed, return_counts=True)
    colors = (values[:, None] >> BITS & 255) * 4 + 2
    weighed = np.repeat(colors, 1 + np.log2(counts).astype(int), axis=0)
    exact = [c for one in label_classes(CLASS_NAMES)[1:] for c in one.color]
    chosen = Image.fromarray(weighed[None].astype(np.uint8)).quantize(
        count - len(exact) // 3, method=Image.Quantize.MEDIANCUT
    )
    palette = Image.new("P", (1, 1))
    palette.putpalette([*(chosen.getpalette() or [])[: 3 * count - len(exact)], *exact])
    return palette


def save_small(path: Path) -> None:
    """Halve a picture: each that is replaced stays in the repository's history."""
    picture = Image.open(path).convert("RGB")
    palette = _palette([picture], STILL_COLORS)
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(path, optimize=True)


def _smaller(frame: Image.Image) -> Image.Image:
    height = round(frame.height * FILM_WIDTH_PX / frame.width)
    return frame.resize((FILM_WIDTH_PX, height), Image.Resampling.LANCZOS)
