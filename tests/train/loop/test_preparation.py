"""Before the first step: cases checked all at once, validation patients, card and fingerprint."""

from __future__ import annotations

import json
import shutil
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spad.cases import CaseError, NewCase
from spad.checkpoint import model_path, read_card, save_with_card
from spad.checkpoint.card import Card
from spad.phantom import bscan
from spad.train.config import ConfigError, load_config
from spad.train.data import read_image, read_labels, write_folder
from spad.train.loop import preparation as prepare_module
from spad.train.loop.preparation import Prepared, prepare

NAMES = {0: "background", 1: "SRF", 2: "IRF"}


def new(name: str, split: str = "train", *, patient: str | None = None, seed: int = 0) -> NewCase:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 200, (40, 60)).astype(np.uint8)
    return NewCase(name, image, (image % 3).astype(np.uint8), split=split, patient=patient or name)


def folder(path: Path, *cases: NewCase, names: dict[int, str] | None = None) -> Path:
    write_folder(path, cases, names or NAMES)
    return path


def config_of(tmp_path: Path, *words: str, text: str = "", folders: str = '["set"]') -> Path:
    path = tmp_path / "run.toml"
    path.write_text(
        f'name = "m"\n{text}\n[data]\nfolders = {folders}\nlicence = "CC0"\nsource = "nowhere"\n'
        "[input]\nsize = [64, 96]\n"
    )
    return path


def prepared(path: Path, *words: str) -> Prepared:
    return prepare(load_config(path, words))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A configuration beside ``set``: three patients train, one of them twice; one validates."""
    folder(
        tmp_path / "set",
        new("a1", patient="A"),
        new("a2", patient="A", seed=1),
        new("b", seed=2),
        new("c", seed=3),
        new("v", "val", seed=4),
    )
    return config_of(tmp_path)


def names_of(cases: object) -> list[str]:
    return [case.name for case, _ in cases]  # type: ignore[attr-defined]


# --- cases


def test_the_splits_are_those_of_the_folder(run: Path) -> None:
    made = prepared(run)
    assert names_of(made.training) == ["a1", "a2", "b", "c"]
    assert names_of(made.validation) == ["v"]


def test_other_splits_can_be_named(run: Path) -> None:
    made = prepared(run, "data.train=val", "data.validation=train")
    assert names_of(made.training) == ["v"]
    assert names_of(made.validation) == ["a1", "a2", "b", "c"]


def test_without_a_validation_split_patients_are_drawn_and_it_is_said(tmp_path: Path) -> None:
    cases = [new(f"p{i}_{j}", patient=f"P{i}", seed=10 * i + j) for i in range(5) for j in (1, 2)]
    folder(tmp_path / "set", *cases)
    path = config_of(tmp_path)
    drawn = set()
    for seed in range(6):
        with pytest.warns(UserWarning, match="1 of 5 patients"):
            made = prepared(path, f"seed={seed}")
        training = {case.patient for case, _ in made.training}
        validation = {case.patient for case, _ in made.validation}
        assert (len(training), len(validation)) == (4, 1)
        assert not training & validation  # both images of a patient are on one side
        assert (len(made.training), len(made.validation)) == (8, 2)
        drawn |= validation
    assert len(drawn) > 1


def test_all_faults_of_all_folders_are_told_at_once(tmp_path: Path) -> None:
    first = folder(tmp_path / "set", new("a"), new("b", seed=1), new("v", "val"))
    second = folder(tmp_path / "two", new("c"), new("d", seed=1), new("w", "val"))
    (first / "masks" / "a.png").unlink()
    (first / "images" / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (second / "masks" / "c.png").write_bytes((first / "masks" / "b.png").read_bytes()[:40])
    (second / "images" / "d.png").unlink()
    with pytest.raises(CaseError) as caught:
        prepared(config_of(tmp_path, folders='["set", "two"]'))
    message = str(caught.value)
    for name in ("a.png", "b.png", "c.png", "d"):
        assert name in message
    assert len(caught.value.problems) >= 4


def test_a_folder_that_is_not_there_is_told_by_name(tmp_path: Path) -> None:
    with pytest.raises((CaseError, OSError), match="set"):
        prepared(config_of(tmp_path))


def test_no_folder_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.folders"):
        prepared(config_of(tmp_path, folders="[]"))


def test_a_validation_split_that_no_folder_has_is_refused(run: Path) -> None:
    said = "data.validation is 'vall', a split of no folder; they have train, val: name one"
    with pytest.raises(ConfigError, match=said):
        prepared(run, "data.validation=vall")


def test_a_validation_split_that_some_folders_lack_is_told_as_not_used(tmp_path: Path) -> None:
    folder(tmp_path / "set", new("a"), new("v", "val", seed=1), new("w", "val", seed=2))
    folder(tmp_path / "two", new("b", seed=3), new("c", seed=4))
    path = config_of(tmp_path, folders='["set", "two"]')
    said = r"no split 'val' in two, so that of set \(2 images\) is not used: 1 of 3 patients"
    with pytest.warns(UserWarning, match=said):
        prepared(path)


def test_patients_of_one_id_in_two_folders_are_told(tmp_path: Path) -> None:
    folder(tmp_path / "set", new("a", patient="P1"), new("v", "val", seed=1))
    folder(tmp_path / "two", new("b", patient="P2", seed=2), new("w", "val", patient="p1", seed=3))
    said = "1 patients validate whose ids train in another folder, such as 'p1' of two and set"
    with pytest.warns(UserWarning, match=said):
        prepared(config_of(tmp_path, folders='["set", "two"]'))


def test_an_image_that_trains_and_validates_is_told_whatever_its_name(tmp_path: Path) -> None:
    seen = [new("a"), new("b", seed=1), new("v", "val", seed=2)]
    folder(tmp_path / "set", *seen)
    folder(tmp_path / "two", new("c", seed=3), new("w", "val", seed=1), new("x", "val", seed=4))
    said = r"1 of 3 validation images train too, byte for byte, such as .*two.images.w\.png and .*b"
    with pytest.warns(UserWarning, match=said):
        prepared(config_of(tmp_path, folders='["set", "two"]'))


# --- classes


def test_several_folders_with_other_numbers_train_one_model(tmp_path: Path) -> None:
    folder(tmp_path / "set", new("a"), new("v", "val"))
    others = {0: "nothing", 1: "cyst", 2: "fluid"}
    folder(tmp_path / "two", new("b"), new("w", "val"), names=others)
    mapping = (
        '[classes]\nbackground = ["background", "nothing"]\nIRF = ["IRF", "cyst"]\n'
        'SRF = ["SRF", "fluid"]\n'
    )
    path = config_of(tmp_path, text=mapping, folders='["set", "two"]')
    made = prepared(path)
    assert [c.name for c in made.card.classes] == ["background", "IRF", "SRF"]
    tables = {case.name: table[:4].tolist() for case, table in (*made.training, *made.validation)}
    assert tables["a"] == tables["v"] == [0, 2, 1, 255]
    assert tables["b"] == tables["w"] == [0, 1, 2, 255]


def test_the_card_remembers_by_name_what_became_each_class(tmp_path: Path) -> None:
    folder(tmp_path / "set", new("a"), new("v", "val", seed=1))
    path = config_of(tmp_path, text="[classes]\nbackground = [0]\nfluid = [1, 2]\n")
    stored = prepared(path).card.training["mapping"]
    assert stored == {"set": {"background": ["background"], "fluid": ["SRF", "IRF"]}}


def test_phantoms_need_the_background_first_too(tmp_path: Path) -> None:
    path = config_of(tmp_path, text="[classes]\nSRF = []\nbackground = []\n", folders="[]")
    with pytest.raises(ConfigError, match="the first class is 'SRF'"):
        prepared(path, "data.phantoms=1")


def test_ignored_values_are_no_class(run: Path) -> None:
    words = ["classes.background=[0]", "classes.SRF=[1]", "classes.ignore=[2]"]
    made = prepared(run, *words)
    assert [c.name for c in made.card.classes] == ["background", "SRF"]
    assert made.training[0][1][:3].tolist() == [0, 1, 255]


def test_without_a_mapping_the_folders_classes_are_the_models(run: Path) -> None:
    assert [c.name for c in prepared(run).card.classes] == list(NAMES.values())


def test_folders_that_differ_need_a_mapping(tmp_path: Path) -> None:
    folder(tmp_path / "set", new("a"), new("v", "val"))
    folder(tmp_path / "two", new("b"), new("w", "val"), names={0: "background", 1: "x", 2: "y"})
    with pytest.raises(CaseError, match="give a mapping"):
        prepared(config_of(tmp_path, folders='["set", "two"]'))


# --- card and fingerprint


def test_the_card_says_what_is_trained_on_what(run: Path) -> None:
    card = prepared(run, "seed=7", "optimiser.steps=11").card
    training = card.training
    assert (card.name, card.input.size) == ("m", (64, 96))
    assert (training["method"], training["preset"], training["seed"]) == ("spad", "default", 7)
    assert (training["steps"], training["batch"]) == (11, 8)
    assert training["cases"] == {"training": 4, "validation": 1}
    assert training["data"] == [{"name": "set", "licence": "CC0", "source": "nowhere"}]
    assert not card.scores
    assert Card.from_json(json.loads(json.dumps(card.as_json()))) == card


def test_the_card_names_the_data_of_the_model_that_it_goes_on_from(run: Path) -> None:
    data = prepared(run, "init=oct-lesions").card.training["data"]
    assert data[0] == {"name": "set", "licence": "CC0", "source": "nowhere"}
    assert [(one["name"], one["licence"]) for one in data[1:]] == [
        ("oct_kermany_lesions", "CC BY 4.0"),
        ("phantoms", "BSD-3-Clause"),
    ]


@pytest.mark.parametrize(("stored", "told"), [([{"bscans": 2}], [{"bscans": 2}]), (5, None)])
def test_the_card_tells_what_the_model_had_learnt_that_it_goes_on_from(
    run: Path, tmp_path: Path, stored: object, told: object
) -> None:
    start = model_path("oct-lesions")
    card = read_card(start)
    card = replace(card, training={**card.training, "learnt": stored})
    save_with_card(start, card, tmp_path / "learnt.safetensors")
    trained = prepared(run, f"init={tmp_path / 'learnt.safetensors'}").card
    assert trained.training.get("learnt") == told


def test_the_cards_statistics_are_those_of_the_training_images(run: Path) -> None:
    statistics = prepared(run).card.input.statistics
    assert statistics["heights"] == [40, 40, 40]
    assert statistics["widths"] == [60, 60, 60]
    histogram = np.array(statistics["histogram"])
    assert histogram.sum() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(histogram, 1 / 16, atol=0.02)  # the images are uniform


def test_settings_that_no_card_can_have_are_refused_before_training(run: Path) -> None:
    with pytest.raises(ValueError, match="not a multiple of the network's stride 32"):
        prepared(run, "input.size=[64, 100]")


def test_a_start_from_a_model_of_another_scale_is_told(run: Path) -> None:
    said = r"images at 64 x 96 \(inside\) pixels, oct-lesions, .* at 192 x 512 \(width\): "
    with pytest.warns(UserWarning, match=said):
        prepared(run, "init=oct-lesions")
    run.write_text(run.read_text().partition("[input]")[0])  # its own
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        prepared(run, "init=oct-lesions")
    assert not [w for w in caught if "sees images at" in str(w.message)]


def test_the_fingerprint_tells_whether_the_cases_changed(run: Path) -> None:
    before = prepared(run).fingerprint
    assert prepared(run, "optimiser.steps=3", "name=other").fingerprint == before
    mapped = ["classes.background=[0]", "classes.SRF=[1, 2]"]
    changes = {before, prepared(run, *mapped).fingerprint}
    split = run.parent / "set" / "split.json"
    content = json.loads(split.read_text())
    folder(run.parent / "set", new("d", seed=9))
    changes.add(prepared(run).fingerprint)
    content["train"]["images"].remove("b")
    content["val"]["images"].append("b")
    content["train"]["patients"].remove("b")
    content["val"]["patients"].append("b")
    split.write_text(json.dumps(content))
    changes.add(prepared(run).fingerprint)
    assert len(changes) == 4


def test_the_fingerprint_tells_whether_a_file_changed(run: Path) -> None:
    before = prepared(run).fingerprint
    write_folder(run.parent / "set", [new("b", seed=77)], NAMES, replace=True)
    assert prepared(run).fingerprint != before


def test_the_fingerprint_tells_a_training_case_from_a_validation_case(run: Path) -> None:
    before = prepared(run).fingerprint
    split = run.parent / "set" / "split.json"
    content = json.loads(split.read_text())
    for kind in ("images", "patients"):
        content["train"][kind].remove("c")
        content["val"][kind].insert(0, "c")  # the order of all cases stays
    split.write_text(json.dumps(content))
    made = prepared(run)
    assert names_of(made.training) + names_of(made.validation) == ["a1", "a2", "b", "c", "v"]
    assert len(made.training) == 3
    assert made.fingerprint != before


def test_a_copied_data_set_is_the_same(run: Path, tmp_path: Path) -> None:
    before = prepared(run).fingerprint
    moved = tmp_path / "elsewhere"
    shutil.copytree(run.parent / "set", moved / "set")  # other dates
    (moved / "run.toml").write_text(run.read_text())
    assert prepared(moved / "run.toml").fingerprint == before


# --- limit


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """Ten patients of three images each, and one who validates."""
    cases = [new(f"p{i}_{j}", patient=f"P{i}", seed=3 * i + j) for i in range(10) for j in range(3)]
    folder(tmp_path / "set", *cases, new("v", "val", seed=99))
    return config_of(tmp_path)


def test_a_limit_draws_whole_patients_with_the_seed(ten: Path) -> None:
    drawn = {}
    for seed in (0, 1):
        for limit in (6, 7, 15):
            with pytest.warns(UserWarning, match=f"{limit} of 30 training cases"):
                made = prepared(ten, f"data.limit={limit}", f"seed={seed}")
            assert len(made.training) == limit
            assert names_of(made.validation) == ["v"]
            counts = Counter(case.patient for case, _ in made.training)
            assert sorted(counts.values()) == [limit % 3] * (limit % 3 > 0) + [3] * (limit // 3)
            drawn[seed, limit] = set(names_of(made.training))
        assert drawn[seed, 6] < drawn[seed, 7] < drawn[seed, 15]
    assert drawn[0, 6] != drawn[1, 6]


def test_a_limit_above_the_number_of_cases_uses_all_and_says_so(ten: Path) -> None:
    with pytest.warns(UserWarning, match="data.limit is 500, and there are only 30"):
        made = prepared(ten, "data.limit=500")
    assert len(made.training) == 30


# --- phantoms


def test_phantoms_alone_need_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('name = "m"\n[data]\nphantoms = 1.0\n[input]\nsize = [64, 96]\n')
    with pytest.warns(UserWarning, match="64 phantoms with seeds from 1000000 on"):
        made = prepared(path)
    assert made.training == ()
    assert [c.name for c in made.card.classes][1:] == ["SRF", "IRF", "PED", "SHRM", "IS/OS"]
    case, table = made.validation[0]
    image = read_image(case)
    np.testing.assert_array_equal(image, bscan(1_000_000, shape=(64, 96), randomise=True).image)
    assert read_labels(case, table).shape == (64, 96)
    assert made.card.training["data"][0]["name"] == "phantoms"
    assert made.card.input.statistics["heights"] == [64, 64, 64]


def test_without_folders_and_phantoms_alone_nothing_can_train(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.folders has length 0"):
        prepared(config_of(tmp_path, folders="[]"), "data.phantoms=0.5")


def test_phantoms_without_a_class_of_the_model_are_refused(run: Path) -> None:
    words = ["classes.background=[0]", "classes.drusen=[1, 2]", "data.phantoms=0.5"]
    with pytest.raises(ConfigError, match=r"data\.phantoms=0"):
        prepared(run, *words)


def test_what_phantoms_have_and_what_they_lack_is_said(run: Path) -> None:
    words = ["classes.background=[0]", "classes.SRF=[1]", "classes.drusen=[2]"]
    with pytest.warns(UserWarning, match="train SRF; their IRF, PED.*do not have drusen"):
        made = prepared(run, *words, "data.phantoms=0.5")
    assert made.fingerprint != prepared(run, *words).fingerprint


# --- many cases


def test_of_many_cases_a_sample_is_checked_and_it_is_said(
    ten: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_module, "_CHECKED", 10)
    monkeypatch.setattr(prepare_module, "_SAMPLE", 5)
    (ten.parent / "set" / "masks" / "p1_1.png").write_bytes(b"x")  # none of the sample
    with pytest.warns(UserWarning, match="31 cases: 5 of each split are checked now"):
        before = prepared(ten)
    assert len(before.training) == 30
    (ten.parent / "set" / "masks" / "p1_2.png").write_bytes(b"shorter")
    with pytest.warns(UserWarning, match="31 cases"):
        assert prepared(ten).fingerprint != before.fingerprint
    (ten.parent / "set" / "masks" / "p0_0.png").write_bytes(b"x")  # the first of it
    with (
        pytest.warns(UserWarning, match="31 cases"),
        pytest.raises(CaseError, match=r"p0_0\.png"),
    ):
        prepared(ten)


def test_balance_looks_at_all_cases(ten: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "_CHECKED", 10)
    made = prepared(ten, "data.balance=0.5")
    assert made.shown is not None
    assert made.shown.all()  # each image has every value
