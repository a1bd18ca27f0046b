"""DICOM made by pydicom: pixels, spacing, MONOCHROME1, and nothing of the patient in a layer."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("napari")
pytest.importorskip("pydicom")

import pydicom
from napari.layers import Layer
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless, generate_uid

from napari_spad.layers.geometry import spacing_mm
from napari_spad.read.reader import read
from spad.measuring import Scale

OPT, DX, CR = (
    "1.2.840.10008.5.1.4.1.1.77.1.5.4",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1",
)
SECRETS = {
    "PatientName": "Mustermann^Erika", "PatientID": "HOSP-4711", "PatientBirthDate": "19610412",
    "OtherPatientIDs": "SSN-078051120", "AccessionNumber": "ACC99887", "StudyID": "ST556677",
    "ReferringPhysicianName": "Lovelace^Ada", "InstitutionName": "Klinik am Walde",
    "OperatorsName": "Turing^Alan", "StationName": "ROOM-XII", "DeviceSerialNumber": "SN-31337",
    "StudyDate": "20240229", "PatientComments": "lives in Kiel", "StudyDescription": "wet AMD, VIP",
    "SeriesDescription": "Erika again", "ImageComments": "eye of M.", "PatientAddress": "Elm St 1",
}  # fmt: skip


@pytest.fixture(autouse=True)
def keys(tmp_path_factory, monkeypatch) -> Path:
    folder = tmp_path_factory.mktemp("user")
    monkeypatch.setattr("napari_spad.read.opened_layers._data_folder", lambda: folder)
    return folder


def item(**values: Any) -> Sequence:
    one = Dataset()
    for key, value in values.items():
        setattr(one, key, value)
    return Sequence([one])


def dicom(path: Path, pixels: np.ndarray, sop: str, modality: str, **values: Any) -> Path:
    """Write a valid file with everything in it that identifies a patient."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = sop, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.FrameOfReferenceUID = generate_uid()
    for key, value in SECRETS.items():
        setattr(data, key, value)
    data.Modality = modality
    colour = values.get("PhotometricInterpretation") == "RGB"
    data.Rows, data.Columns = pixels.shape[-3:-1] if colour else pixels.shape[-2:]
    if pixels.ndim == 3 and not colour:
        data.NumberOfFrames = len(pixels)
    data.SamplesPerPixel = 3 if colour else 1
    if colour:
        data.PlanarConfiguration = 0
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = data.BitsStored = 8 * pixels.dtype.itemsize
    data.PixelRepresentation = int(pixels.dtype.kind == "i")
    data.PixelData = pixels.tobytes()
    for key, value in values.items():
        setattr(data, key, value)
    data.HighBit = data.BitsStored - 1
    data.save_as(path, enforce_file_format=True)
    return path


def opt(path: Path, **values: Any) -> tuple[Path, np.ndarray]:
    frames = np.random.default_rng(0).integers(0, 255, (5, 24, 32), np.uint8)
    measures = item(
        PixelMeasuresSequence=item(
            PixelSpacing=[0.0039, 0.0115], SliceThickness=0.9, SpacingBetweenSlices=0.125
        ),
        FrameAnatomySequence=item(FrameLaterality="R"),
    )
    given = {"SharedFunctionalGroupsSequence": measures} | values
    return dicom(path, frames, OPT, "OPT", **given), frames


def layer(path: Path) -> Layer:
    (data,) = read(path)
    return Layer.create(*data)


def test_an_opt_volume_is_a_stack_in_mm(tmp_path: Path):
    path, frames = opt(tmp_path / "a.dcm")
    image = layer(path)
    assert image.name == "OCT OD"
    np.testing.assert_array_equal(image.data, frames)
    np.testing.assert_allclose(image.scale, (0.125, 0.0039, 0.0115))
    assert {str(u) for u in image.units} == {"millimeter"}
    assert image.axis_labels == ("B-scan", "row", "column")
    assert Scale.from_json(image.metadata["scale"]).words == (
        "11.5 × 3.9 µm, B-scans 125 µm, in the file"
    )
    assert (image.metadata["eye"], image.metadata["date"]) == ("OD", "2024-02-29")


def test_frames_have_the_distance_of_their_places_where_none_is_stated(tmp_path: Path):
    groups = [
        item(PlanePositionSequence=item(ImagePositionPatient=[0, 0.25 * z, 0]))[0] for z in range(5)
    ]
    shared = item(PixelMeasuresSequence=item(PixelSpacing=[0.004, 0.011], SliceThickness=0.9))
    path, _ = opt(
        tmp_path / "a.dcm",
        SharedFunctionalGroupsSequence=shared,
        PerFrameFunctionalGroupsSequence=Sequence(groups),
    )
    assert layer(path).scale[0] == pytest.approx(0.25)
    scale = Scale.from_json(layer(path).metadata["scale"])
    assert scale.bscan.words == "derived from the frames' places"
    assert scale.row.words == "in the file"
    # The thickness of a slice is no distance.
    path, _ = opt(tmp_path / "b.dcm", SharedFunctionalGroupsSequence=shared)
    assert [str(u) for u in layer(path).units] == ["pixel", "millimeter", "millimeter"]


@pytest.mark.parametrize("told", ["places", "ways", "ways, and a distance"])
def test_radial_bscans_have_no_distance(tmp_path: Path, told: str):
    """They begin at even steps round a circle: no volume is to be made of these."""
    angles = np.pi * np.arange(5) / 5
    groups = []
    for cos, sin in zip(np.cos(angles), np.sin(angles), strict=True):
        place = item(ImagePositionPatient=[round(3 * cos, 6), round(3 * sin, 6), 0])
        way = item(ImageOrientationPatient=[round(-cos, 6), round(-sin, 6), 0, 0, 0, -1])
        one = {"PlanePositionSequence": place} if told == "places" else {}
        groups.append(item(**one or {"PlaneOrientationSequence": way})[0])
    measures = {"PixelSpacing": [0.004, 0.011]}
    measures |= {"SpacingBetweenSlices": 0.2} if "distance" in told else {}
    path, _ = opt(
        tmp_path / "a.dcm",
        SharedFunctionalGroupsSequence=item(PixelMeasuresSequence=item(**measures)),
        PerFrameFunctionalGroupsSequence=Sequence(groups),
    )
    found = layer(path)
    assert Scale.from_json(found.metadata["scale"]).spacing_mm == (None, 0.004, 0.011)
    assert "not parallel" in found.metadata["notes"][-1]


def test_without_spacing_nothing_is_made_up(tmp_path: Path):
    path, _ = opt(tmp_path / "a.dcm", SharedFunctionalGroupsSequence=Sequence([]))
    assert spacing_mm(layer(path), 2) is None
    assert layer(path).name == "OCT"


def radiograph(path: Path, **values: Any) -> tuple[Path, np.ndarray]:
    pixels = np.random.default_rng(1).integers(100, 4000, (30, 20)).astype(np.uint16)
    given = {"BitsStored": 12, "PixelSpacing": [0.17, 0.17], "BodyPartExamined": "CHEST"} | values
    return dicom(path, pixels, DX, "DX", **given), pixels


def test_a_chest_radiograph_keeps_its_values_and_is_shown_in_its_window(tmp_path: Path):
    path, pixels = radiograph(tmp_path / "a.dcm", WindowCenter=2000, WindowWidth=1000)
    image = layer(path)
    assert image.name == "chest X-ray"
    np.testing.assert_array_equal(image.data, pixels)
    assert list(image.contrast_limits) == [1500, 2500]
    assert image.colormap.name == "gray"
    assert "inverted" not in image.metadata
    assert spacing_mm(image, 2) == pytest.approx((0.17, 0.17))


def test_monochrome1_is_shown_the_right_way_round_and_flagged(tmp_path: Path):
    path, pixels = radiograph(tmp_path / "a.dcm", PhotometricInterpretation="MONOCHROME1")
    image = layer(path)
    np.testing.assert_array_equal(image.data, pixels)
    assert image.colormap.name == "gray_r"
    assert image.metadata["inverted"] is True
    assert "MONOCHROME1" in image.metadata["notes"][0]


def test_rescaling_spare_bits_and_padding(tmp_path: Path):
    path, pixels = radiograph(tmp_path / "a.dcm", RescaleSlope=2, RescaleIntercept=-1000)
    np.testing.assert_array_equal(layer(path).data, pixels * 2.0 - 1000)
    path, _ = radiograph(tmp_path / "b.dcm", PixelData=(pixels | 0xF000).tobytes())
    np.testing.assert_array_equal(layer(path).data, pixels)
    padded = pixels.copy()
    padded[:, :3] = 0
    path, _ = radiograph(tmp_path / "c.dcm", PixelData=padded.tobytes(), PixelPaddingValue=0)
    assert layer(path).data.min() == pixels[:, 3:].min()
    signed = (pixels.astype(np.int16) - 2000).tobytes()
    path, _ = radiograph(tmp_path / "d.dcm", PixelData=signed, PixelRepresentation=1, BitsStored=16)
    np.testing.assert_array_equal(layer(path).data, pixels.astype(int) - 2000)


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize("by", ["slope", "table"])
def test_padding_is_dark_where_rescaling_exchanges_dark_and_bright(
    tmp_path: Path, by: str, photometric: str
):
    table = np.arange(4095, -1, -1, dtype="<u2").tobytes()
    tags: dict[str, Any] = (
        {"RescaleSlope": -1, "RescaleIntercept": 4095}
        if by == "slope"
        else {
            "ModalityLUTSequence": item(
                LUTDescriptor=[4096, 0, 16], ModalityLUTType="US", LUTData=table
            )
        }
    )
    padded = radiograph(tmp_path / "a.dcm")[1]
    padded[:, :3] = 0
    tags |= {"PhotometricInterpretation": photometric, "PixelPaddingValue": 0}
    path, pixels = radiograph(tmp_path / "a.dcm", PixelData=padded.tobytes(), **tags)
    inside = 4095 - pixels[:, 3:].astype(int)
    np.testing.assert_array_equal(layer(path).data[:, 3:], inside)
    darkest = inside.min() if photometric == "MONOCHROME2" else inside.max()
    assert (layer(path).data[:, :3] == darkest).all()


@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
@pytest.mark.parametrize(("tag", "dtype"), [("FloatPixel", "<f4"), ("DoubleFloatPixel", "<f8")])
@pytest.mark.parametrize(
    ("filled", "tags"),
    [
        ([-0.1, -0.1], {"PaddingValue": -0.1}),
        ([-2000.5, -1000.0], {"PaddingValue": -1000.0, "PaddingRangeLimit": -2001.0}),
        ([3.4e38, 3.4e38], {"PaddingValue": 3.4e38}),
        ([np.nan, np.nan], {"PaddingValue": float("nan")}),
        ([np.inf, -np.inf], {"PaddingValue": float("inf")}),
    ],
    ids=["one", "range", "far", "NaN", "infinite"],
)
def test_padding_of_floats_has_no_value(
    tmp_path: Path, tag: str, dtype: str, photometric: str, filled: list[float], tags: Any
):
    path, _ = radiograph(tmp_path / "a.dcm", PhotometricInterpretation=photometric)
    data = pydicom.dcmread(path)
    pixels = np.random.default_rng(0).random((data.Rows, data.Columns)).astype(dtype) + 5
    darkest = pixels[:, 2:].min() if photometric == "MONOCHROME2" else pixels[:, 2:].max()
    pixels[:, :2] = filled
    for gone in ("PixelData", "BitsStored", "HighBit", "PixelRepresentation"):
        delattr(data, gone)
    data.BitsAllocated = 8 * pixels.dtype.itemsize
    setattr(data, f"{tag}Data", pixels.tobytes())
    for end, value in tags.items():
        setattr(data, f"{tag}{end}", value)
    data.save_as(path)
    np.testing.assert_array_equal(layer(path).data[:, 2:], pixels[:, 2:])
    assert (layer(path).data[:, :2] == darkest).all()


def test_spacing_at_the_detector_is_used_and_said(tmp_path: Path):
    path, _ = radiograph(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    del data.PixelSpacing
    data.ImagerPixelSpacing = [0.2, 0.2]
    data.save_as(path)
    image = layer(path)
    assert spacing_mm(image, 2) == pytest.approx((0.2, 0.2))
    assert "detector" in image.metadata["notes"][0]


def test_colours_stay_colours(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8)
    path = dicom(tmp_path / "a.dcm", pixels, OPT, "OPT", PhotometricInterpretation="RGB")
    image = layer(path)
    assert image.rgb
    np.testing.assert_array_equal(image.data, pixels)


def test_compressed_files_open_or_say_what_is_missing(tmp_path: Path):
    path, frames = opt(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.save_as(path)
    np.testing.assert_array_equal(layer(path).data, frames)
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data.save_as(path)
    with pytest.raises(ValueError, match=r"JPEG-LS|pylibjpeg|damaged"):
        read(path)


def test_a_compression_without_a_decoder_names_what_to_install(tmp_path: Path, monkeypatch):
    from pydicom.pixels import get_decoder

    path, _ = opt(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data.save_as(path)
    decoder = get_decoder(JPEGLSLossless)
    monkeypatch.setattr(type(decoder), "is_available", property(lambda _: False))
    with pytest.raises(ValueError, match=r"JPEG-LS.*-m pip install pylibjpeg"):
        read(path)


def test_files_without_pixels_and_no_dicom_at_all_are_named(tmp_path: Path):
    path, _ = opt(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    del data.PixelData
    data.save_as(path)
    with pytest.raises(ValueError, match=r"a\.dcm holds no pixels"):
        read(path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"a\.dcm is no DICOM file"):
        read(path)
    with pytest.raises(OSError, match=r"missing\.dcm"):
        read(tmp_path / "missing.dcm")


@pytest.mark.parametrize("keep", [140, 400, -1000])
def test_a_cut_file_is_named_and_says_nothing_of_the_patient(tmp_path: Path, keep: int):
    path, _ = opt(tmp_path / "a.dcm")
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"a\.dcm .*(damaged|no pixels)") as caught:
        read(path)
    assert not [secret for secret in SECRETS.values() if secret in str(caught.value)]


def test_nothing_that_identifies_a_patient_reaches_a_layer_or_a_log(tmp_path: Path, caplog, capsys):
    folder = tmp_path / "Mustermann_Erika"
    folder.mkdir()
    caplog.set_level(logging.DEBUG)
    for make, kind in ((opt, OPT), (radiograph, DX)):
        path, _ = make(folder / "HOSP-4711.dcm", BurnedInAnnotation="YES")
        header = pydicom.dcmread(path)
        uids = [str(e.value) for e in header.iterall() if e.VR == "UI" and str(e.value) != kind]
        uids.append(str(header.file_meta.MediaStorageSOPInstanceUID))
        image = layer(path)
        # Everything that the layer carries, but for the pixels, and what was printed or logged.
        carried = f"{image.name} {image!r} {image.as_layer_data_tuple()[1]} {image.source}"
        said = "".join(capsys.readouterr()) + caplog.text
        for secret in [*SECRETS.values(), *uids, *SECRETS["PatientName"].split("^"), "4711"]:
            assert secret not in carried
            assert secret not in said
        assert "burnt into its pixels" in image.metadata["notes"][-1]
        assert image.metadata["patient"].startswith("P-")
    # The day tells visits apart (Measure); it goes into no file by itself.
    assert set(image.metadata) == {"patient", "notes", "scale", "date"}


def test_patients_stay_apart_and_together(tmp_path: Path):
    def patient(**values: Any) -> Any:
        return layer(radiograph(tmp_path / "a.dcm", **values)[0]).metadata.get("patient")

    assert patient() == patient(PatientName="Mustermann^E.")  # the ID decides
    assert patient() != patient(PatientID="HOSP-4712")
    assert patient(PatientID="") == patient(PatientID="", StudyID="other") is not None
    assert patient(PatientID="", PatientName="") is None


@pytest.mark.parametrize("tag", ["PixelPaddingValue", "RescaleSlope", "RescaleIntercept"])
def test_empty_and_several_values_of_a_tag_are_taken_or_told(tmp_path: Path, tag: str):
    path, image = radiograph(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    for value, taken in (("", True), ([1, 2], False)):
        if tag == "PixelPaddingValue":
            data.add_new(tag, "US", value)
        else:
            data.add_new(tag, "DS", value)
        data.save_as(path)
        if taken:
            np.testing.assert_array_equal(layer(path).data, image)
        else:
            with pytest.raises(ValueError, match=rf"a\.dcm has a {tag} that is not one number"):
                layer(path)


def test_a_spacing_that_is_no_spacing_costs_the_mm_not_the_image(tmp_path: Path):
    for tag, odd in (
        ("PixelSpacing", "0.01"),
        ("PixelSpacing", ["nan", "nan"]),
        ("PixelSpacing", ["1", "2", "3"]),
        ("SpacingBetweenSlices", ["0.1", "0.2"]),
    ):
        path, stack = opt(tmp_path / "a.dcm")
        data = pydicom.dcmread(path)
        del data.SharedFunctionalGroupsSequence
        data.add_new(tag, "DS", odd)
        data.save_as(path)
        np.testing.assert_array_equal(layer(path).data, stack)
        assert layer(path).metadata["scale"] == Scale().as_json()


@pytest.mark.parametrize("signed", [False, True])
def test_12_bits_are_found_at_either_end_of_16(tmp_path: Path, signed: bool):
    path, image = radiograph(tmp_path / "a.dcm")
    stored = image.astype(int) % 4096 - 2048 * signed
    for high, noise in ((11, 0xF000), (15, 0x000F)):
        data = pydicom.dcmread(path)
        data.BitsStored, data.HighBit, data.PixelRepresentation = 12, high, int(signed)
        bits = (stored & 0xFFF) << (high - 11) | noise
        data.PixelData = bits.astype(np.uint16).tobytes()
        data.save_as(tmp_path / "b.dcm")
        np.testing.assert_array_equal(layer(tmp_path / "b.dcm").data, stored)


def test_rescaling_by_a_small_slope_far_from_0_keeps_every_grey(tmp_path: Path):
    path, image = radiograph(tmp_path / "a.dcm", RescaleSlope="0.001", RescaleIntercept="100000")
    assert len(np.unique(layer(path).data)) == len(np.unique(image))


@pytest.mark.parametrize("factor", [1, 257])
def test_a_palette_of_16_bits_may_hold_levels_of_8(tmp_path: Path, factor: int):
    path, _ = opt(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    index = np.arange(np.prod([data.NumberOfFrames, data.Rows, data.Columns])) % 256
    data.PhotometricInterpretation, data.PixelData = "PALETTE COLOR", index.astype("u1").tobytes()
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    for name in ("Red", "Green", "Blue"):
        data.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        levels = (np.arange(256) * factor).astype("<u2").tobytes()
        setattr(data, f"{name}PaletteColorLookupTableData", levels)
    data.save_as(path)
    np.testing.assert_array_equal(layer(path).data[..., 0].ravel(), index)


def test_a_dicom_that_asks_for_gigabytes_is_refused(tmp_path: Path):
    path, _ = radiograph(tmp_path / "a.dcm")
    data = pydicom.dcmread(path)
    data.Rows = data.Columns = 65535
    data.save_as(path)
    with pytest.raises(ValueError, match=r"a\.dcm has 65535 x 65535 pixels.*crop"):
        layer(path)
