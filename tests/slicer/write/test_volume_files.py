"""What is saved says what it is, lies where it lay, and takes nothing else's place."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import slicer
import vtk
from fakes import paint, run_of
from scene import add_volume

from spad.cases import Layout
from spad.cohort.measuring_file import MeasureJob, measured
from spad.measuring import Scale
from SPADLib.scene.result import Result
from SPADLib.scene.segments import labels_of_volume, read_segments
from SPADLib.scene.volumes import ijk_to_ras, keep_scale
from SPADLib.write import dicom_seg
from SPADLib.write.volume_files import SUFFIXES, save, save_volume, storage_names

SHAPE = (4, 12, 16)
ANGLE = np.deg2rad(25)
OBLIQUE = np.array(
    [[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1.0]]
)
DIRECTIONS = {
    "as pictures": None,
    "flipped": np.diag([1.0, -1.0, -1.0]),
    "left-handed": np.diag([-1.0, 1.0, 1.0]),
    "oblique": OBLIQUE,
    "axes changed": np.array([[0, 0, 1.0], [1, 0, 0], [0, -1, 0]]),
}


@pytest.fixture
def labels():
    out = np.zeros(SHAPE, np.uint8)
    out[1, 2:5, 3:9], out[2, 6:9, 1:4], out[3, 0, 0] = 1, 2, 3
    return out


@pytest.fixture
def result(scene, labels):
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=(0.2, 0.004, 0.01), name="OCT")
    return Result.create(volume, Layout(), run_of(labels))


def add_own(result, name="drusen", bscan=3):
    own = result.segmentation.GetSegmentation().AddEmptySegment(name, name)
    part = np.zeros(SHAPE, np.uint8)
    part[bscan, 4:6, 4:6] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(part, result.segmentation, own, result.volume)
    return own


def load_label_map(path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetSingleFile(1)
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def load_segmentation(path):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode")
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd"])
@pytest.mark.parametrize("directions", DIRECTIONS.values(), ids=DIRECTIONS)
def test_a_label_map_is_read_back_where_it_lay(scene, labels, tmp_path, suffix, directions):
    volume = add_volume(
        np.zeros(SHAPE, np.uint8),
        spacing=(0.25, 0.5, 2.0),
        directions=directions,
        origin=(5.0, -7.0, 11.0),
    )
    result = Result.create(volume, Layout(), run_of(labels))
    save(result, tmp_path / f"a{suffix}")
    again = load_label_map(tmp_path / f"a{suffix}")
    assert np.array_equal(labels_of_volume(again, volume).labels, labels)
    if np.linalg.det(ijk_to_ras(volume)[:3, :3]) > 0:  # Slicer's reader turns the others round
        assert np.allclose(ijk_to_ras(again), ijk_to_ras(volume), atol=1e-5)
        assert np.array_equal(slicer.util.arrayFromVolume(again), labels)


def test_a_label_map_has_the_volumes_axes_whatever_the_layout(scene, tmp_path):
    volume = add_volume(np.zeros(SHAPE, np.uint8))
    layout = Layout.of("jTUM")
    labels = np.zeros(layout.stack(np.zeros(SHAPE)).shape, np.uint8)
    labels[2, 3, 1] = 2
    result = Result.create(volume, layout, run_of(labels))
    save(result, tmp_path / "a.nrrd")
    stored = slicer.util.arrayFromVolume(load_label_map(tmp_path / "a.nrrd"))
    assert np.array_equal(layout.stack(stored), labels)
    told = json.loads((tmp_path / "a.spad.json").read_text("utf-8"))
    assert (told["shape"], told["layout"]) == (list(SHAPE), "jTUM")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("directions", ["as pictures", "left-handed"])
def test_what_is_saved_is_measured_by_the_command_whatever_the_layout(
    scene, tmp_path, suffix, directions
):
    volume = add_volume(
        np.zeros(SHAPE, np.uint8), spacing=(0.2, 0.004, 0.01), directions=DIRECTIONS[directions]
    )
    layout = Layout.of("jTUM")
    labels = np.zeros(layout.stack(np.zeros(SHAPE)).shape, np.uint8)
    labels[2, 3:7, 1], labels[5:7, 3, 2] = 2, 1
    result = Result.create(volume, layout, run_of(labels))
    add_own(result)
    save(result, tmp_path / f"a{suffix}")
    found = measured(tmp_path / "a.spad.json", MeasureJob())
    rows = {row.structure: row for row in found.visit.rows}
    voxel_nl = 1000 * np.prod(volume.GetSpacing())
    volumes = {"SRF": 2, "IRF": 4, "PED": 0, "drusen": 4}
    assert {n: rows[n].volume_nl for n in rows} == pytest.approx(
        {name: count * voxel_nl for name, count in volumes.items()}
    )
    assert rows["IRF"].largest_height_um == pytest.approx(4000 * layout.order(found_mm(volume))[1])


def test_what_is_saved_is_measured_with_the_scale_eye_and_fovea_that_slicer_measures_with(
    result, tmp_path
):
    from SPADLib.measure.fovea_node import put_fovea
    from SPADLib.measure.result_measures import ResultMeasures

    result.volume.SetAttribute("SPAD.eye", "OS")
    put_fovea(result, 1.5, 7.0)
    measures = ResultMeasures(result)
    measures.place()
    save(result, tmp_path / "a.nii.gz")
    found = measured(tmp_path / "a.spad.json", MeasureJob())
    assert {row.region for row in found.visit.rows} >= {"total", "1 mm", "T3"}
    for row, here in zip(found.visit.rows, measures.rows(), strict=True):
        assert (row.region, row.structure) == (here.region, here.structure)
        assert row.volume_nl == pytest.approx(here.volume_nl, rel=1e-6)
    assert found.visit.scale == measures.scale
    assert found.visit.eye == "OS"
    put_fovea(result, 9.0, 7.0)  # outside the scan, where Slicer has no circles either
    save(result, tmp_path / "a.nii.gz", replace=True)
    rows = measured(tmp_path / "a.spad.json", MeasureJob()).visit.rows
    assert {row.region for row in rows} == {"total"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_mm_that_nobody_told_is_measured_by_nobody(scene, labels, tmp_path, suffix):
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=(1.0, 1.0, 1.0), name="picture")
    save(Result.create(volume, Layout(), run_of(labels)), tmp_path / f"a{suffix}")
    with pytest.raises(ValueError, match="its scale is unknown; give it: --spacing"):
        measured(tmp_path / "a.spad.json", MeasureJob())
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=(1.0, 0.004, 0.01), name="radial")
    keep_scale(volume, Scale.of((None, 0.004, 0.01)))
    save(Result.create(volume, Layout(), run_of(labels)), tmp_path / f"b{suffix}")
    rows = measured(tmp_path / "b.spad.json", MeasureJob()).visit.rows
    assert [row.volume_nl for row in rows] == [None] * 3
    assert rows[0].largest_area_mm2 == pytest.approx(18 * 0.004 * 0.01)


def found_mm(volume):
    return volume.GetSpacing()[::-1]


def test_a_segmentation_is_read_back_with_its_empty_segments_and_those_of_the_person(
    result, labels, tmp_path
):
    paint(result, 3, 0, 0, 0)  # the only pixel of PED
    labels[3, 0, 0] = 0
    add_own(result)
    save(result, tmp_path / "a.seg.nrrd")
    again = load_segmentation(tmp_path / "a.seg.nrrd")
    inner = again.GetSegmentation()
    names = [inner.GetSegment(s).GetName() for s in inner.GetSegmentIDs()]
    assert names == ["SRF", "IRF", "PED", "drusen"]
    assert np.array_equal(read_segments(again, result.values, result.volume).labels, labels)
    own = read_segments(again, {"drusen": 1}, result.volume).labels
    assert own.sum() == 4
    entry = vtk.reference("")
    srf = inner.GetSegment("SPAD_1")
    assert srf.GetTag(srf.GetTerminologyEntryTagName(), entry)
    assert "SRF" in str(entry)


def test_a_label_map_keeps_segments_of_the_person_under_the_next_values(result, labels, tmp_path):
    add_own(result)
    save(result, tmp_path / "a.nrrd")
    stored = slicer.util.arrayFromVolume(load_label_map(tmp_path / "a.nrrd"))
    assert (stored == 4).sum() == 4
    assert np.array_equal(np.where(stored == 4, 0, stored), labels)
    told = json.loads((tmp_path / "a.spad.json").read_text("utf-8"))
    assert told["classes"][-1]["value"] == 4
    assert told["classes"][-1]["name"] == "drusen"
    assert told["edited"]["pixels"] == {"drusen": 4}


def test_the_sidecar_says_how_it_was_made_and_what_was_painted_and_holds_no_path(
    result, labels, tmp_path
):
    made = run_of(
        labels[:1], checkpoint={"name": "fake", "path": "/home/somebody/fake.safetensors"}
    )
    result.take(made, 0)
    paint(result, 1, slice(0, 3), slice(0, 5), 3)
    image, sidecar = save(result, tmp_path / "a.nii.gz")
    assert (image, sidecar) == (tmp_path / "a.nii.gz", tmp_path / "a.spad.json")
    text = sidecar.read_text("utf-8")
    told = json.loads(text)
    assert told["labels"] == "a.nii.gz"
    assert told["image"] == "OCT"
    assert told["spacing_mm"] == pytest.approx([0.2, 0.004, 0.01])
    assert [c["name"] for c in told["classes"]] == ["background", "SRF", "IRF", "PED"]
    assert [run["bscans"] for run in told["provenance"]] == [[0, 4], [0, 1]]
    assert told["edited"]["pixels"] == {"PED": 15}
    assert [e["bscan"] for e in told["edited"]["bscans"]] == [[1]]
    assert "somebody" not in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nrrd"])
def test_a_parent_transform_is_not_in_the_file_and_said_in_the_sidecar(
    scene, labels, tmp_path, suffix
):
    volume = add_volume(np.zeros(SHAPE, np.uint8))
    moved = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 40.0)
    moved.SetMatrixTransformToParent(matrix)
    volume.SetAndObserveTransformNodeID(moved.GetID())
    result = Result.create(volume, Layout(), run_of(labels))
    save(result, tmp_path / f"a{suffix}")
    told = json.loads((tmp_path / "a.spad.json").read_text("utf-8"))["parent_transform"]
    assert told["applied"] is False
    assert told["to_world_ras"][0] == [1, 0, 0, 40]
    volume.SetAndObserveTransformNodeID(None)
    if suffix == ".nrrd":
        found = labels_of_volume(load_label_map(tmp_path / "a.nrrd"), volume)
    else:
        found = read_segments(load_segmentation(tmp_path / "a.seg.nrrd"), result.values, volume)
    assert np.array_equal(found.labels, labels)
    assert not found.resampled


def test_saving_changes_no_node_of_the_scene(result, scene, tmp_path):
    result.segmentation.AddDefaultStorageNode()
    own = result.segmentation.GetStorageNode()
    own.SetFileName(str(tmp_path / "kept.seg.nrrd"))
    before = scene.GetNumberOfNodes(), result.segmentation.GetModifiedSinceRead()
    pixels = result.segmentation.GetSegmentation().GetSegment("SPAD_1").GetMTime()
    for suffix in SUFFIXES:
        save(result, tmp_path / f"a{suffix}", replace=True)
    assert (scene.GetNumberOfNodes(), result.segmentation.GetModifiedSinceRead()) == before
    assert result.segmentation.GetStorageNode() is own
    assert own.GetFileName() == str(tmp_path / "kept.seg.nrrd")
    assert result.segmentation.GetSegmentation().GetSegment("SPAD_1").GetMTime() == pixels
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [f"a{s}" for s in SUFFIXES] + ["a.spad.json"]
    )


def test_a_file_of_ours_is_replaced_only_when_asked(result, tmp_path):
    path = tmp_path / "a.nrrd"
    save(result, path)
    before = path.read_bytes()
    paint(result, 0, slice(0, 5), slice(0, 5), 1)
    with pytest.raises(ValueError, match=r"a\.nrrd” exists: choose another name, or ask to"):
        save(result, path)
    assert path.read_bytes() == before
    save(result, path, replace=True)
    assert (slicer.util.arrayFromVolume(load_label_map(path))[0, :5, :5] == 1).all()


def test_a_file_of_somebody_else_is_never_replaced(result, tmp_path):
    path = tmp_path / "a.nii.gz"
    path.write_bytes(b"theirs")
    with pytest.raises(ValueError, match="was not saved by SPAD: choose another name"):
        save(result, path, replace=True)
    assert path.read_bytes() == b"theirs"
    (tmp_path / "b.spad.json").write_text("{}")
    with pytest.raises(ValueError, match=r"b\.spad\.json” exists and was not saved by SPAD"):
        save(result, tmp_path / "b.nrrd", replace=True)
    (tmp_path / "c.spad.json").write_text('{"labels": "c.tif"}')  # napari's
    with pytest.raises(ValueError, match=r"c\.spad\.json” exists and describes “c\.tif”.*choose"):
        save(result, tmp_path / "c.nrrd", replace=True)


def test_one_sidecar_does_for_several_formats_until_the_result_changes(result, tmp_path):
    save(result, tmp_path / "a.seg.nrrd")
    save(result, tmp_path / "a.nii.gz")
    paint(result, 0, slice(0, 5), slice(0, 5), 1)
    with pytest.raises(ValueError, match=r"a\.spad\.json” exists and describes “a\.nii\.gz”"):
        save(result, tmp_path / "a.nrrd")
    assert not (tmp_path / "a.nrrd").exists()


def test_an_unknown_extension_is_refused_with_those_that_are_known(result, tmp_path):
    with pytest.raises(ValueError, match=r"“a\.mha” has no .*\.seg\.nrrd \(Segmentation of 3D Sl"):
        save(result, tmp_path / "a.mha")
    with pytest.raises(ValueError, match="has no extension that is known here"):
        save(result, tmp_path / ".nrrd")


def test_a_folder_that_is_missing_or_locked_is_said(result, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="missing” does not exist: make it"):
        save(result, tmp_path / "missing" / "a.nrrd")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(ValueError, match="cannot be written to: choose another"):
        save(result, tmp_path / "a.nrrd")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(result, tmp_path, monkeypatch):
    path = tmp_path / "a.nrrd"
    save(result, path)
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match=r"was not saved \(No space left on device\): free some"):
        save(result, path, replace=True)
    left = {f: f.read_bytes() for f in tmp_path.iterdir() if not f.name.endswith(".tmp")}
    assert left == before


@pytest.mark.parametrize("before", [False, True])
def test_a_label_map_that_fails_leaves_no_sidecar_that_a_next_try_would_stumble_over(
    result, tmp_path, monkeypatch, before
):
    path, put, fails = tmp_path / "a.nrrd", os.replace, [True]
    if before:
        save(result, path)
        paint(result, 0, slice(0, 5), slice(0, 5), 1)
    held = {file: file.read_bytes() for file in tmp_path.iterdir()}

    def full(fresh, target):
        if fails[0] and os.fspath(target) == str(path):
            fails[0] = False
            raise OSError(28, "No space left on device")
        put(fresh, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ValueError, match="No space left on device"):
        save(result, path, replace=before)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == held
    save(result, path, replace=before)
    assert json.loads((tmp_path / "a.spad.json").read_text("utf-8"))["labels"] == "a.nrrd"


@pytest.mark.parametrize("write", [save, lambda r, path: save_volume(r.uncertainty_node, path)])
def test_what_slicer_leaves_of_a_failed_write_goes_with_it(result, tmp_path, monkeypatch, write):
    class Full(slicer.vtkMRMLVolumeArchetypeStorageNode):
        def WriteData(self, node):
            folder = os.path.join(os.path.dirname(self.GetFileName()), "TempWritea")
            os.mkdir(folder)
            for name in (self.GetFileName(), os.path.join(folder, "a.nrrd")):
                with open(name, "wb") as file:
                    file.write(b"NRRD")
            return 0

    monkeypatch.setattr(slicer, "vtkMRMLVolumeArchetypeStorageNode", Full)
    with pytest.raises(ValueError, match=r"a\.nrrd”.*: is the disk full\? Free some space, or"):
        write(result, tmp_path / "a.nrrd")
    assert not list(tmp_path.iterdir())


def test_a_sheared_grid_is_refused_as_nifti_and_kept_as_nrrd(scene, labels, tmp_path):
    steps = np.diag([-1.0, -1.0, 1.0])
    steps[0, 1] = 0.3
    volume = add_volume(np.zeros(SHAPE, np.uint8), directions=steps)
    result = Result.create(volume, Layout(), run_of(labels))
    with pytest.raises(ValueError, match="not at right angles, which NIfTI cannot hold"):
        save(result, tmp_path / "a.nii.gz")
    save(result, tmp_path / "a.nrrd")
    assert np.allclose(ijk_to_ras(load_label_map(tmp_path / "a.nrrd")), ijk_to_ras(volume))


def test_a_segmentation_that_is_edited_as_surfaces_is_refused_as_seg_nrrd(result, tmp_path):
    result.segmentation.CreateClosedSurfaceRepresentation()
    save(result, tmp_path / "a.seg.nrrd")  # with surfaces for the 3D view only
    result.segmentation.GetSegmentation().SetSourceRepresentationName("Closed surface")
    with pytest.raises(ValueError, match="make “Binary labelmap” its source representation"):
        save(result, tmp_path / "b.seg.nrrd")


def test_a_result_without_its_volume_is_refused_in_words(result, scene, tmp_path):
    scene.RemoveNode(result.volume)
    with pytest.raises(ValueError, match="was removed from the scene, and with it the grid"):
        save(result, tmp_path / "a.nrrd")


def test_names_to_offer_are_good_on_every_file_system(result):
    result.segmentation.SetName('OCT: left/right "1"')
    names = storage_names(result)
    assert names[".seg.nrrd"] == "OCT_ left_right _1_.seg.nrrd"
    assert list(names) == list(SUFFIXES)
    assert result.segmentation.GetStorageNode() is None


# ---------------------------------------------------------------------- DICOM SEG


class Exportable:
    def __init__(self, item):
        self.item, self.directory, self.tags = item, "", {}

    def setTag(self, name, value):
        self.tags[name] = value


class Plugin:
    """Does as QuantitativeReporting's does with what it is given, but for the encoding."""

    def __init__(self, answer=""):
        self.answer, self.seen = answer, {}

    def examineForExport(self, item):
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        if not hierarchy.GetItemAttribute(item, "DICOM.ReferencedInstanceUIDs").split():
            return []
        return [Exportable(item)]

    def export(self, exportables):
        (one,) = exportables
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        node = hierarchy.GetItemDataNode(one.item)
        role = node.GetReferenceImageGeometryReferenceRole()
        self.source = node.GetNodeReference(role)
        self.tags, self.parent = one.tags, hierarchy.GetItemParent(one.item)
        inner = node.GetSegmentation()
        self.geometry = inner.GetConversionParameter("Reference image geometry")
        for segment in inner.GetSegmentIDs():
            scalars = inner.GetSegment(segment).GetRepresentation("Binary labelmap")
            pixels = scalars.GetPointData().GetArray("ImageScalars")
            assert pixels is not None
            assert pixels.GetValueRange() != (0, 0)
            told = vtk.reference("")
            inner.GetSegment(segment).GetTag("DICOM.SegmentAlgorithmType", told)
            merged = read_segments(node, {segment: 1}, self.source).labels
            self.seen[segment] = (str(told), int(merged.sum()))
        if not self.answer:
            with open(os.path.join(one.directory, "seg.dcm"), "wb") as file:
                file.write(b"DICM")
        return self.answer


@pytest.fixture
def from_dicom(result):
    result.volume.SetAttribute("DICOM.instanceUIDs", "1.2.3 1.2.4")
    return result


def test_dicom_seg_gets_the_filled_segments_and_who_made_them(from_dicom, scene, tmp_path):
    paint(from_dicom, 3, 0, 0, 0)  # the only pixel of PED
    paint(from_dicom, 0, 0, slice(0, 2), 2)
    before = scene.GetNumberOfNodes()
    plugin = Plugin()
    assert dicom_seg.export(from_dicom, tmp_path, plugin=plugin) == [tmp_path / "seg.dcm"]
    assert plugin.seen == {"SPAD_1": ("AUTOMATIC", 18), "SPAD_2": ("SEMIAUTOMATIC", 11)}
    assert plugin.source is from_dicom.volume
    assert plugin.tags["SeriesDescription"] == from_dicom.segmentation.GetName()
    assert scene.GetNumberOfNodes() == before
    tag = vtk.reference("")
    inner = from_dicom.segmentation.GetSegmentation()
    assert not inner.GetSegment("SPAD_1").GetTag("DICOM.SegmentAlgorithmType", tag)


def test_dicom_seg_lies_in_the_study_of_its_source(from_dicom, scene, tmp_path):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "study")
    hierarchy.CreateItem(study, from_dicom.volume)  # the application does so by itself
    plugin = Plugin()
    dicom_seg.export(from_dicom, tmp_path, plugin=plugin)
    assert plugin.parent == study


def test_dicom_seg_of_a_volume_under_a_transform_has_its_geometry(scene, labels, tmp_path):
    volume = add_volume(np.zeros(SHAPE, np.uint8), spacing=(0.2, 0.004, 0.01), name="OCT")
    volume.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    shift = np.eye(4)
    shift[:3, 3] = 5, 6, 7
    node.SetMatrixTransformToParent(slicer.util.vtkMatrixFromArray(shift))
    volume.SetAndObserveTransformNodeID(node.GetID())
    plugin = Plugin()
    dicom_seg.export(Result.create(volume, Layout(), run_of(labels)), tmp_path, plugin=plugin)
    told, matrix = slicer.vtkOrientedImageData(), vtk.vtkMatrix4x4()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(plugin.geometry, told, False)
    told.GetImageToWorldMatrix(matrix)
    assert np.allclose(slicer.util.arrayFromVTKMatrix(matrix), ijk_to_ras(volume), atol=1e-6)


def test_dicom_seg_of_a_volume_from_elsewhere_is_refused(result, tmp_path):
    with pytest.raises(ValueError, match="“OCT” was not loaded from Slicer's DICOM database"):
        dicom_seg.export(result, tmp_path, plugin=Plugin())


def test_dicom_seg_without_a_code_is_refused(from_dicom, scene, tmp_path):
    own = add_own(from_dicom)
    segment = from_dicom.segmentation.GetSegmentation().GetSegment(own)
    segment.RemoveTag(segment.GetTerminologyEntryTagName())
    before = scene.GetNumberOfNodes()
    with pytest.raises(ValueError, match="“drusen” has no terminology code"):
        dicom_seg.export(from_dicom, tmp_path, plugin=Plugin())
    assert scene.GetNumberOfNodes() == before


def test_dicom_seg_of_nothing_is_refused(from_dicom, tmp_path):
    paint(from_dicom, slice(None), slice(None), slice(None), 0)
    with pytest.raises(ValueError, match="is empty: DICOM SEG holds only segments that have pix"):
        dicom_seg.export(from_dicom, tmp_path, plugin=Plugin())


def test_what_the_dicom_plugin_says_is_passed_on(from_dicom, scene, tmp_path):
    before = scene.GetNumberOfNodes()
    with pytest.raises(ValueError, match="did not write “OCT fake”: files are missing"):
        dicom_seg.export(from_dicom, tmp_path, plugin=Plugin("files are missing"))
    assert scene.GetNumberOfNodes() == before


def test_the_dicom_plugin_is_looked_for_where_slicer_keeps_them(from_dicom, tmp_path):
    assert "install it in the Extensions Manager" in dicom_seg.available()
    with pytest.raises(ValueError, match="needs the extension QuantitativeReporting"):
        dicom_seg.export(from_dicom, tmp_path)
    slicer.modules.dicomPlugins = {"DICOMSegmentationPlugin": Plugin}
    assert dicom_seg.available() == ""
    assert dicom_seg.export(from_dicom, tmp_path) == [tmp_path / "seg.dcm"]
