"""Scans of devices and public data sets, changed: what is read is whole, or it is refused."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from kept_kinds import told
from mutators import mutated

__all__ = ["SCAN_KINDS"]

Case = Callable[[Random], bool]


def e2e(folder: Path) -> Case:
    """Heidelberg's files, written by eyepy's structures; what lacks B-scans says so."""
    from makers import e2e as write

    from napari_spad.read import opened_layers
    from napari_spad.read.e2e import read_e2e

    opened_layers._data_folder = lambda: folder
    raw = np.random.default_rng(0).integers(0, 63 << 10, (3, 12, 17)).astype(np.uint16)
    whole = write(folder / "a.e2e", raw).read_bytes()
    truth = read_e2e(folder / "a.e2e")[0][0]
    path = folder / "x.e2e"

    def case(rng: Random) -> bool:
        cut = rng.random() < 0.2
        path.write_bytes(whole[: rng.randrange(len(whole))] if cut else mutated(whole, rng))
        done, layers = told((path.name,), lambda: read_e2e(path))
        if not done:
            return False
        for data, settings, _ in layers:
            assert data.ndim in (2, 3) and data.dtype == np.uint8
            assert all(np.isfinite(s) and s > 0 for s in settings["scale"])
        assert len(truth) == len(layers[0][0]) or layers[0][1]["metadata"]["notes"]
        if cut:
            np.testing.assert_array_equal(layers[0][0], truth)
        return True

    return case


def cubes(folder: Path) -> Case:
    """Zeiss's bare pixels: of a known length, of a typed size, or refused."""
    from spad.pictures import CubeSize, read_scan

    path, pixels = folder / "a.img", np.random.default_rng(0).integers(0, 256, 7000, np.uint8)
    known = folder / "known.img"  # of zeros, which take no room on the disk
    known.write_bytes(b"\7")
    small, odd = (1, 2, 5, 7, 10, 35), (0, 3, -1, 2**20, 2**31, 2**63, 10**30)
    mm = (0.0, 2.0, 6.0), (-1.0, math.nan, math.inf, 1e-320, 1e308)

    def case(rng: Random) -> bool:
        if rng.random() < 0.01:
            cut = rng.choice((0, 0, 1, 512, 2**20))
            os.truncate(known, 128 * 1024 * 512 - cut)
            done, scan = told((known.name,), lambda: read_scan(known))
            assert done is not bool(cut)
            assert not done or scan.pixels[0, -1, -1] == 7
            return done
        count = rng.choice((7000, 7000, 6999, rng.randrange(7000), 0, 1))
        path.write_bytes(pixels[:count].tobytes())
        shape = [rng.choice(rng.choice((small, small, small, odd))) for _ in range(3)]
        if rng.random() < 0.7:
            shape[2] = 7000 // max(1, abs(math.prod(shape[:2]))) or 1
        try:
            size = CubeSize.of(shape, [rng.choice(mm[rng.random() < 0.1]) for _ in range(3)])
        except ValueError as error:
            assert len(str(error)) > 40, repr(error)
            return False
        done, scan = told((path.name,), lambda: read_scan(path, size))
        if done:
            z, y, x = scan.pixels.shape
            assert [z, y, x] == shape and count == z * y * x * scan.pixels.itemsize
            whole = pixels[:count].view(scan.pixels.dtype).reshape(shape)
            np.testing.assert_array_equal(scan.pixels, whole[:, ::-1, ::-1])
            assert all(s is None or (np.isfinite(s) and s > 0) for s in scan.scale.spacing_mm)
        return done

    return case


def public_sets(folder: Path) -> Case:
    """Duke's, OCT5k's and RETOUCH's layouts with one file changed, cut, lost or renamed."""
    from spad.cases import open_folder
    from spad.train.data import check
    from spad.train.imports import duke, oct5k, retouch

    both = {"seed": 0, "progress": lambda *_: None}
    sets: dict[str, Callable[..., Any]] = {
        "duke": partial(duke.import_duke, reader=1, **both),
        "oct5k": partial(oct5k.import_oct5k, grading=1, **both),
        "retouch": partial(retouch.import_retouch, **both),
    }
    for name in sets:
        shutil.rmtree(folder / name, ignore_errors=True)  # of a process that ended
        globals()[f"_{name}"](folder / name)

    def act(name: str, root: Path, target: Path, rng: Random) -> tuple[bool, Any]:
        words = {"structures": rng.choice(("fluid", "layers"))} if name == "duke" else {}
        names = [root.name, target.name, *(p.name for p in root.rglob("*"))]
        return told(tuple(names), lambda: sets[name](root, target, **words))

    def cases_of(target: Path) -> dict[str, bytes]:
        return {str(p.relative_to(target)): p.read_bytes() for p in target.rglob("*.*")}

    def case(rng: Random) -> bool:
        name = rng.choice(("duke", "oct5k", "oct5k", "retouch", "retouch"))  # a process a file
        root, target = folder / "src", folder / "dst"
        for old in (root, target):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(folder / name, root)
        state, fate = rng.getstate(), rng.random()
        file = rng.choice(sorted(p for p in root.rglob("*") if p.is_file()))
        whole = file.read_bytes()
        if cut := fate < 0.25:
            file.write_bytes(whole[: rng.randrange(len(whole))])
        elif fate < 0.3:
            file.unlink()
        elif fate < 0.35:
            file.rename(file.with_name(rng.choice(("x", "a b", "é", "A" * 200)) + file.suffix))
        else:
            file.write_bytes(mutated(whole, rng))
        done, report = act(name, root, target, Random(str(state[1][0])))
        assert done or not target.exists()
        if not done:
            return False
        opened = open_folder(target)
        check([opened], None, [*opened.splits])
        for one in (c for cases in opened.splits.values() for c in cases):
            assert all(np.isfinite(s) and s > 0 for s in one.spacing_mm or ())
        assert report.text()
        if cut:  # read whole, or refused
            found = cases_of(target)
            file.write_bytes(whole)
            shutil.rmtree(target)
            assert act(name, root, target, Random(str(state[1][0])))[0]
            assert cases_of(target) == found
        return True

    return case


def _duke(root: Path) -> None:
    from scipy.io import savemat

    root.mkdir()
    for number in (1, 2):
        fluid, layers = np.full((30, 12, 3), np.nan), np.full((8, 12, 3), np.nan)
        fluid[..., 1] = 0
        fluid[20:23, 5:9, 1] = 7
        layers[:, 2:-2, 1] = (4 + 3 * np.arange(8))[:, None]
        scan = np.random.default_rng(number).integers(0, 256, (30, 12, 3)).astype(np.uint8)
        content = {"images": scan, "manualFluid1": fluid, "manualLayers1": layers}
        savemat(root / f"Subject_{number:02}.mat", content, do_compression=number == 1)


def _oct5k(root: Path) -> None:
    from PIL import Image

    for n in (1, 2):
        place = Path("AMD Part1", f"AMD ({n}).E2E", "2- 25- 2017 9- 10- 42 PM", f"Image {n}.png")
        values = np.repeat(np.arange(6, dtype=np.uint8), 6)[:, None].repeat(9, axis=1)
        for file, pixels in (
            (root / "Masks" / "Masks_Manual" / "Grading_1" / place, values),
            (root / "Images" / "Images_Manual" / place, values * 40 + n),
        ):
            file.parent.mkdir(parents=True)
            Image.fromarray(pixels).save(file)


def _retouch(root: Path) -> None:
    import SimpleITK

    for number, device in enumerate(("Cirrus", "Spectralis"), 1):
        folder = root / f"RETOUCH-TrainingSet-{device}" / f"TRAIN{number:03}"
        folder.mkdir(parents=True)
        labels = np.zeros((3, 12, 9), np.uint8)
        labels[1, 5:9, 5:9] = number
        scan = np.random.default_rng(number).integers(0, 256, labels.shape).astype(np.uint16)
        for name, values in (("oct", scan), ("reference", labels)):
            image = SimpleITK.GetImageFromArray(values)
            image.SetSpacing((0.0117, 0.0039, 0.047))  # column, row, B-scan
            SimpleITK.WriteImage(image, str(folder / f"{name}.mhd"), useCompression=number == 2)


SCAN_KINDS: dict[str, Callable[[Path], Case]] = {
    one.__name__: one for one in (e2e, cubes, public_sets)
}
