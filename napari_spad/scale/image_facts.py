"""What is known of an image beside its pixels: scale, eye, fovea. No Qt in here.

It stands in the layer's metadata, where readers put it and exports find it. What a person said is
also kept by the image's pixels, so that it is there when the file is opened again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_spad.layers import (
    FROM_LAYER,
    is_image,
    is_straight,
    lengths_mm,
    level_0,
    noted,
    numbered,
)
from napari_spad.scale.kept_facts import KeptFacts
from spad.cases import foreign
from spad.measuring import Scale

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image
    from napari.layers.base import Layer

__all__ = ["PROPOSED", "Facts", "Fovea", "scale_of", "source_of"]

PLACED, PROPOSED = "by hand", "proposed"


@dataclass(frozen=True)
class Fovea:
    """Where the fovea is.

    Parameters
    ----------
    at : (B-scan, column)
        Floats, from 0.
    origin : str
        "proposed", "by hand", or what a reader says.
    """

    at: tuple[float, float]
    origin: str

    @property
    def words(self) -> str:
        """The place in words: "B-scan 12.4, column 250, proposed"."""
        return f"B-scan {numbered(self.at[0], 1)}, column {numbered(self.at[1])}, {self.origin}"

    @property
    def in_files(self) -> str:
        """The same for tables and pages, where B-scans count from 1."""
        bscan, column = self.at
        return f"B-scan {bscan + 1:.1f}, column {column + 1:.0f} (from 1), {self.origin}"


def scale_of(layer: Layer) -> Scale:
    """Scale of a layer: as its reader or a person said, else what napari shows it with.

    Nothing is known of one whose pixels are slanted or stretched by a transform.
    """
    if not is_straight(layer):
        return Scale()
    told = Scale.from_json(layer.metadata.get("scale"))
    return told.now(lengths_mm(layer, min(layer.ndim, 3)), FROM_LAYER)


def _numbers(scale: Scale, layer: Any) -> list[float]:
    return [np.nan if s is None else s for s in scale.spacing_mm[-min(layer.ndim, 3) :]]


class Facts:
    """Scale, eye and fovea of an image, to be read and to be told otherwise.

    Parameters
    ----------
    image : napari.layers.Image
        Or a label layer that has none.
    viewer : napari.components.ViewerModel
        Its layers on the image's grid follow where the scale is typed.
    kept : KeptFacts
        What was said of images before.
    on_change : callable
        Called after something was told otherwise.
    image_of : callable, optional
        Gives the image of a layer where it is known, else None: `source_of` guesses it then.
    """

    def __init__(
        self,
        image: Image,
        viewer: ViewerModel,
        kept: KeptFacts,
        on_change: Callable[[], None],
        image_of: Callable[[Any], Any] = lambda _: None,
    ) -> None:
        self.image, self._viewer, self._kept, self._on_change = image, viewer, kept, on_change
        self._image_of = image_of
        self._key = _key(image)
        said = kept.of(self._key)
        if "scale" in said and not image.metadata.get("scale_opened"):
            self._lay(Scale.from_json(said["scale"]))
        for name in ("eye", "fovea", "first", "date"):
            if name in said:
                self._tell(name, said[name])

    @property
    def shape(self) -> tuple[int, int, int]:
        """(B-scans, rows, columns)."""
        last = level_0(self.image).shape[: self.image.ndim][-3:]
        deep, rows, columns = (1,) * (3 - len(last)) + tuple(int(n) for n in last)
        return deep, rows, columns

    # ------------------------------------------------------------------ scale

    @property
    def scale(self) -> Scale:
        """The scale and its origin."""
        return scale_of(self.image)

    @property
    def straight(self) -> bool:
        """Whether the image's scale is the size of its pixels; see `is_straight`."""
        return is_straight(self.image)

    def type_scale(self, mm: dict[str, float | None]) -> None:
        """Take axes that a person typed, "bscan", "row", "column"; None is unknown.

        Raises
        ------
        ValueError
            A length that is not above 0.
        """
        scale = self.scale.typed(**mm)
        self._lay(scale)
        self._keep("scale", scale.as_json())

    @property
    def typed(self) -> bool:
        """Whether a person typed a part of the scale."""
        return "scale_opened" in self.image.metadata

    def as_opened(self) -> None:
        """Forget what was typed of the scale."""
        self._lay(Scale.from_json(self.image.metadata["scale_opened"]))
        del self.image.metadata["scale_opened"]
        self._keep("scale", None)

    def _lay(self, scale: Scale) -> None:
        """Give the scale to the image, and to all layers that lie on its grid."""
        image = self.image
        image.metadata.setdefault("scale_opened", self.scale.as_json())
        for layer in self._on_grid():
            numbers = _numbers(scale, layer)
            known = [not np.isnan(s) for s in numbers]
            more = layer.ndim - len(numbers)
            layer.scale = [*layer.scale[:more], *np.where(known, numbers, 1.0)]
            layer.units = [*layer.units[:more], *("mm" if k else "pixel" for k in known)]
            layer.metadata["scale"] = scale.as_json()

    # ------------------------------------------------------------------ eye and fovea

    @property
    def eye(self) -> str | None:
        """Either "OD", "OS" or None."""
        told = self.image.metadata.get("eye")
        return told if told in ("OD", "OS") else None

    def choose_eye(self, eye: str | None) -> None:
        """Take which eye it is; None is unknown."""
        self._tell("eye", eye or "")
        self._keep("eye", eye or "")

    @property
    def first(self) -> str | None:
        """Where the first B-scan lies, "inferior" or "superior"; None where nobody said it."""
        told = self.image.metadata.get("first")
        return told if told in ("inferior", "superior") else None

    def choose_first(self, first: str | None) -> None:
        """Take where the first B-scan lies; None is unknown."""
        self._tell("first", first or "")
        self._keep("first", first or "")

    @property
    def date(self) -> str:
        """Day of the visit, "2026-01-31"; empty where it is not known."""
        return str(self.image.metadata.get("date") or "")

    def type_date(self, date: str) -> None:
        """Take the day of the visit; empty is unknown."""
        self.image.metadata["date"] = date
        self._keep("date", date)

    @property
    def fovea(self) -> Fovea | None:
        """Where the fovea is; None where nobody said it, or said a place outside the scan."""
        told, shape = self.image.metadata.get("fovea"), self.shape
        try:
            at = (float(told["at"][0]), float(told["at"][1]))
            origin = str(told["origin"])
        except (TypeError, KeyError, IndexError, ValueError, OverflowError):
            return None
        inside = -0.5 <= at[0] <= shape[0] - 0.5 and -0.5 <= at[1] <= shape[2] - 0.5
        return Fovea(at, origin) if inside else None

    def place_fovea(self, at: tuple[float, float], origin: str = PLACED) -> None:
        """Take a place of the fovea, (B-scan, column); only one placed by hand is kept."""
        told = {"at": [float(at[0]), float(at[1])], "origin": origin}
        self._tell("fovea", told)
        self._keep("fovea", told if origin == PLACED else None)

    def _on_grid(self) -> list[Any]:
        """The image, and the layers on its grid that are its own: exports of labels tell the same.

        Another visit's stack may have the same grid, and another scale, eye and fovea.
        """
        grid, layers = _grid(self.image), self._viewer.layers
        others = [la for la in layers if la is not self.image and _grid(la) == grid]
        of = [self._image_of(la) or source_of(la, layers) for la in others]
        mine = [la for la, image in zip(others, of, strict=True) if image in (self.image, None)]
        return [self.image, *mine]

    def _tell(self, name: str, value: Any) -> None:
        for layer in self._on_grid():
            layer.metadata[name] = value

    def _keep(self, name: str, value: Any) -> None:
        if self._key:
            self._kept.say(self._key, name, value)
        self._on_change()


def source_of(layer: Any, layers: Sequence[Any]) -> Any:
    """The image that a layer belongs to: itself, else the next one of its size, sooner below.

    Of what SPAD made that one which is called as it noted, wherever it was moved.

    Parameters
    ----------
    layer : napari.layers.Layer
    layers : sequence of napari.layers.Layer
        Of the viewer, the lowest first.

    Returns
    -------
    napari.layers.Image or None
        None where no image has the layer's size.
    """
    if is_image(layer):
        return layer
    places = {id(la): at for at, la in enumerate(layers)}
    here = places.get(id(layer), len(places))
    images = [la for la in layers if is_image(la) and _shape(la) == _shape(layer)]
    images = [la for la in images if _grid(la) == _grid(layer)] or images
    known = noted(layer.metadata)
    made_of = known.get("image") or known.get("uncertainty_of") or layer.metadata.get("by_hand_of")
    images = [la for la in images if la.name == made_of] or images
    away = {id(la): places[id(la)] - here for la in images}
    return min(images, key=lambda la: (away[id(la)] > 0, abs(away[id(la)])), default=None)


def _shape(layer: Any) -> tuple[int, ...] | None:
    """Size of an image or of labels; None for layers without pixels."""
    if not _has_pixels(layer):
        return None
    return tuple(int(n) for n in level_0(layer).shape[: layer.ndim])


def _has_pixels(layer: Any) -> bool:
    return hasattr(layer, "data_level")  # of all layers of napari those alone know levels


def _grid(layer: Any) -> Any:
    """What layers on one grid have in common."""
    if not _has_pixels(layer):
        return id(layer)
    return _shape(layer), tuple(layer.scale), tuple(map(str, layer.units))


def _key(image: Any) -> str:
    """Tell an image by its size and the pixels of its middle B-scan: no name, no path.

    Empty where they cannot be read: whoever needs the pixels says why.
    """
    data = level_0(image)
    try:
        with foreign():
            middle = data[tuple(n // 2 for n in data.shape[: image.ndim - 2])]
            middle = np.ascontiguousarray(middle)
    except Exception:  # whatever the reader of a lazy layer raises
        return ""
    return sha256(f"{tuple(data.shape)} {middle.dtype}".encode() + middle.tobytes()).hexdigest()
