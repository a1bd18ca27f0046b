"""The files of a batch, and results that do not overwrite each other."""

from __future__ import annotations

from pathlib import Path

from spad.annotation.batch_files import images_in, result_stems


def test_hidden_files_folders_and_what_does_not_open_are_no_images(tmp_path):
    for name in ("b.png", "a.png", "._a.png", "letter.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "c.png").mkdir()
    found = images_in(tmp_path, lambda path: path.suffix == ".png")
    assert [path.name for path in found] == ["a.png", "b.png"]


def test_a_link_to_nothing_is_listed_so_that_it_is_told_and_one_to_a_folder_is_none(tmp_path):
    (tmp_path / "a.png").symlink_to(tmp_path / "gone")
    (tmp_path / "b.png").symlink_to(tmp_path)
    assert [path.name for path in images_in(tmp_path, lambda path: True)] == ["a.png"]


def test_of_a_case_folder_its_images_are_listed(tmp_path):
    for name in ("labels.json", "images/a.png", "masks/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = images_in(tmp_path, lambda path: path.suffix == ".png")
    assert found == [tmp_path / "images" / "a.png"]
    (tmp_path / "labels.json").unlink()  # somebody's folder with a folder in it
    assert images_in(tmp_path, lambda path: path.suffix == ".png") == []


def test_results_are_named_after_their_image_and_two_of_one_name_do_not_meet():
    images = [Path("eye.png"), Path("Eye.tif"), Path("scan.nii.gz")]
    named = result_stems(images, lambda path: path.name.split(".")[0])
    assert list(named.values()) == ["eye_png", "Eye_tif", "scan"]


def test_a_made_up_name_is_not_that_of_another_image():
    images = [Path("a.png"), Path("a.tif"), Path("a_png.bmp"), Path("A_TIF.bmp")]
    names = list(result_stems(images).values())
    assert names == ["a_png_", "a_tif_", "a_png", "A_TIF"]
