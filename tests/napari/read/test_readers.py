"""Files into layers: spacing only where it is known, the vendor's lines, and no words but ours.

Files are made here; the marked tests read the developers' real ones.
"""

from __future__ import annotations

import itertools
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("napari")

from makers import e2e
from napari.layers import Layer
from PIL import Image as Picture

from napari_spad.layers.geometry import spacing_mm
from napari_spad.read import reader
from napari_spad.read.folder import _natural, folder_stack
from napari_spad.read.opened_layers import bands, pseudonym
from napari_spad.read.reader import get_reader, read
from spad.borders import Lines, write_lines
from spad.measuring import Scale


@pytest.fixture(autouse=True)
def keys(tmp_path_factory, monkeypatch) -> Path:
    """Pseudonyms' key in a folder of the test, not in the user's data."""
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setattr("napari_spad.read.opened_layers._data_folder", lambda: folder)
    return folder


def layers(path: Path) -> list[Layer]:
    """What napari makes of a file."""
    return [Layer.create(*data) for data in read(path)]


def told(layer: Layer) -> str:
    """A layer's scale in words."""
    return Scale.from_json(layer.metadata["scale"]).words


def heyex_vol(
    path: Path, *, bscans: int = 3, pattern: int = 3, patient: bytes = b"Study-7"
) -> np.ndarray:
    """Write a ``.vol`` of 40x50 pixels with two layer lines; give its intensities."""
    height, width, header = 40, 50, 256 + 2 * 4 * 50
    raw = bytearray(2048)
    raw[:11] = b"HSF-OCT-103"
    struct.pack_into("<3i3d2i", raw, 12, width, bscans, height, 0.011, 0.12, 0.004, 6, 5)
    struct.pack_into("<2d", raw, 56, 1.0, 2.0)  # of the fundus: a pixel's width and height
    raw[84:86] = b"OS"
    struct.pack_into("<q", raw, 88, 132015748890000000)  # 6 May 2019, 00:08 UTC
    struct.pack_into("<2i", raw, 96, pattern, header)
    raw[140 : 140 + len(patient)] = patient
    values = np.random.default_rng(0).random((bscans, height, width), np.float32)
    values[:, :, :4] = np.float32(3.4e38)
    content = bytes(raw) + bytes(6 * 5)
    for z in range(bscans):
        one = bytearray(256)
        one[:11] = b"HSF-BS-103\0"
        struct.pack_into("<i", one, 12, header)
        struct.pack_into("<4d", one, 16, 1.0, 5 - 0.12 * z, 6.0, 5 - 0.12 * z)
        struct.pack_into("<2i", one, 48, 2, 256)
        lines = np.stack([np.full(width, 10.0), np.full(width, 30.0)]).astype("<f4")
        lines[:, :6] = 3.4e38
        content += bytes(one) + lines.tobytes() + values[z].tobytes()
    path.write_bytes(content)
    return values


def test_a_vol_comes_with_greys_spacing_and_the_vendors_bands(tmp_path: Path):
    values = heyex_vol(tmp_path / "a.vol")
    image, reference = layers(tmp_path / "a.vol")
    assert (image.name, image.data.dtype) == ("OCT OS", np.uint8)
    np.testing.assert_array_equal(
        image.data[..., 4:], np.round(values[..., 4:] ** 0.25 * 255).astype(np.uint8)
    )
    assert not image.data[..., :4].any()  # 3.4e38: no pixel
    for layer in (image, reference):
        np.testing.assert_allclose(layer.scale, (0.12, 0.004, 0.011))
        assert {str(u) for u in layer.units} == {"millimeter"}
    assert image.axis_labels == ("B-scan", "row", "column")
    assert told(image) == "11 × 4 µm, B-scans 120 µm, in the file"
    known = {k: image.metadata[k] for k in ("eye", "first", "date")}
    assert known == {"eye": "OS", "first": "inferior", "date": "2019-05-06"}
    assert reference.metadata["role"] == "reference"
    assert list(reference.features["name"]) == ["background", "ILM to BM"]
    column = reference.data[1, :, 20]
    assert np.flatnonzero(column).tolist() == list(range(10, 30))
    assert not reference.data[..., :6].any()


def test_the_fundus_comes_with_the_bscans_places(tmp_path: Path):
    heyex_vol(tmp_path / "a.vol")
    raw = bytearray((tmp_path / "a.vol").read_bytes())
    assert "fundus" not in layers(tmp_path / "a.vol")[0].metadata  # a pixel of 1 mm is none
    struct.pack_into("<2d", raw, 56, 0.5, 0.25)
    raw[2048:2078] = range(30)
    (tmp_path / "a.vol").write_bytes(raw)
    fundus = layers(tmp_path / "a.vol")[0].metadata["fundus"]
    np.testing.assert_array_equal(fundus["pixels"], np.arange(30).reshape(5, 6))
    # From (1, 4.88) to (6, 4.88) mm, x and y: row and column of 0.25 by 0.5 mm.
    np.testing.assert_allclose(fundus["scans"][1], [[19.52, 2], [19.52, 12]])
    heyex_vol(tmp_path / "c.vol", bscans=1, pattern=2)
    raw = bytearray((tmp_path / "c.vol").read_bytes())
    struct.pack_into("<2d", raw, 56, 0.5, 0.5)
    struct.pack_into("<4d", raw, 2078 + 16, 6.0, 3.0, 4.0, 3.0)  # temporal in a left eye; middle
    (tmp_path / "c.vol").write_bytes(raw)
    (circle,) = layers(tmp_path / "c.vol")[0].metadata["fundus"]["scans"]
    np.testing.assert_allclose(circle[[0, -1]], [[6, 12], [6, 12]])
    np.testing.assert_allclose(circle[24], [2, 8], atol=1e-9)  # superior after a quarter
    np.testing.assert_allclose(np.hypot(*(circle - (6, 8)).T), 4)


def test_an_xml_export_tells_the_fundus_where_its_picture_is(tmp_path: Path):
    path = heyex_xml(tmp_path)
    assert "fundus" not in layers(path)[0].metadata
    told = """<Image><ImageType><Type>LOCALIZER</Type></ImageType><OphthalmicAcquisitionContext>
    <ScaleX>0.5</ScaleX><ScaleY>0.1</ScaleY></OphthalmicAcquisitionContext>
    <ImageData><ExamURL>file:///\\\\ward\\NIR.tif</ExamURL></ImageData></Image>"""
    path.write_text(path.read_text().replace("<Series>", f"<Series>{told}", 1))
    assert "fundus" not in layers(path)[0].metadata  # it is not beside it
    Picture.fromarray(np.full((9, 16), 7, np.uint8)).save(tmp_path / "NIR.tif")
    fundus = layers(path)[0].metadata["fundus"]
    assert fundus["pixels"].shape == (9, 16)
    np.testing.assert_allclose(fundus["scans"][2], [[2, 2], [2, 14]])


def test_circular_and_radial_scans_open_with_a_word_about_them(tmp_path: Path):
    heyex_vol(tmp_path / "c.vol", bscans=1, pattern=2)
    image, _ = layers(tmp_path / "c.vol")
    assert (image.name, image.data.shape) == ("circular OCT OS", (40, 50))
    assert "optic disc" in image.metadata["notes"][0]
    heyex_vol(tmp_path / "r.vol", pattern=5)
    image, _ = layers(tmp_path / "r.vol")
    assert [str(u) for u in image.units] == ["pixel", "millimeter", "millimeter"]
    assert spacing_mm(image, 2) == pytest.approx((0.004, 0.011))
    assert spacing_mm(image, 3) is None
    assert told(image) == "11 × 4 µm (in the file), distance of the B-scans unknown"
    assert "first" not in image.metadata


@pytest.mark.parametrize("keep", [0, 100, 2047, 2060, 2500, 9000, -1])
def test_a_cut_vol_is_named_with_the_remedy(tmp_path: Path, keep: int):
    heyex_vol(tmp_path / "a.vol")
    (tmp_path / "cut.vol").write_bytes((tmp_path / "a.vol").read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"cut\.vol .*(export|copy)"):
        read(tmp_path / "cut.vol")


def test_a_vol_of_absurd_size_is_refused_before_memory_is_taken(tmp_path: Path):
    heyex_vol(tmp_path / "a.vol")
    raw = bytearray((tmp_path / "a.vol").read_bytes())
    struct.pack_into("<3i", raw, 12, 2**30, 2**30, 2**30)
    (tmp_path / "a.vol").write_bytes(raw)
    with pytest.raises(ValueError, match="cannot be"):
        read(tmp_path / "a.vol")


def heyex_xml(folder: Path, starts=(0.0, 0.1, 0.2), *, line: str = "5 5 5 3e+038") -> Path:
    scans = ""
    for z, y in enumerate(starts):
        Picture.fromarray(np.full((8, 4), 10 * (z + 1), np.uint8)).save(folder / f"B{z}.tif")
        scans += f"""<Image><ImageType><Type>OCT</Type></ImageType>
        <OphthalmicAcquisitionContext><ScaleX>0.011</ScaleX><ScaleY>0.004</ScaleY>
        <Start><Coord><X>1</X><Y>{y}</Y></Coord></Start>
        <End><Coord><X>7</X><Y>{y}</Y></Coord></End></OphthalmicAcquisitionContext>
        <ImageData><ExamURL>file:///\\\\ward\\Doe_John\\B{z}.tif</ExamURL></ImageData>
        <Segmentation><SegLine><Name>ILM</Name><Array>2 2 2 2</Array></SegLine>
        <SegLine><Name>BM</Name><Array>{line}</Array></SegLine></Segmentation></Image>"""
    path = folder / "export.xml"
    path.write_text(
        "<HEDX><BODY><Patient><PatientID>Study-7</PatientID><LastName>Doe</LastName><Study>"
        "<StudyDate><Date><Year>2019</Year><Month>5</Month><Day>6</Day></Date></StudyDate><Series>"
        f"<Laterality>R</Laterality>{scans}</Series></Study></Patient></BODY></HEDX>"
    )
    return path


def test_an_xml_export_opens_with_its_images_wherever_it_was_made(tmp_path: Path):
    image, reference = layers(heyex_xml(tmp_path))
    assert image.name == "OCT OD"
    assert image.data[:, 0, 0].tolist() == [10, 20, 30]
    np.testing.assert_allclose(image.scale, (0.1, 0.004, 0.011))
    assert (
        told(image) == "11 × 4 µm (in the file), B-scans 100 µm (derived from the B-scans' places)"
    )
    assert (image.metadata["eye"], image.metadata["first"]) == ("OD", "superior")
    assert image.metadata["date"] == "2019-05-06"
    assert reference.data[0].tolist() == [[0] * 4] * 2 + [[1, 1, 1, 0]] * 3 + [[0] * 4] * 3


def test_bscans_without_a_common_distance_have_none(tmp_path: Path):
    image, _ = layers(heyex_xml(tmp_path, (0.0, 0.1, 0.5)))
    assert str(image.units[0]) == "pixel"
    assert "not parallel" in image.metadata["notes"][0]


def test_bscans_from_top_to_bottom_are_said_to_turn_the_fields(tmp_path: Path):
    """Circles hold, but S, N, I and T are not where the grid takes them to be."""
    heyex_vol(tmp_path / "a.vol")
    raw = bytearray((tmp_path / "a.vol").read_bytes())
    assert "notes" not in layers(tmp_path / "a.vol")[0].metadata
    begin = raw.index(b"HSF-BS-103")
    for z in range(3):
        at = begin + z * (256 + 2 * 4 * 50 + 4 * 40 * 50)
        struct.pack_into("<4d", raw, at + 16, 1 + 0.12 * z, 6.0, 1 + 0.12 * z, 0.0)
    (tmp_path / "a.vol").write_bytes(raw)
    path = heyex_xml(tmp_path)
    text = path.read_text()
    for y in (0.0, 0.1, 0.2):
        text = text.replace(f"<X>1</X><Y>{y}</Y>", f"<X>{1 + y}</X><Y>6</Y>")
        text = text.replace(f"<X>7</X><Y>{y}</Y>", f"<X>{1 + y}</X><Y>0</Y>")
    path.write_text(text)
    for image in (layers(tmp_path / "a.vol")[0], layers(path)[0]):
        assert "names of the ETDRS fields" in image.metadata["notes"][0]
        assert "first" not in image.metadata
        assert image.units[0] == "millimeter"  # there are volumes


def test_faults_of_an_xml_export_are_said(tmp_path: Path):
    path = heyex_xml(tmp_path, line="nonsense")
    assert len(layers(path)) == 1  # a line that is none is left out, and so is the band
    (tmp_path / "B1.tif").unlink()
    with pytest.raises(OSError, match=r"export\.xml names the image B1\.tif.*whole folder"):
        read(path)
    path.write_text(path.read_text()[:300])
    with pytest.raises(ValueError, match=r"export\.xml is damaged"):
        read(path)
    path.write_text('<!DOCTYPE x [<!ENTITY a "b">]><HEDX>&a;</HEDX>')
    with pytest.raises(ValueError, match="DTD"):
        read(path)


def test_another_programs_xml_is_left_to_it(tmp_path: Path):
    (tmp_path / "other.xml").write_text("<svg></svg>")
    assert get_reader(str(tmp_path / "other.xml")) is None


def test_e2e_by_eyepy_has_the_same_layers(tmp_path: Path):
    pytest.importorskip("eyepy")
    from eyepy import EyeBscanMeta, EyeVolume, EyeVolumeMeta

    from napari_spad.read.e2e import volume_layers

    scans = [EyeBscanMeta((0, y), (1, y), "mm") for y in (0, 0.1)]
    meta = EyeVolumeMeta(
        scale_x=0.011, scale_y=0.004, scale_z=0.1, scale_unit="mm", laterality="OD",
        bscan_meta=scans, intensity_transform="default",
    )  # fmt: skip
    volume = EyeVolume(np.full((2, 8, 4), 9, np.uint8), meta=meta)
    for name, row in (("ILM", 2.0), ("BM", 5.0)):
        volume.add_layer_annotation(np.full((2, 4), row), name=name)
    image, reference = (Layer.create(*data) for data in volume_layers(volume, ["Study-7"]))
    np.testing.assert_allclose(image.scale, (0.1, 0.004, 0.011))
    assert image.metadata["patient"] == pseudonym("Study-7")
    assert image.metadata["eye"] == "OD"
    assert told(image) == "11 × 4 µm, B-scans 100 µm, in the file"
    assert np.flatnonzero(reference.data[0, :, 0]).tolist() == [2, 3, 4]


def test_e2e_has_its_scale_from_the_scan_angle_where_eyepy_gives_none():
    pytest.importorskip("eyepy")
    from eyepy import EyeBscanMeta, EyeEnface, EyeEnfaceMeta, EyeVolume, EyeVolumeMeta

    from napari_spad.read.e2e import volume_layers

    def opened(places, **other) -> Layer:
        known = {"scale_y": 0.003872, "imgSizeWidth": 768, "acquisitionTime": "2019-05-06T07:08:09"}
        scans = [
            EyeBscanMeta((x, y), (x + 20, y), "°", **(
                {"start_x": x, "end_x": x + 20, "start_y": y, "end_y": y} | known | other))
            for x, y in places
        ]  # fmt: skip
        meta = EyeVolumeMeta(
            scale_x=1, scale_y=1, scale_z=1, scale_unit="px", laterality="R", bscan_meta=scans,
            intensity_transform="default",
        )  # fmt: skip
        pixels = np.full((len(scans), 8, 768), 9, np.uint8)
        degrees = EyeEnfaceMeta(
            scale_x=0.05, scale_y=0.1, scale_unit="°", modality="NIR", laterality="R",
            field_size=None, scan_focus=None, visit_date=None, exam_time=None,
        )  # fmt: skip
        fundus = EyeEnface(np.full((300, 600), 7, np.uint8), degrees)
        return Layer.create(*volume_layers(EyeVolume(pixels, meta=meta, localizer=fundus))[0])

    image = opened([(-10, 0.8284 * z) for z in range(4)])
    assert told(image) == (
        "7.54 µm (derived from the scan angle of a medium eye) × 3.87 µm (in the file), "
        "B-scans 240 µm (derived from the scan angle of a medium eye)"
    )
    np.testing.assert_allclose(image.scale, (0.8284 * 0.2896, 0.003872, 20 * 0.2896 / 768))
    assert (image.metadata["eye"], image.metadata["date"]) == ("OD", "2019-05-06")
    fundus = image.metadata["fundus"]
    assert fundus["pixels"].shape == (300, 600)
    np.testing.assert_allclose(fundus["scans"][0], [[150, 100], [150, 500]])  # 15° is its middle
    assert "notes" not in image.metadata
    up = opened([(-10 + z, -10) for z in range(3)], end_x=-9, end_y=10)
    assert "names of the ETDRS fields" in up.metadata["notes"][0]
    uneven = opened([(-10, y) for y in (0, 0.1, 1.5)])
    assert "distance of the B-scans unknown" in told(uneven)
    assert told(opened([(-10, 0)] * 3, scale_y=0.0, imgSizeWidth=0)) == (
        "scale unknown: type it, to measure in mm"
    )


RAW = np.random.default_rng(0).integers(0, 63 << 10, (3, 12, 17)).astype(np.uint16)


def test_a_whole_e2e_has_pixels_scale_eye_date_and_patient(tmp_path: Path):
    pytest.importorskip("eyepy")
    from eyepy.io.he.e2e_format import Bscan

    image, reference = layers(e2e(tmp_path / "a.e2e", RAW))
    value = Bscan.LUT[RAW]  # the file's own floats
    grey = 255 * np.clip((np.log(value + 2.44e-4) + 8.3) / 8.285, 0, 1)
    np.testing.assert_allclose(image.data, grey, atol=1)
    np.testing.assert_allclose(image.scale, (0.5 * 0.2896, 0.0039, 20 * 0.2896 / 17), rtol=1e-5)
    assert image.metadata["eye"] == "OS"
    assert image.metadata["date"] == "2019-05-06"
    assert image.metadata["patient"] == pseudonym("HOSP-4711")
    assert "notes" not in image.metadata
    assert np.flatnonzero(reference.data[2, :, 0]).tolist() == [2, 3, 4]
    assert not {"Roe", "Jane", "4711"} & set(str(image.metadata).replace("'", " ").split())


def test_an_e2e_that_lacks_bscans_says_so_and_a_circle_is_not_called_damaged(tmp_path: Path):
    pytest.importorskip("eyepy")
    (image, _) = layers(e2e(tmp_path / "a.e2e", RAW, told=25))
    assert "3 B-scans of the 25" in image.metadata["notes"][0]
    whole = e2e(tmp_path / "a.e2e", RAW).read_bytes()
    (tmp_path / "cut.e2e").write_bytes(whole[:-700])
    with pytest.raises(ValueError, match=r"cut\.e2e .* 1 cannot be read .*damaged, cut short"):
        read(tmp_path / "cut.e2e")
    e2e(tmp_path / "circle.e2e", RAW[:1], pattern=2)
    with pytest.raises(ValueError, match=r"circle\.e2e .* 1 are no volumes \(circular"):
        read(tmp_path / "circle.e2e")
    # One B-scan in another's place, or of one row: eyepy would show zeros, or the row everywhere.
    for odd in ({"slices": (0, 2, 3)}, {"rows": 1}):
        with pytest.raises(ValueError, match=r"odd\.e2e .* cannot be read"):
            read(e2e(tmp_path / "odd.e2e", RAW, **odd))


def test_an_e2e_without_an_end_is_refused(tmp_path: Path):
    pytest.importorskip("eyepy")
    content = bytearray(e2e(tmp_path / "a.e2e", RAW).read_bytes())
    entries = struct.unpack_from("<I", content, 88 + 36)[0]
    whole = bytes(content)
    struct.pack_into("<2I", content, 88 + 52 + 44 * (entries - 1) + 4, 0, 28)  # to the first chunk
    texts = bytearray(whole)
    start = struct.unpack_from("<I", whole, 88 + 52 + 44 * 2 + 4)[0]
    struct.pack_into("<2I", texts, start + 60, 2**32 - 1, 0)  # of no letters, so without an end
    for damaged in (content, texts):
        (tmp_path / "a.e2e").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"a\.e2e cannot be read"):
            read(tmp_path / "a.e2e")


@pytest.mark.parametrize("content", [b"", b"CMDb" + bytes(300), b"not an e2e file at all" * 40])
def test_a_damaged_e2e_is_named_and_another_export_proposed(tmp_path: Path, content: bytes):
    pytest.importorskip("eyepy")
    (tmp_path / "bad.e2e").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.e2e .*HEYEX"):
        read(tmp_path / "bad.e2e")


@pytest.mark.parametrize(
    ("name", "package"),
    [("a.e2e", "eyepy"), ("a.dcm", "pydicom"), ("a.nii.gz", "nibabel")],
)
def test_a_missing_package_is_said_with_the_line_that_gets_it(
    tmp_path: Path, monkeypatch, name: str, package: str
):
    (tmp_path / name).write_bytes(b"x")
    for module in [m for m in sys.modules if m.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError) as caught:
        read(tmp_path / name)
    assert package in str(caught.value)
    assert f'{sys.executable} -m pip install "napari-spad[oct]"' in str(caught.value)


def nifti(path: Path, data: np.ndarray, zooms=None, unit: str | None = "mm") -> Path:
    nibabel = pytest.importorskip("nibabel")
    image = nibabel.Nifti1Image(data, np.eye(4))
    image.header.set_zooms(zooms or (1.0,) * data.ndim)
    if unit:
        image.header.set_xyzt_units(unit)
    nibabel.save(image, path)
    return path


def bscan(height: int = 60, width: int = 80) -> np.ndarray:
    """Bright bands from left to right, on black."""
    rows = np.arange(height)[:, None]
    texture = np.random.default_rng(0).integers(0, 30, (height, width))
    return (texture + 200 * ((rows > 20) & (rows < 35))).astype(np.uint8)


def test_nifti_axes_are_taken_as_simpleitk_does(tmp_path: Path):
    stack = np.stack([bscan()] * 5)
    path = nifti(tmp_path / "a.nii.gz", stack.T, (0.011, 0.004, 0.12))
    (image,) = layers(path)
    np.testing.assert_array_equal(image.data, stack)
    np.testing.assert_allclose(image.scale, (0.12, 0.004, 0.011), rtol=1e-5)
    assert told(image) == "11 × 4 µm, B-scans 120 µm, in the file"
    assert "notes" not in image.metadata


def test_a_nifti_without_voxels_is_named(tmp_path: Path):
    path = nifti(tmp_path / "a.nii", np.zeros((5, 4), np.uint8))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<h", raw, 42, 0)
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.nii has no voxels"):
        read(path)


def test_a_nifti_on_its_side_is_turned_and_that_is_said(tmp_path: Path):
    path = nifti(tmp_path / "a.nii", np.stack([bscan()] * 3), (0.3, 0.004, 0.011))
    image = layers(nifti(path, bscan(), (0.004, 0.011)))[0]
    np.testing.assert_array_equal(image.data, bscan())
    np.testing.assert_allclose(image.scale, (0.004, 0.011), rtol=1e-5)
    assert "turned" in image.metadata["notes"][0]


def test_of_equal_channels_one_is_kept(tmp_path: Path):
    path = nifti(tmp_path / "a.nii", np.stack([bscan().T] * 3), (1.0, 0.011, 0.004))
    (image,) = layers(path)
    np.testing.assert_array_equal(image.data, bscan())
    assert "3 equal channels" in image.metadata["notes"][0]
    np.testing.assert_allclose(image.scale, (0.004, 0.011), rtol=1e-5)


def test_a_nifti_that_does_not_know_its_spacing_stays_in_pixels(tmp_path: Path):
    for zooms, unit in (((1.0, 1.0), "mm"), ((0.011, 0.004), None)):
        (image,) = layers(nifti(tmp_path / "a.nii", bscan().T, zooms, unit))
        assert {str(u) for u in image.units} == {"pixel"}
        assert "pixels" in image.metadata["notes"][0]


def test_a_nifti_whose_layers_cannot_be_made_out_is_left_and_said(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 255, (50, 50), np.uint8)
    (image,) = layers(nifti(tmp_path / "a.nii", noise.T, (0.011, 0.004)))
    np.testing.assert_array_equal(image.data, noise)
    assert "cannot be told" in image.metadata["notes"][0]


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b nothing", b"x" * 500])
def test_a_damaged_nifti_is_named(tmp_path: Path, content: bytes):
    pytest.importorskip("nibabel")
    (tmp_path / "bad.nii.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.nii\.gz .*damaged"):
        read(tmp_path / "bad.nii.gz")


def test_a_packed_nifti_of_which_one_bit_flipped_or_the_check_sum_is_gone_is_refused(
    tmp_path: Path,
):
    path = nifti(tmp_path / "a.nii.gz", np.stack([bscan()] * 5).T, (0.011, 0.004, 0.12))
    good = path.read_bytes()
    damaged = [good[:-1], good[:-9]]
    for at in range(40, len(good) - 9, len(good) // 20):
        flipped = bytearray(good)
        flipped[at] ^= 4
        damaged.append(bytes(flipped))
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"a\.nii\.gz cannot be read .*damaged, cut short"):
            read(path)


def test_a_nifti_whose_header_would_be_read_as_pixels_is_refused(tmp_path: Path):
    path = nifti(tmp_path / "a.nii", bscan().T, (0.011, 0.004))
    data = bytearray(path.read_bytes())
    data[108:112] = bytes(4)  # where its pixels begin
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.nii says .* begin at byte 0, within its header"):
        read(path)


def save(path: Path, data: np.ndarray) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    Picture.fromarray(data).save(path)


@pytest.mark.parametrize("where", ["images", "masks"])
def test_two_files_of_one_name_leave_no_label_map_to_chance(tmp_path: Path, where: str):
    for folder in ("images", "masks"):
        save(tmp_path / folder / "a.png", np.zeros((9, 12), np.uint8))
    assert len(layers(tmp_path)) == 2
    save(tmp_path / where / "a.tif", np.ones((9, 12), np.uint8))
    with pytest.raises(ValueError, match=rf"{where}.a\.tif: a\.png has the same name"):
        layers(tmp_path)


def test_a_folder_is_sorted_as_people_count(tmp_path: Path):
    for name in ("b10", "b2", "B1", "a"):
        save(tmp_path / f"{name}.png", np.zeros((4, 5), np.uint8))
    (tmp_path / "._b3.png").write_bytes(b"what macOS leaves behind")
    (image,) = layers(tmp_path)
    assert image.metadata["bscan_names"] == ["a", "B1", "b2", "b10"]
    assert {str(u) for u in image.units} == {"pixel"}


def test_bscans_whose_numbers_are_equal_have_an_order_that_is_not_the_disks():
    paths = [Path(name) for name in ("b1.png", "b01.png", "B1.png", "b1.tif", "b2.png")]
    orders = {tuple(sorted(some, key=_natural)) for some in itertools.permutations(paths)}
    assert [[p.name for p in order] for order in orders] == [
        ["B1.png", "b01.png", "b1.png", "b1.tif", "b2.png"]
    ]


def test_a_link_to_nothing_in_a_folder_is_left_out_with_a_word(tmp_path: Path):
    for where in ("images", "masks"):
        save(tmp_path / where / "a.png", np.ones((9, 12), np.uint8))
        (tmp_path / where / "b.png").symlink_to(tmp_path / "gone")
    image, reference = layers(tmp_path)
    assert image.data.shape == reference.data.shape == (1, 9, 12)
    assert image.metadata["notes"] == [
        "left out images/b.png: its link leads to no file",
        "left out masks/b.png: its link leads to no file",
    ]


def test_a_case_folder_brings_patients_splits_names_and_spacing(tmp_path: Path):
    for name in ("p1-1", "p1-2", "p2-1"):
        save(tmp_path / "images" / f"{name}.png", np.full((4, 5), 9, np.uint8))
        save(tmp_path / "masks" / f"{name}.png", np.full((4, 5), 1, np.uint8))
    (tmp_path / "labels.json").write_text('{"0": "background", "1": "IRF"}')
    (tmp_path / "split.json").write_text(
        '{"train": {"patients": ["p1"], "images": ["p1-1", "p1-2"]}, '
        '"val": {"patients": ["p2"], "images": ["p2-1"]}}'
    )
    cases = ", ".join(
        f'"{n}": {{"patient": "{n[:2]}", "spacing_mm": [0.004, 0.011]}}'
        for n in ("p1-1", "p1-2", "p2-1")
    )
    (tmp_path / "cases.json").write_text(f"{{{cases}}}")
    image, reference = layers(tmp_path)
    assert image.metadata["bscan_splits"] == ["train", "train", "val"]
    first, second, third = image.metadata["bscan_patients"]
    assert first == second != third
    assert "p1" not in first
    assert told(image) == "11 × 4 µm (in the file), distance of the B-scans unknown"
    assert [str(u) for u in image.units] == ["pixel", "millimeter", "millimeter"]
    np.testing.assert_allclose(reference.scale, (1, 0.004, 0.011))
    assert reference.metadata["role"] == "reference"
    image, reference = (Layer.create(*d) for d in folder_stack(tmp_path, split="val"))
    assert image.metadata["bscan_names"] == ["p2-1"]
    assert image.data.shape == reference.data.shape == (1, 4, 5)
    with pytest.raises(ValueError, match=r"split “test”; it has: train, val"):
        folder_stack(tmp_path, split="test")


def test_bscans_of_several_spacings_stay_in_pixels(tmp_path: Path):
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", np.zeros((4, 5), np.uint8))
    (tmp_path / "cases.json").write_text(
        '{"a": {"spacing_mm": [0.004, 0.011]}, "b": {"spacing_mm": [0.004, 0.02]}}'
    )
    (image,) = layers(tmp_path)
    assert {str(u) for u in image.units} == {"pixel"}
    assert "several spacings" in image.metadata["notes"][0]


def test_a_large_folder_is_read_bscan_by_bscan(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("napari_spad.read.folder.IN_MEMORY", 100)
    for z in range(6):
        save(tmp_path / f"{z}.png", np.full((8 + z, 10), z, np.uint8))
    (tmp_path / "5.png").write_bytes((tmp_path / "5.png").read_bytes()[:-20])  # the header is whole
    (image,) = layers(tmp_path)
    assert not isinstance(image.data, np.ndarray)
    assert image.data.shape == (6, 13, 10)
    assert np.asarray(image.data[3]).max() == 3
    assert not np.asarray(image.data[3])[11:].any()


def test_files_that_are_broken_json_are_named(tmp_path: Path):
    save(tmp_path / "images" / "a.png", np.zeros((4, 5), np.uint8))
    (tmp_path / "split.json").write_text("{")
    with pytest.raises(ValueError, match=r"split\.json: is not JSON"):
        read(tmp_path)


def test_a_folder_without_images_is_left_to_others(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("x")
    assert get_reader(str(tmp_path)) is None


def test_an_empty_folder_is_told_what_was_looked_for(tmp_path: Path):
    for folder in (tmp_path / "a", tmp_path / "b" / "images", tmp_path / "b" / "masks"):
        folder.mkdir(parents=True)
    (tmp_path / "a" / ".DS_Store").write_bytes(b"")
    for name in ("a", "b"):
        assert get_reader(str(tmp_path / name)) is not None
        with pytest.raises(ValueError, match=r"holds no images \(\.png, .*\); give another folder"):
            read(tmp_path / name)


@pytest.mark.parametrize("end", [".csv", ".npz"])
def test_a_file_of_lines_is_told_where_it_is_opened_and_no_other_is_claimed(
    tmp_path: Path, end: str
):
    ours, other = tmp_path / f"eye.lines{end}", tmp_path / f"other.lines{end}"
    write_lines(Lines.of({"ILM": np.full((2, 5), 3, np.float32)}), ours)
    if end == ".csv":  # as a spreadsheet saves it
        ours.write_bytes(b"\xef\xbb\xbf" + ours.read_bytes().replace(b",", b";"))
    other.write_text("index,axis-0,axis-1\n0,1.0,2.0\n")
    assert get_reader(str(other)) is None
    assert get_reader(str(ours)) is not None
    with pytest.raises(ValueError, match=rf"eye\.lines\{end} holds lines \(ILM\).*“From a file…”"):
        read(ours)


def test_lines_that_cross_make_no_pixel_of_two_bands():
    lines = {
        "A": np.full((1, 3), 2.0),
        "B": np.array([[4.0, 1.0, np.nan]]),
        "C": np.full((1, 3), 6.0),
    }
    labels, names = bands(lines, (1, 8, 3))
    assert names == ["A to B", "B to C"] or names == ["B to A", "A to C"]
    assert labels[0, :, 2].max() in (0, 2)  # without B there is no band beside it
    assert not labels[0, 6:].any()


def test_pseudonyms_last_on_a_machine_and_differ_between_machines(tmp_path: Path, keys: Path):
    first = pseudonym("Doe^John", "1234")
    assert first == pseudonym(" doe^john ")
    assert first != pseudonym("1234")
    assert (keys / "pseudonym.key").stat().st_mode & 0o077 == 0 or sys.platform == "win32"
    assert first != pseudonym("Doe^John", folder=tmp_path)
    assert pseudonym("", "  ") is None
    (keys / "pseudonym.key").write_bytes(b"short")
    with pytest.raises(ValueError, match="5 bytes"):
        pseudonym("1234")


def test_the_same_patient_has_one_pseudonym_in_all_formats(tmp_path: Path):
    heyex_vol(tmp_path / "a.vol")
    found = {layers(p)[0].metadata["patient"] for p in (tmp_path / "a.vol", heyex_xml(tmp_path))}
    assert found == {pseudonym("Study-7")}


def test_errors_and_notes_become_notifications(tmp_path: Path, monkeypatch):
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    (tmp_path / "bad.vol").write_bytes(b"nothing")
    path = str(tmp_path / "bad.vol")
    assert get_reader(path)(path) == [(None,)]
    assert "bad.vol is no Heidelberg .vol file" in told.pop()
    heyex_vol(tmp_path / "c.vol", bscans=1, pattern=2)
    both = [path, str(tmp_path / "c.vol")]
    assert len(get_reader(both)(both)) == 2  # one that cannot be read keeps back none that can
    assert any("circular" in text for text in told)


def test_looking_for_a_reader_loads_nothing_heavy():
    import subprocess

    code = (
        "import sys; from napari_spad.read.reader import get_reader; get_reader('a.dcm'); "
        "print([m for m in ('torch', 'napari', 'pydicom', 'eyepy', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_each_kind_of_file_has_its_reader():
    for suffix, (module, function) in reader._BY_SUFFIX.items():
        assert callable(
            getattr(__import__(f"napari_spad.read.{module}", fromlist=[function]), function)
        ), suffix


def case_folder(root: Path, labels: dict, **more: object) -> Path:
    """One image with the values 0, 1, 70, 255 in its label map."""
    import json

    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    Picture.fromarray(np.full((4, 6), 9, np.uint8)).save(root / "images" / "a.png")
    values = np.resize(np.array([0, 1, 70, 255], np.uint8), (4, 6))
    Picture.fromarray(values).save(root / "masks" / "a.png")
    for name, content in {"labels": labels, **more}.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (root / f"{name}.json").write_text(text)
    return root


def test_a_case_folder_opens_as_the_trainer_takes_it(tmp_path: Path):
    names = {"0": "background", "1": "SRF", "70": "drusen", "255": "ignore"}
    root = case_folder(tmp_path, names, cases={"a": {"spacing_mm": [[1], 2]}})
    image, reference = layers(root)
    assert list(reference.features["index"]) == [0, 1, 70]
    assert list(reference.features["name"]) == ["background", "SRF", "drusen"]
    assert np.unique(reference.data).tolist() == [0, 1, 70, 255]
    assert "not [row, column]" in image.metadata["notes"][0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"labels": {"0": "b", "2147483648": "x"}}, r"labels\.json: value '2147483648' is not"),
        ({"labels": {"0": "b", "9" * 5000: "x"}}, r"labels\.json: value .* is not"),
        ({"split": {"train": {"images": None}}}, r"split\.json: split “train” has no list"),
        ({"split": "[" * 100_000}, r"split\.json: is not JSON"),
        ({"cases": "[" * 100_000}, r"cases\.json: is not JSON"),
    ],
)
def test_odd_json_of_a_case_folder_is_named(tmp_path: Path, content: dict, said: str):
    root = case_folder(tmp_path, **{"labels": {"0": "b", "1": "SRF"}, **content})
    with pytest.raises(ValueError, match=said):
        read(root)


def test_spacings_beyond_every_number_are_none(tmp_path: Path):
    root = case_folder(tmp_path, {"0": "b"}, cases=f'{{"a": {{"spacing_mm": [{"9" * 400}, 1]}}}}')
    assert "not [row, column]" in layers(root)[0].metadata["notes"][0]


def test_a_folder_is_read_upright_and_pages_are_not_dropped(tmp_path: Path):
    image = np.arange(24, dtype=np.uint8).reshape(4, 6)
    exif = Picture.Exif()
    exif[274] = 6
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        turned = Picture.fromarray(np.ascontiguousarray(np.rot90(image)))
        turned.save(tmp_path / name / "a.tif", exif=exif)
    scans, reference = layers(tmp_path)
    np.testing.assert_array_equal(scans.data[0], image)
    np.testing.assert_array_equal(reference.data[0], image)
    pages = [Picture.fromarray(image)] * 2
    pages[0].save(tmp_path / "images" / "b.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"b\.tif: holds 2 pages; .*alone"):
        read(tmp_path)


def test_a_dtd_is_refused_in_every_encoding(tmp_path: Path):
    from napari_spad.read.heyex_xml import read_heyex

    text = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "b">]><HEDX>&a;</HEDX>'
    (tmp_path / "a.xml").write_bytes(text.encode("utf-16"))
    with pytest.raises(ValueError, match=r"a\.xml has a DTD"):
        read_heyex(tmp_path / "a.xml")


def test_a_small_vol_does_not_ask_for_gigabytes(tmp_path: Path):
    heyex_vol(tmp_path / "a.vol")
    raw = bytearray((tmp_path / "a.vol").read_bytes())
    struct.pack_into("<3i", raw, 12, 100, 2**22, 1)
    (tmp_path / "a.vol").write_bytes(raw)
    with pytest.raises(ValueError, match=r"a\.vol .*tells of 4194304 B-scans"):
        read(tmp_path / "a.vol")
