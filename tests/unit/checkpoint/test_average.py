"""The mean of models is their mean, and only of models that can have one."""

from dataclasses import replace

import pytest
import torch

from spad.checkpoint import (
    Card,
    InputConfig,
    NetworkConfig,
    SamplingConfig,
    ScheduleConfig,
    label_classes,
    load,
    load_origin,
    save,
)
from spad.commands import main

CARD = Card(
    name="tiny",
    classes=label_classes(["background", "SRF"]),
    network=NetworkConfig(),
    schedule=ScheduleConfig(),
    input=InputConfig(),
    sampling=SamplingConfig(),
    training={"licence": "MIT", "steps": 3},
    scores={"mean": 0.9},
)


def written(tmp_path, name, value, card=CARD):
    path = tmp_path / f"{name}.safetensors"
    save(path, card, {"a": torch.full((2, 2), float(value)), "n": torch.tensor(5)}, half=False)
    return str(path)


def test_the_mean_is_written_with_the_first_card_and_nobodys_scores_or_licence(tmp_path, capsys):
    models = [written(tmp_path, "abc"[i], value) for i, value in enumerate((1, 2, 6))]
    out = tmp_path / "new" / "mean.safetensors"
    assert main(["average", *models, "-o", str(out)]) == 0
    card, tensors = load(out)
    assert torch.equal(tensors["a"], torch.full((2, 2), 3.0))
    assert torch.equal(tensors["n"], torch.tensor(5))
    assert (card.name, card.scores) == ("tiny", {})
    assert card.training == {"steps": 3, "mean of": "the weights of 3 models"}
    assert main(["average", *models, "-o", str(out)]) == 2
    assert "exists; choose another name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"classes": label_classes(["background", "IRF"])},
            "differ in classes (background, IRF and background, SRF);",
        ),
        (
            {"classes": (CARD.classes[0], replace(CARD.classes[1], color=(1, 2, 3)))},
            "differ in classes (colours or terms of alike names);",
        ),
        (
            {"input": InputConfig(size=(64, 64), statistics={"histogram": [0.5] * 16})},
            "differ in input (size (64, 64) and (256, 256));",
        ),
        ({"network": NetworkConfig(kind="unet")}, "differ in network (kind unet and "),
        ({"schedule": ScheduleConfig(steps=9)}, "differ in schedule (steps 9 and "),
    ],
)
def test_models_that_have_no_mean_are_refused_by_name(tmp_path, capsys, changes, words):
    one, other = written(tmp_path, "a", 1), written(tmp_path, "b", 2, replace(CARD, **changes))
    assert main(["average", one, other, "-o", str(tmp_path / "c.safetensors")]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert "b.safetensors" in told
    assert not (tmp_path / "c.safetensors").exists()


def test_models_of_other_images_have_a_mean_that_knows_the_images_of_all(tmp_path):
    def of(heights, contrast, **more):
        seen = {"heights": heights, "measures": {"contrast": contrast, **more}, "histogram": [1]}
        return replace(CARD, input=InputConfig(statistics=seen))

    one = written(tmp_path, "a", 1, of([60, 64, 70], [1, 2.0, 3], spacing=[1, 1, 1]))
    other = written(tmp_path, "b", 3, of([50, 66, 68], [0.5, 4.0, 9]))
    assert main(["average", one, other, "-o", str(tmp_path / "c.safetensors")]) == 0
    card, tensors = load(tmp_path / "c.safetensors")
    assert torch.equal(tensors["a"], torch.full((2, 2), 2.0))
    assert card.input.statistics == {
        "heights": [50, 65, 70], "measures": {"contrast": [0.5, 3, 9]}, "histogram": [1],
    }  # fmt: skip


def test_a_model_that_lacks_a_tensor_is_refused_by_name(tmp_path, capsys):
    one, other = written(tmp_path, "a", 1), str(tmp_path / "b.safetensors")
    save(other, CARD, {"a": torch.ones(2, 2)}, half=False)
    assert main(["average", one, other, "-o", str(tmp_path / "c.safetensors")]) == 2
    assert "b.safetensors" in (told := capsys.readouterr().err)
    assert "hold other tensors" in told
    assert not (tmp_path / "c.safetensors").exists()


def test_one_model_has_no_mean(tmp_path, capsys):
    assert main(["average", written(tmp_path, "a", 1), "-o", str(tmp_path / "c.safetensors")]) == 2
    assert "two or more" in capsys.readouterr().err


def learnt(tmp_path, name, value, lessons, origin, data=()):
    """A model that has learnt: its records, and what it was before."""
    card = replace(
        CARD, name=f"{name}, learnt",
        training={"steps": 3, "data": [{"name": d} for d in data], "learnt": list(lessons)},
    )  # fmt: skip
    path = tmp_path / f"{name}.safetensors"
    tensors = {"a": torch.full((2, 2), float(value)), "n": torch.tensor(5)}
    save(path, card, tensors, origin={"a": torch.full((2, 2), float(origin))}, half=False)
    return str(path)


A, B, C = ({"bscans": n, "pixels": 9, "earlier_bscans": 0} for n in (1, 2, 3))


def test_the_mean_of_models_that_learnt_tells_of_all_lessons_and_keeps_their_beginning(
    tmp_path, capsys
):
    first = learnt(tmp_path, "x", 2, [A, A, B], 1, ["one"])
    models = [
        first, learnt(tmp_path, "y", 4, [A, C], 1, ["one", "two"]),
        written(tmp_path, "base", 1, replace(CARD, training={"licence": "MIT"})), first,
    ]  # fmt: skip
    out = tmp_path / "mean.safetensors"
    assert main(["average", *models, "-o", str(out)]) == 0
    assert capsys.readouterr().err == ""
    card = load(out)[0]
    assert card.name == "mean of x, learnt, y, learnt and tiny"
    assert card.training["learnt"] == [A, A, B, C]
    assert card.training["data"] == [{"name": "one"}, {"name": "two"}]
    assert torch.equal(load_origin(out)["a"], torch.ones(2, 2))


@pytest.mark.parametrize("turned", [False, True])
def test_a_beginning_that_is_not_one_for_all_is_left_out_and_that_is_said(tmp_path, capsys, turned):
    base = written(tmp_path, "base", 7, replace(CARD, name="b" * 60, training={"learnt": 5}))
    for other in (learnt(tmp_path, "y", 4, [B], 3), base):
        models = [learnt(tmp_path, "x", 2, [A], 1), other]
        out = tmp_path / f"{len(list(tmp_path.iterdir()))}.safetensors"
        assert main(["average", *(models[::-1] if turned else models), "-o", str(out)]) == 0
        assert "began to learn from other weights" in capsys.readouterr().err
        assert load_origin(out) is None
        assert A in load(out)[0].training["learnt"]
    named = replace(CARD, name="c" * 60)
    models = [base, written(tmp_path, "c", 1, named)]
    assert main(["average", *models, "-o", str(tmp_path / "n.safetensors")]) == 0
    assert load(tmp_path / "n.safetensors")[0].name == "mean of 2 models"
