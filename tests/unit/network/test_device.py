"""Which device is taken: machines with a card of any age, two, or none (their queries stood in)."""

import pytest
import torch

from spad.network import autocast, devices, fastest_ways, pick_device

BUILT = ["sm_75", "sm_80", "sm_86", "sm_90a", "compute_120"]


@pytest.fixture
def machine(monkeypatch):
    """Give the maker of a machine: machine((major, minor), ...), a capability a card."""

    def of(*cards, built=BUILT, cuda="12.8"):
        def capability(device=None):
            number = getattr(device, "index", device)
            return cards[number or 0]

        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(cards))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(cards))
        monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: built)
        monkeypatch.setattr(torch.cuda, "get_device_capability", capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "GTX 1080")
        # What torch says of cards without units for it, which emulate them.
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)

    return of


def in_bfloat16(name):
    with autocast(torch.device(name)):
        return torch.is_autocast_enabled("cuda")


def test_without_a_card_the_cpu_is_taken_and_nothing_said(machine, recwarn):
    machine()
    assert devices()[-1] == "cpu"
    assert str(pick_device("auto")) == devices()[0]
    with pytest.raises(ValueError, match="'cuda' is not on this machine"):
        pick_device("cuda")
    assert not recwarn.list


def test_a_t4_is_taken_in_float32(machine):
    machine((7, 5))
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 0)
    assert not in_bfloat16("cuda:0")


def test_each_of_two_cards_is_judged_by_itself(machine):
    machine((7, 5), (8, 6))
    assert devices()[:2] == ["cuda:0", "cuda:1"]
    assert [in_bfloat16(name) for name in devices()[:2]] == [False, True]


def test_a_card_that_this_torch_was_not_built_for_is_named_and_the_cpu_taken(machine):
    machine((6, 1))
    assert "cuda:0" not in devices()
    with pytest.warns(UserWarning, match=r"not built for cuda:0 \(GTX 1080, .* 6\.1\).*on with"):
        assert pick_device("auto").type != "cuda"
    for name in ("cuda", "cuda:0"):
        with pytest.raises(ValueError, match=r"6\.1\) but for sm_75, .*use the CPU"):
            pick_device(name)


def test_beside_a_card_that_is_too_old_the_other_one_is_taken(machine, recwarn):
    machine((6, 1), (8, 0))
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 1)
    assert not recwarn.list


@pytest.mark.parametrize(
    ("capability", "runs"),
    [((8, 9), True), ((9, 0), True), ((12, 1), True), ((7, 0), False), ((10, 0), False)],
)
def test_code_of_an_architecture_runs_on_later_cards_of_its_kind(machine, capability, runs):
    machine(capability)
    assert ("cuda:0" in devices()) == runs


def test_amd_s_architectures_have_other_names(machine):
    machine((9, 0), built=["gfx90a"], cuda=None)
    assert devices()[0] == "cuda:0"


@pytest.mark.parametrize(
    ("device", "wanted", "steady", "tries"),
    [
        ("cuda", True, False, True),
        ("cuda", False, False, False),
        ("cuda", True, True, False),
        ("cpu", True, False, False),
    ],
)
def test_cudnn_s_ways_are_tried_where_shapes_come_again_and_then_no_more(
    device, wanted, steady, tries, monkeypatch
):
    cudnn = torch.backends.cudnn
    monkeypatch.setattr(cudnn, "deterministic", steady)
    before = cudnn.benchmark
    with fastest_ways(torch.device(device), wanted):
        assert cudnn.benchmark == tries
    assert cudnn.benchmark == before


def test_a_mac_computes_in_float32_on_its_gpu(machine, monkeypatch):
    machine()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices() == ["mps", "cpu"]
    assert pick_device("auto") == torch.device("mps")
    with autocast(torch.device("mps")):
        assert not torch.is_autocast_enabled("cpu")
