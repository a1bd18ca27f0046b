"""A lesson: what was corrected is learnt, the old model stays, and what does not fit is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import spad.learning.updates as updates
from spad.checkpoint import (
    IGNORE,
    Card,
    InputConfig,
    LabelClass,
    NetworkConfig,
    SamplingConfig,
    ScheduleConfig,
    label_classes,
    load,
    read_card,
)
from spad.inference import learning_steps as steps_module
from spad.inference.segmenter import Segmenter
from spad.inference.segmenter import load as open_segmenter
from spad.learning import Example, Recipe, learning_loss
from spad.learning.views import views, window_of
from spad.network import build

SHAPE = (32, 48)
QUICK = {"steps": 4, "batch": 2}


def taught(bscan, value=2):
    """An image with a bright disc, and the label map that says what it is."""
    image = bscan(SHAPE).astype(np.float32)
    y, x = np.indices(SHAPE)
    disc = (y - 16) ** 2 + (x - 20) ** 2 < 64
    image[disc] = 400
    return image, np.where(disc, value, 0).astype(np.uint8)


def state(segmenter):
    return {k: v.clone() for k, v in segmenter._model.network.state_dict().items()}


def test_what_is_taught_is_found_and_the_old_model_stays_as_it_is(model, bscan):
    old = model("unet")
    old.card = replace(old.card, training={"licence": "MIT"})
    image, labels = taught(bscan)
    before = state(old)
    learnt = old.learn([image], [labels], steps=60, learning_rate=1e-2, old_bscans=0, reach=10)

    def right(segmenter):
        return ((segmenter.segment(image).labels == 2) == (labels == 2)).mean()

    assert right(learnt) > max(0.95, right(old))
    assert all(torch.equal(before[k], v) for k, v in state(old).items())
    assert learnt.sha256 == ""
    assert learnt.card.name == "tiny, learnt"
    assert "licence" not in learnt.card.training  # for whoever taught it to say
    assert learnt.card.training["learnt"] == [{"bscans": 1, "pixels": 32 * 48, "earlier_bscans": 0}]
    assert learnt.card.scores == {}
    twice = learnt.learn([image], [labels], **QUICK).card
    assert twice.name == "tiny, learnt"
    assert len(twice.training["learnt"]) == 2


def test_the_same_seed_gives_the_same_model_and_another_one_another(model, bscan):
    old = model()
    one, two, other = (
        state(old.learn([taught(bscan)[0]], [taught(bscan)[1]], seed=s, **QUICK)) for s in (0, 0, 1)
    )
    assert all(torch.equal(one[k], two[k]) for k in one)
    assert any(not torch.equal(one[k], other[k]) for k in one)


def test_what_sees_the_image_learns_only_if_asked_for(model, bscan):
    old = model()
    before = state(old)

    still = {k for k in before if k.startswith("encoder.unet.encoder")}
    after = state(old.learn([taught(bscan)[0]], [taught(bscan)[1]], **QUICK))
    assert not after["denoiser.head.weight"].equal(before["denoiser.head.weight"])
    alone = state(old.learn([taught(bscan)[0]], [taught(bscan)[1]], denoiser_factor=0, **QUICK))
    assert all(alone[k].equal(before[k]) for k in before if k.startswith("denoiser"))
    assert all(after[k].equal(before[k]) for k in still)
    assert not after["encoder.head.weight"].equal(before["encoder.head.weight"])
    assert not after["encoder.unet.decoder.0.conv_1.weight"].equal(
        before["encoder.unet.decoder.0.conv_1.weight"]
    )
    wide = state(old.learn([taught(bscan)[0]], [taught(bscan)[1]], encoder_factor=0.5, **QUICK))
    assert not wide["encoder.unet.encoder.0.0.conv_1.weight"].equal(
        before["encoder.unet.encoder.0.0.conv_1.weight"]
    )


def test_the_outcome_lies_between_old_and_learnt_weights(model, bscan):
    old = model()
    image, labels = taught(bscan)
    far, half, twice = (
        state(old.learn([image] * n, [labels] * n, old_bscans=b, reach=10, **QUICK))
        for n, b in ((1, 0), (1, 1), (2, 6))
    )
    before = state(old)
    for name, value in before.items():
        torch.testing.assert_close(half[name], (far[name] + value) / 2)
        torch.testing.assert_close(twice[name], (far[name] + 3 * value) / 4)


def test_pixels_that_do_not_count_teach_nothing(model, bscan):
    old = model()
    image, labels = taught(bscan)
    a, b = labels.copy(), labels.copy()
    a[:, 30:] = b[:, 30:] = IGNORE
    changed = image.copy()
    one = state(old.learn([image], [a], **QUICK))
    two = state(old.learn([changed], [b], **QUICK))
    assert all(one[k].equal(two[k]) for k in one)
    logits = torch.randn(1, 4, *SHAPE, requires_grad=True)
    learning_loss(logits, torch.from_numpy(a)[None]).backward()
    assert (logits.grad[..., 30:] == 0).all()
    assert (logits.grad[..., :30] != 0).any()


def test_nothing_is_learnt_from_bscans_that_show_no_structure(model, bscan):
    """Accepting a B-scan without fluid taught that there is none anywhere."""
    image, labels = taught(bscan)
    none = np.zeros(SHAPE, np.uint8)
    with pytest.raises(ValueError, match="nothing to learn from: these B-scans show no structure"):
        model("unet").learn([image], [none], **QUICK)
    with pytest.raises(ValueError, match="nothing to learn from"):
        model("unet").learn([image], [none], earlier=[(image, labels)], **QUICK)


def test_what_a_lesson_shows_nowhere_is_not_unlearnt():
    logits = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([[[1, 0], [IGNORE, IGNORE]]], dtype=torch.uint8)
    alike = [True, False, True, True]
    logits.requires_grad_(True)
    loss = learning_loss(logits, labels, alike=alike)
    p = logits.softmax(1)[0]
    of_1, of_rest = p[1, 0, 0], 1 - p[1, 0, 1]
    dice = 1 - (2 * of_1 + 1) / (of_1 + p[1, 0, 1] + 1 + 1)
    torch.testing.assert_close(loss, -(of_1.log() + of_rest.log()) / 2 + dice)
    loss.backward()
    assert logits.grad[0, 1, 0, 1] > 0  # falls: it is shown elsewhere
    assert (logits.grad[0, [0, 2, 3], 0, 1] < 0).all()  # each of what it may be rises


def test_earlier_cases_guard_what_the_lesson_shows_and_teach_nothing_else(
    model, bscan, monkeypatch
):
    seen = []

    def spy(logits, labels, before, alike, **options):
        seen.append(alike)
        return learning_loss(logits, labels, before, alike, **options)

    monkeypatch.setattr(updates, "learning_loss", spy)
    image, labels = taught(bscan)
    old = model("unet")
    old.learn([image], [labels], steps=1)
    old.learn([image], [labels], earlier=[(image, labels + 1)], steps=1)
    assert seen == 2 * [[True, True, False, True]]


def test_what_an_earlier_case_shows_beyond_the_lesson_counts_as_background():
    logits = torch.randn(1, 4, 2, 2, generator=torch.Generator().manual_seed(3))
    labels = torch.tensor([[[2, 3], [0, 1]]], dtype=torch.uint8)
    alike = [True, True, False, True]
    as_background = torch.where(labels == 2, labels, 0)
    loss = learning_loss(logits, labels, alike=alike)
    torch.testing.assert_close(loss, learning_loss(logits, as_background, alike=alike))
    p = logits.softmax(1)[0]
    rest = (1 - p[2, [0, 1, 1], [1, 0, 1]]).log().sum()
    dice = 1 - (2 * p[2, 0, 0] + 1) / (p[2].sum() + 1 + 1)
    torch.testing.assert_close(loss, -(p[2, 0, 0].log() + rest) / 4 + dice)


def test_the_model_s_own_pixels_count_as_much_as_the_option_says():
    logits = torch.zeros(1, 4, 2, 2)
    labels = torch.tensor([[[1, 255], [255, 255]]], dtype=torch.uint8)
    before = torch.zeros(1, 4, 2, 2)
    before[0, 3, 0, 0] = 1  # the person says something else
    before[0, 2, 0, 1] = 0.95
    before[0, 2, 1, 0] = 0.85  # not sure
    logits[0, 2, 0, 1] = 5.0
    alone = learning_loss(logits, labels)
    both = learning_loss(logits, labels, before, own_weight=0.5)
    sure = -torch.log_softmax(logits[0, :, 0, 1], 0)[2]
    unsure = torch.log(torch.tensor(4.0))
    dice = alone - unsure
    torch.testing.assert_close(both, (unsure + 0.5 * sure) / 1.5 + dice)


def test_what_a_lesson_does_not_show_stays_in_the_shares_that_it_had():
    logits = torch.randn(1, 4, 1, 4, generator=torch.Generator().manual_seed(3))
    logits.requires_grad_(True)
    labels = torch.tensor([[[1, 0, 255, 0]]], dtype=torch.uint8)
    alike = [True, False, True, True]
    before = torch.tensor([[0.1, 0.5, 0.2, 0.2], [0.6, 0, 0, 0.4], [0.2, 0.8, 0, 0], [0, 0, 0, 0]])
    before = before.T[None, :, None]
    without, kept = (
        learning_loss(logits, labels, before, alike, kept_weight=w) for w in (0.0, 1.0)
    )
    p = logits[:, [0, 2, 3]].log_softmax(1)[0, :, 0]
    shift = -(0.6 * p[0, 1] + 0.4 * p[2, 1])  # not where it is 1; all of the third is background
    # The third pixel counts as much as the old model gave to these; the last one it did not see.
    torch.testing.assert_close(kept - without, (shift - 0.2 * p[0, 2]) / 1.2)
    (kept - without).backward()
    assert logits.grad[0, 1].abs().max() < 1e-6  # it says nothing of what the lesson shows


def test_a_lesson_asks_the_old_model_once_an_example(model, bscan, monkeypatch):
    asked = []
    true = updates._asked
    monkeypatch.setattr(updates, "_asked", lambda n, e: asked.append(e) or true(n, e))
    image, labels = taught(bscan)
    model().learn([image], [labels], earlier=[(image, labels)], steps=20, batch=2)
    assert len(asked) == 2


def distance(segmenter, other):
    """Of the weights, as a share of the other's that can learn."""
    a, b = state(segmenter), state(other)
    learns = [k for k in b if not k.startswith("encoder.unet.encoder") and a[k].shape == b[k].shape]
    gone = torch.stack([(a[k] - b[k]).norm() for k in learns]).norm()
    return float(gone / torch.stack([b[k].norm() for k in learns]).norm())


def test_lesson_after_lesson_stays_within_reach_of_the_first_model(model, bscan, tmp_path):
    image, labels = taught(bscan)
    hard = {"steps": 10, "learning_rate": 0.05, "old_bscans": 0, "batch": 1}
    first = now = model("unet")
    assert distance(now.learn([image], [labels], reach=10, **hard), first) > 0.04
    for _ in range(2):
        now = now.learn([image], [labels], reach=0.02, **hard)
        assert distance(now, first) == pytest.approx(0.02, rel=1e-2)
        now.save(tmp_path / "mine.safetensors")  # and what it came from
        now = open_segmenter(tmp_path / "mine.safetensors", device="cpu")
    assert set(load(tmp_path / "mine.safetensors")[1]) == set(state(first))


def test_an_origin_of_another_network_is_left_out(model, bscan):
    image, labels = taught(bscan)
    old = model("unet")
    plain = state(old.learn([image], [labels], **QUICK))
    old._origin = {"encoder.head.weight": torch.zeros(1, 2), "nothing": torch.zeros(3)}
    odd = state(old.learn([image], [labels], **QUICK))
    assert all(plain[k].equal(odd[k]) for k in plain)


def test_after_a_new_structure_the_reach_begins_anew(model, bscan):
    image, labels = taught(bscan, value=4)
    first = model("unet")
    classes = (*first.card.classes, LabelClass(4, "ONL", (1, 2, 3)))
    hard = {"learning_rate": 0.05, "batch": 1, "reach": 0.02, "old_bscans": 0}
    wide = first.learn([image], [labels], classes=classes, new_steps=10, **hard)
    assert distance(wide, first) > 0.03  # what it shares with the first; the heads are wider
    again = wide.learn([image], [labels], steps=10, **hard)
    assert distance(again, wide) == pytest.approx(0.02, rel=1e-2)


def test_a_new_structure_is_painted_learnt_saved_and_named(model, bscan, tmp_path):
    old = model()
    image, labels = taught(bscan, value=4)
    classes = (*old.card.classes, LabelClass(4, "ONL", (1, 2, 3)))
    learnt = old.learn(
        [image], [labels], classes=classes, new_steps=60, learning_rate=1e-2, old_bscans=0
    )
    assert [c.name for c in learnt.card.classes] == ["background", "SRF", "IRF", "PED", "ONL"]
    found = learnt.segment(image).labels == 4
    assert 2 * (found & (labels == 4)).sum() / (found.sum() + (labels == 4).sum()) > 0.5
    learnt.save(tmp_path / "mine.safetensors")
    assert read_card(tmp_path / "mine.safetensors").classes == classes
    again = open_segmenter(tmp_path / "mine.safetensors", device="cpu")
    assert again.sha256 == learnt.sha256 != ""
    assert (again.segment(image).labels == learnt.segment(image).labels).mean() > 0.98


def test_a_new_structure_that_nobody_has_shown_yet_leaves_a_lesson_as_it_is(model, bscan):
    """It made of it one of 200 steps that keeps no old weights, and a class that nobody taught."""
    old, (image, labels) = model(), taught(bscan)
    new = [LabelClass(v, n, (1, 2, 3)) for v, n in ((4, "ONL"), (5, "drusen"))]
    wide = (*old.card.classes, *new)
    learnt = old.learn([image], [labels], classes=wide, **QUICK)
    plain = old.learn([image], [labels], **QUICK)
    assert learnt.card.classes == old.card.classes
    assert all(v.equal(state(learnt)[k]) for k, v in state(plain).items())
    earlier = [(image, np.where(labels, 5, 0).astype(np.uint8))]  # another case shows it
    again = old.learn([image], [labels], classes=wide, earlier=earlier, **QUICK)
    assert again.card.classes == old.card.classes
    labels[0, 0] = 4
    some = old.learn([image], [labels], classes=wide, new_steps=2, **QUICK)
    assert some.card.classes == wide[:5]


def test_earlier_cases_are_rehearsed(model, bscan, monkeypatch):
    seen = []

    def spy(examples, window, generator, *, mirrored):
        seen.extend(float(e.labels.max()) for e in examples)
        return views(examples, window, generator, mirrored=mirrored)

    monkeypatch.setattr(updates, "views", spy)
    old = model()
    image, labels = taught(bscan)
    past = (image, np.where(labels, 3, 0).astype(np.uint8))
    old.learn([image], [labels], earlier=[past], steps=50, batch=4, earlier_share=0.25)
    assert set(seen) == {2, 3}
    assert 25 <= seen.count(3) <= 75  # of 200, four standard errors
    seen.clear()
    old.learn([image], [labels], steps=2, batch=2)
    assert seen == [2] * 4


def test_who_stops_iterating_has_cancelled(model, bscan):
    old = model()
    run = old.learn_steps([taught(bscan)[0]], [taught(bscan)[1]], **QUICK)
    step = next(run)
    assert (step.done, step.total, step.labels) == (1, 4, None)
    run.close()
    assert torch.is_grad_enabled()


def test_too_little_memory_means_fewer_views_then_an_error(model, bscan, monkeypatch):
    old = model()
    image, labels = taught(bscan)
    sizes = []
    true_lesson = steps_module.lesson

    def scarce(network, about, recipe, **options):
        sizes.append(recipe.batch)
        if recipe.batch > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return (yield from true_lesson(network, about, recipe, **options))

    monkeypatch.setattr(steps_module, "lesson", scarce)
    with pytest.warns(UserWarning, match="learning from 1 views at once"):
        old.learn([image], [labels], steps=2, batch=4)
    assert sizes == [4, 2, 1]

    def none(*_args, **_options):
        raise MemoryError("not enough memory")
        yield

    monkeypatch.setattr(steps_module, "lesson", none)
    with pytest.raises(MemoryError), pytest.warns(UserWarning, match="from 1 views"):
        old.learn([image], [labels], steps=2, batch=2)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"label_maps": []}, "1 images and 0 label maps"),
        ({"label_maps": [np.zeros((3, 4), np.uint8)]}, r"label map 1 has shape \(3, 4\)"),
        ({"label_maps": [np.zeros(SHAPE, np.int32)]}, "type int32"),
        (
            {"label_maps": [np.full(SHAPE, 7, np.uint8)]},
            r"values \[7\]; the model has classes 0..3",
        ),
        ({"label_maps": [np.full(SHAPE, 255, np.uint8)]}, "no pixel of the label maps counts"),
        ({"images": [np.full(SHAPE, np.nan)]}, "NaN"),
        ({"images": [np.zeros((2, 2, 2, 2))]}, "neither a B-scan"),
        ({"steps": 0}, "steps"),
        ({"nonsense": 1}, "nonsense"),
        ({"classes": (LabelClass(0, "x", (0, 0, 0)),)}, "the model's are 0 background"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(model, bscan, change, said):
    old = model()
    image, labels = taught(bscan)
    given = {"images": [image], "label_maps": [labels], **QUICK, **change}
    with pytest.raises((ValueError, TypeError), match=said):
        old.learn(given.pop("images"), given.pop("label_maps"), **given)


def test_a_new_class_needs_the_next_value_and_a_name_of_its_own(model, bscan):
    old = model()
    image, labels = taught(bscan)
    for new, said in (
        (LabelClass(6, "ONL", (0, 0, 0)), "renumber the new ones"),
        (LabelClass(4, "IRF", (0, 0, 0)), "given twice"),
        (LabelClass(4, "irf", (0, 0, 0)), "'IRF' and 'irf' differ in capitals"),
    ):
        with pytest.raises(ValueError, match=said):
            old.learn([image], [labels], classes=(*old.card.classes, new), **QUICK)


def test_ccdm_s_network_has_no_decoder_of_its_own_to_teach(model, bscan):
    config = NetworkConfig(kind="concat", widths=(8, 16), blocks=1, time_width=16)
    card = Card(
        name="ccdm", classes=label_classes(["background", "A"]), network=config,
        input=InputConfig(size=(32, 48)), schedule=ScheduleConfig(), sampling=SamplingConfig(),
    )  # fmt: skip
    old = Segmenter(card, build(config, 2, None), torch.device("cpu"))
    with pytest.raises(ValueError, match="cannot learn from corrections"):
        old.learn([taught(bscan)[0]], [np.zeros(SHAPE, np.uint8)], **QUICK)


def test_a_view_keeps_image_and_labels_together_and_marks_what_lies_beyond():
    image = torch.full((1, 1, 64, 96), -1.0)
    labels = torch.zeros(64, 96, dtype=torch.uint8)
    image[..., 20:40, 30:60] = 1.0
    labels[20:40, 30:60] = 3
    before = (labels == 3)[None, None].to(torch.float16)
    example = Example(image, labels, before)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        x, y, told = views([example, example], (32, 64), generator)
        assert x.shape == (2, 1, 32, 64)
        assert y.shape == (2, 32, 64)
        assert set(y.unique().tolist()) <= {0, 3, 255}
        inside = y == 3
        assert inside.any()
        known = y != 255
        bright = (x[:, 0] > 0) == inside
        assert bright[known].float().mean() > 0.9
        assert ((told[:, 0] > 0.5) == inside)[known].float().mean() > 0.9
    tiny = Example(torch.zeros(1, 1, 16, 16), torch.zeros(16, 16, dtype=torch.uint8))
    _, y, told = views([tiny], (32, 64), generator)
    assert told.shape == (1, 0, 32, 64)
    assert (y == 255).any()
    assert (y == 0).any()


def test_views_are_not_mirrored_where_left_and_right_are_classes() -> None:
    left = np.zeros((32, 64), np.uint8)
    left[:, :32] = 1
    example = Example(torch.zeros(1, 1, 32, 64), torch.from_numpy(left))

    def on_the_left(mirrored: bool) -> list[bool]:
        generator = torch.Generator().manual_seed(0)
        _, y, _ = views([example] * 20, (32, 64), generator, mirrored=mirrored)
        return [bool((one[:, 12:24] == 1).sum() > (one[:, 40:52] == 1).sum()) for one in y]

    assert len({*on_the_left(True)}) == 2
    assert {*on_the_left(False)} == {True}


def test_views_are_no_larger_than_the_largest_example():
    small = Example(torch.zeros(1, 1, 40, 90), torch.zeros(40, 90, dtype=torch.uint8))
    assert window_of((192, 512), 32, [small]) == (64, 96)
    assert window_of((32, 64), 32, [small]) == (32, 64)


def test_the_recipe_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="old_bscans"):
        Recipe(old_bscans=-1.0)


def test_a_saved_model_says_what_it_is_and_cannot_be_saved_where_nothing_is(model, bscan, tmp_path):
    learnt = model().learn([taught(bscan)[0]], [taught(bscan)[1]], **QUICK)
    with pytest.raises(OSError, match="nowhere"):
        learnt.save(tmp_path / "nowhere" / "x.safetensors")
    learnt.save(tmp_path / "x.safetensors")
    card, _ = load(tmp_path / "x.safetensors")
    assert card == learnt.card


@pytest.mark.parametrize("new", [False, True])
def test_a_saved_model_is_the_one_that_learnt_to_the_bit(model, bscan, tmp_path, new):
    """It was stored in 16 bits: the file named in a result gave another result."""
    old, (image, labels) = model(), taught(bscan, value=4 if new else 2)
    classes = (*old.card.classes, LabelClass(4, "ONL", (0, 0, 0))) if new else None
    learnt = old.learn([image], [labels], classes=classes, new_steps=4, **QUICK)
    found = learnt.segment(image, probability=True)
    learnt.save(tmp_path / "x.safetensors")
    opened = open_segmenter(tmp_path / "x.safetensors", "cpu")
    again = opened.segment(image, probability=True)
    assert all(v.equal(state(learnt)[k]) for k, v in state(opened).items())
    assert all(opened._origin[k].equal(v) for k, v in learnt._origin.items())
    assert np.array_equal(again.samples, found.samples)
    assert np.array_equal(again.probability, found.probability)
    first, second = (one.learn([image], [labels], **QUICK) for one in (learnt, opened))
    assert all(v.equal(state(second)[k]) for k, v in state(first).items())
