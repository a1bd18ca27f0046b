"""The list of models: what it may hold, who vouches for it, how it is listed and shared."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from dataclasses import replace

import pytest

from spad.__main__ import main
from spad.checkpoint import model_folders, read_card, save_with_card, sha256, shipped
from spad.models import Entry, fetch, keep_manifest, known_entries, listed, share
from spad.models.manifest import as_manifest


def put(web, *entries: Entry, place="/list/manifest.json", **more) -> bytes:
    content = json.dumps(as_manifest(entries) | more).encode()
    web.answers[place] = web.sends(content)
    return content


def test_a_manifest_is_fetched_kept_and_listed_without_a_network(web, entry, capsys):
    put(web, replace(entry, urls=("files/tiny.safetensors", "https://b.invalid/x")))
    path, entries = keep_manifest(f"{web.url}/list/manifest.json")
    assert path == model_folders()[-1] / "manifest.json"
    assert entries[0].urls == (f"{web.url}/list/files/tiny.safetensors", "https://b.invalid/x")
    web.answers.clear()
    assert known_entries() == ({"tiny-1.2": entries[0]}, [])
    rows, faults = listed()
    row = rows[-1]
    assert (row.name, row.where, row.path, faults) == ("tiny-1.2", "to download", None, [])
    assert row.classes == ("background", "SRF", "IRF", "PED")
    assert "from 127.0.0.1, b.invalid?" in row.question
    assert "Licence: CC-BY-4.0" in row.question
    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split()[:4] == ["tiny-1.2", "to", "download", f"{entry.size / 1e6:.1f}"]
    told = read_card(shipped()["oct-lesions"]).scores["validation"]["pooled Dice"]["mean"]
    ours = next(x for x in lines if "oct-lesions" in x)
    assert "BSD-3-Clause; data: CC BY 4.0, BSD-3-Clause" in ours
    assert f"Dice {told:.3f}" in ours


def test_the_command_fetches_by_name_with_and_without_the_version(web, entry, capsys):
    web.answers["/tiny.safetensors"] = web.answers["/tiny.safetensors"]
    old = replace(entry, version="1.1", urls=("https://old.invalid/x",))
    put(web, old, entry)
    assert main(["models", "manifest", f"{web.url}/list/manifest.json"]) == 0
    assert main(["models", "get", "tiny"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].endswith("tiny-1.2.safetensors")
    assert "tiny-1.2: 100 %" in err
    assert {m.name: m.where for m in listed()[0]}["tiny-1.2"] == "on disk"
    assert main(["models", "get", "oct-phantom"]) == 0
    assert main(["models", "get", "none"]) == 2
    assert "none: no list of models has it; lists have tiny-1.2, tiny-1.1" in (
        capsys.readouterr().err
    )


def test_plain_http_needs_a_pin_and_a_pin_is_kept_to(web, entry, monkeypatch, tmp_path):
    content = put(web, entry)
    pin = hashlib.sha256(content).hexdigest()
    url = f"{web.url}/list/manifest.json"
    monkeypatch.setattr("spad.models.manifest._here", lambda host: False)
    with pytest.raises(ValueError, match="plain HTTP can be changed on its way"):
        keep_manifest(url)
    keep_manifest(f"{url}#sha256={pin}")
    kept = model_folders()[-1] / "manifest.json"
    before = kept.read_bytes()
    with pytest.raises(ValueError, match=f"its SHA-256 is {pin}, not {'0' * 64}"):
        keep_manifest(f"{url}#sha256={'0' * 64}")
    with pytest.raises(ValueError, match="what stands behind # is not sha256="):
        keep_manifest(f"{url}#part")
    web.answers["/moved"] = web.fails(302, "/list/manifest.json")
    with pytest.raises(ValueError, match="plain HTTP"):
        keep_manifest(f"{web.url}/moved")
    assert kept.read_bytes() == before
    (tmp_path / "m.json").write_bytes(content)
    assert keep_manifest(f"{tmp_path / 'm.json'}#sha256={pin}")[1] == (entry,)


@pytest.fixture
def signer(monkeypatch, tmp_path):
    """Let a site name the public key of this private one."""
    ed25519 = pytest.importorskip(
        "cryptography.hazmat.primitives.asymmetric.ed25519", reason="the extra `signed` is missing"
    )
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def public(name, key):
        path = tmp_path / name
        form = Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
        path.write_bytes(key.public_key().public_bytes(*form))
        return str(path)

    key, other = (ed25519.Ed25519PrivateKey.generate() for _ in range(2))
    keys = public("other.pem", other), public("site.pem", key)
    monkeypatch.setenv("SPAD_MODELS_KEY", os.pathsep.join(keys))
    return key


def test_where_a_site_has_a_key_an_unsigned_list_is_refused(web, entry, signer, tmp_path):
    url = f"{web.url}/list/manifest.json"
    content = put(web, replace(entry, urls=("../tiny.safetensors",)))
    web.answers["/list/manifest.json.sig"] = web.fails(404)
    with pytest.raises(ValueError, match="SPAD_MODELS_KEY wants it to be"):
        keep_manifest(url)
    for wrong in (b"-" * 64, signer.sign(content + b" ")):
        web.answers["/list/manifest.json.sig"] = web.sends(wrong)
        with pytest.raises(ValueError, match="by none of the keys of SPAD_MODELS_KEY"):
            keep_manifest(url)
    web.answers["/list/manifest.json.sig"] = web.fails(500)
    with pytest.raises(OSError, match="the server answered 500"):
        keep_manifest(url)
    assert not model_folders()[-1].exists()
    web.answers["/list/manifest.json.sig"] = web.sends(signer.sign(content))
    path, entries = keep_manifest(url)
    assert path.read_bytes() == content
    assert known_entries() == ({"tiny-1.2": entries[0]}, [])
    assert fetch(entries[0]).is_file()  # the relative URL counts from where the list came from

    # Also what is on the disk, of the user or of the hospital, is believed by its signature alone.
    path.write_bytes(content.replace(b"CC-BY", b"CC-BX"))
    found, (fault,) = known_entries()
    assert found == {}
    assert "by none of the keys" in fault
    source = tmp_path / "manifest.json"
    source.write_bytes(content)
    with pytest.raises(ValueError, match="is not signed"):
        keep_manifest(str(source))
    source.with_name("manifest.json.sig").write_bytes(signer.sign(content))
    assert keep_manifest(str(source))[1][0].sha256 == entry.sha256


def test_a_key_that_is_none_is_told(web, entry, signer, monkeypatch, tmp_path):
    content = put(web, entry)
    web.answers["/list/manifest.json.sig"] = web.sends(signer.sign(content))
    for text, words in (
        (None, "the key of SPAD_MODELS_KEY cannot be read; correct it"),
        ("no key", "is no public key of Ed25519 in PEM"),
    ):
        monkeypatch.setenv("SPAD_MODELS_KEY", str(tmp_path / "key.pem"))
        if text is not None:
            (tmp_path / "key.pem").write_text(text)
        with pytest.raises((ValueError, OSError), match=words):
            keep_manifest(f"{web.url}/list/manifest.json")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ImportError, match=r"pip install 'napari-spad\[signed\]'"):
        keep_manifest(f"{web.url}/list/manifest.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format 2 is not one that this SPAD reads"),
        ({"models": {}}, "has no list “models”"),
        ({"models": [{"name": "a"}]}, "lacks 'version'"),
        ({"models": "twice"}, "tiny-1.2 stands there twice"),
        ({"name": "../a"}, "name '../a' cannot be part of a file's name"),
        ({"name": "nul"}, "cannot be part of a file's name"),
        ({"sha256": "A" * 64}, "not 64 hexadecimal digits in small letters"),
        ({"size": 0}, "size is 0"),
        ({"classes": ["background"]}, "has length 1; allowed are 2 to 64"),
        ({"url": "x"}, "unknown key 'url'; did you mean 'urls'?"),
    ],
)
def test_what_is_no_manifest_is_told(web, entry, change, said):
    told = as_manifest((entry,))
    if change == {"models": "twice"}:
        told = as_manifest((entry, entry))
    elif set(change) <= set(told):
        told |= change
    else:
        told["models"][0] |= change
    web.answers["/m"] = web.sends(json.dumps(told).encode())
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        keep_manifest(f"{web.url}/m")
    assert str(caught.value).startswith(f"{web.url}/m: ")


def test_a_broken_manifest_hides_no_model(web, entry, tmp_path, monkeypatch):
    share_folder = tmp_path / "site"
    share_folder.mkdir()
    (share_folder / "manifest.json").write_text("{")
    monkeypatch.setenv("SPAD_MODELS", f"{share_folder}{os.pathsep}{tmp_path / 'away'}")
    put(web, entry)
    keep_manifest(f"{web.url}/list/manifest.json")
    rows, faults = listed()
    assert rows[-1].name == "tiny-1.2"
    assert "is not JSON" in faults[0]
    assert "away: SPAD_MODELS names it" in faults[1]


def test_a_model_whose_manifest_cannot_be_written_is_not_shared_by_half(
    checkpoint_file, tmp_path, monkeypatch
):
    def full(*_: object) -> bytes:
        raise OSError(28, "No space left on device")

    folder = tmp_path / "site"
    with monkeypatch.context() as patch:
        patch.setattr("spad.models.sharing.json_bytes", full)
        with pytest.raises(OSError, match="No space"):
            share(checkpoint_file, folder, licence="MIT")
    assert list(folder.iterdir()) == []
    share(checkpoint_file, folder, licence="MIT")  # nothing is in the way
    assert len(list(folder.iterdir())) == 3


def test_a_shared_folder_is_a_model_card_a_manifest_and_a_folder_of_models(
    web, checkpoint_file, tmp_path, monkeypatch
):
    card = read_card(checkpoint_file)
    training = {
        "data": [{"name": "scans", "licence": "CC BY 4.0", "folder": "/home/ann/scans"}],
        "init": "/home/ann/x.safetensors",
    }
    scores = {"validation": {"images": 5, "pooled Dice": {"mean": 0.5}}}
    learnt = tmp_path / "Eye of Ann learnt.safetensors"
    save_with_card(checkpoint_file, replace(card, training=training, scores=scores), learnt)
    learnt.with_suffix(".lessons.npz").write_bytes(b"pixels")
    before = sha256(learnt)
    out = tmp_path / "out"
    path, entry = share(learnt, out, licence="CC-BY-4.0", name="mine", version="2")
    assert sorted(p.name for p in out.iterdir()) == [
        "README.md", "manifest.json", "mine-2.safetensors",
    ]  # fmt: skip
    assert sha256(learnt) == before
    assert entry.sha256 == sha256(path)
    for file in out.iterdir():
        assert b"/home/ann" not in file.read_bytes()
    text = (out / "README.md").read_text()
    assert text.startswith('---\nlicense: "cc-by-4.0"\n')
    assert "- scans: CC BY 4.0" in text
    assert "| validation, pooled Dice, mean | 0.5 |" in text
    monkeypatch.setenv("SPAD_MODELS", str(out))
    row = next(m for m in listed()[0] if m.name == "mine-2")
    assert (row.where, row.licence, row.scores) == (
        "on disk", "CC-BY-4.0", "Dice 0.500 pooled (5 images)",
    )  # fmt: skip
    with pytest.raises(ValueError, match="exists and is not overwritten; choose an empty folder"):
        share(learnt, out, licence="CC-BY-4.0", name="mine", version="2")
    with pytest.raises(ValueError, match=r"under a licence.*its data \(not stated; data: CC BY"):
        share(learnt, tmp_path / "no", licence=" ")
    assert not (tmp_path / "no").exists()


def test_a_folder_s_own_manifest_counts_from_the_folder(
    web, entry, checkpoint_file, tmp_path, monkeypatch
):
    site = tmp_path / "our models, 50 %"
    (site / "files").mkdir(parents=True)
    (site / "files" / "t 1.safetensors").write_bytes(checkpoint_file.read_bytes())
    ours = replace(entry, urls=("files/t 1.safetensors",))
    (site / "manifest.json").write_text(json.dumps(as_manifest((ours,))))
    monkeypatch.setenv("SPAD_MODELS", str(site))
    monkeypatch.setenv("SPAD_MODELS_MIRROR", f"{web.url}/none")
    row = listed()[0][-1]
    assert (row.name, row.where) == ("tiny-1.2", "to download")
    assert "from the disk, 127.0.0.1?" in row.question
    assert sha256(fetch(row.entry)) == entry.sha256
    assert not web.asked
    monkeypatch.delenv("SPAD_MODELS_MIRROR")
    monkeypatch.setenv("SPAD_CACHE", str(tmp_path / "elsewhere"))
    (site / "files" / "t 1.safetensors").unlink()
    with pytest.raises(OSError, match=r"t 1.safetensors: cannot be read .*copy the file there"):
        fetch(row.entry)


def test_a_list_from_elsewhere_names_no_file_of_this_machine(web, entry):
    put(web, replace(entry, urls=("file:///etc/x.safetensors",)))
    with pytest.raises(ValueError, match="which no list from elsewhere may name"):
        keep_manifest(f"{web.url}/list/manifest.json")


def test_the_yaml_header_is_yaml(checkpoint_file, tmp_path):
    yaml = pytest.importorskip("yaml")
    out = tmp_path / "out"
    share(checkpoint_file, out, licence='Ours: "free"')
    head = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert (head["license"], head["license_name"]) == ("other", 'Ours: "free"')
    assert "oct" in head["tags"]
