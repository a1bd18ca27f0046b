"""Downloads against a server that breaks off, lies, sends elsewhere, drips, or is not there."""

from __future__ import annotations

import errno
import os
import time
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

import spad
from spad.checkpoint import model_folders, model_path
from spad.models import DownloadError, download_steps, fetch


def refused(entry, kind=DownloadError) -> str:
    with pytest.raises(kind) as caught:
        fetch(entry)
    return str(caught.value)


def part_of(entry) -> Path:
    return model_folders()[-1] / f"{entry.stem}.safetensors.part"


def test_a_model_is_fetched_once_and_then_opens_by_its_name(web, entry, checkpoint_file):
    told: list[int] = []
    path = fetch(entry, told=told.append)
    assert path == model_path("tiny-1.2") == model_folders()[-1] / "tiny-1.2.safetensors"
    assert path.read_bytes() == checkpoint_file.read_bytes()
    assert told[-1] == entry.size
    assert fetch(entry) == path
    assert web.asked == [("/tiny.safetensors", None)]
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert spad.load("tiny-1.2", device="cpu").card.name == "tiny"


def test_a_server_that_breaks_off_is_asked_for_the_rest(web, entry, checkpoint_file):
    content = checkpoint_file.read_bytes()
    third = len(content) // 3 + 1
    web.answers["/tiny.safetensors"] = web.sends(content, upto=third)
    assert fetch(entry).read_bytes() == content
    assert [asked for _, asked in web.asked] == [None, f"bytes={third}-", f"bytes={2 * third}-"]


def test_one_that_breaks_off_for_good_is_told_and_the_next_download_goes_on(
    web, entry, checkpoint_file
):
    content = checkpoint_file.read_bytes()
    web.answers["/tiny.safetensors"] = web.sends(content, upto=100)
    assert f"broke off after 400 of {entry.size} bytes; download it again" in refused(entry)
    assert part_of(entry).stat().st_size == 400
    assert model_folders()[-1].joinpath("tiny-1.2.safetensors").exists() is False
    web.answers["/tiny.safetensors"] = web.sends(content)
    assert fetch(entry).read_bytes() == content
    assert web.asked[-1] == ("/tiny.safetensors", "bytes=400-")


def test_a_download_that_is_given_up_goes_on_later(web, entry, monkeypatch):
    monkeypatch.setattr("spad.models.download._CHUNK", 1000)
    steps = download_steps(entry)
    have = [next(steps), next(steps)][-1]
    steps.close()
    assert part_of(entry).stat().st_size == have < entry.size
    fetch(entry)
    assert web.asked[-1][1] == f"bytes={have}-"


def test_what_lies_there_from_another_file_is_not_built_upon(web, entry, checkpoint_file):
    part_of(entry).parent.mkdir(parents=True)
    for lies in (bytes(500), bytes(entry.size), bytes(entry.size + 5)):
        part_of(entry).write_bytes(lies)
        path = fetch(entry)
        assert path.read_bytes() == checkpoint_file.read_bytes()
        path.unlink()


def test_servers_without_ranges_send_all_of_it(web, entry, checkpoint_file):
    web.answers["/tiny.safetensors"] = web.sends(checkpoint_file.read_bytes(), ranges=False)
    part_of(entry).parent.mkdir(parents=True)
    part_of(entry).write_bytes(checkpoint_file.read_bytes()[:300])
    assert fetch(entry).read_bytes() == checkpoint_file.read_bytes()


def test_a_file_with_another_hash_is_not_kept(web, entry, checkpoint_file):
    content = bytearray(checkpoint_file.read_bytes())
    content[-1] ^= 1
    web.answers["/tiny.safetensors"] = web.sends(bytes(content))
    assert "its SHA-256 is" in (said := refused(entry))
    assert f"the list says {entry.sha256}: it is another file, or was changed on its way" in said
    assert list(model_folders()[-1].iterdir()) == []
    web.answers["/tiny.safetensors"] = web.sends(bytes(content) + b"more")
    assert f"sends more than the {entry.size} bytes of the list" in refused(entry)


def test_a_good_hash_of_no_checkpoint_is_no_model(web, entry):
    import hashlib

    web.answers["/tiny.safetensors"] = web.sends(b"PK\x03\x04 and so on")
    odd = replace(entry, size=16, sha256=hashlib.sha256(b"PK\x03\x04 and so on").hexdigest())
    refused(replace(odd, size=len(b"PK\x03\x04 and so on")), ValueError)
    assert not model_folders()[-1].joinpath("tiny-1.2.safetensors").exists()


def test_redirects_are_followed_to_the_web_alone(web, entry, checkpoint_file, tmp_path):
    web.answers["/moved"] = web.fails(302, "/tiny.safetensors")
    assert fetch(replace(entry, urls=(f"{web.url}/moved",))).is_file()
    model_folders()[-1].joinpath("tiny-1.2.safetensors").unlink()
    web.answers["/out"] = web.fails(302, checkpoint_file.as_uri())
    assert "which is not followed" in refused(replace(entry, urls=(f"{web.url}/out",)))
    web.answers["/circle"] = web.fails(302, "/circle")
    assert "it sends on in a circle" in refused(replace(entry, urls=(f"{web.url}/circle",)))
    assert "only http and https" in refused(replace(entry, urls=("ftp://127.0.0.1/x",)))


def test_a_part_that_was_asked_for_is_still_asked_for_after_a_redirect(web, entry):
    web.answers["/moved"] = web.fails(302, "/tiny.safetensors")
    part_of(entry).parent.mkdir(parents=True)
    part_of(entry).write_bytes(b"?" * 10)
    fetch(replace(entry, urls=(f"{web.url}/moved",)))
    assert ("/tiny.safetensors", "bytes=10-") in web.asked


def test_all_places_are_tried_and_each_failure_is_a_sentence(web, entry):
    gone, odd = f"{web.url}/gone", f"{web.url}/odd"
    web.answers["/gone"], web.answers["/odd"] = web.fails(404), web.fails(503)
    nobody = "http://127.0.0.1:1/x"
    said = refused(replace(entry, urls=(gone, odd, nobody)))
    assert f"{gone}: the server answered 404: it has no such file; get a newer list" in said
    assert f"{odd}: the server answered 503 (Service Unavailable); try again later" in said
    assert f"{nobody}: 127.0.0.1 cannot be reached (" in said
    assert "Behind a proxy set HTTPS_PROXY" in said
    assert fetch(replace(entry, urls=(gone, *entry.urls))).is_file()
    assert "names no place for tiny-1.3" in refused(replace(entry, version="1.3", urls=()))


def test_a_server_that_drips_or_falls_silent_is_given_up(web, entry, monkeypatch, checkpoint_file):
    content = checkpoint_file.read_bytes()

    def drips(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        for at in range(len(content)):
            handler.wfile.write(content[at : at + 1])
            time.sleep(0.02)

    web.answers["/tiny.safetensors"] = drips
    monkeypatch.setattr("spad.models.download.PATIENCE_S", 0.15)
    assert "127.0.0.1 sent" in (said := refused(entry))
    assert "which would take days; try later, it goes on from there" in said
    assert 0 < part_of(entry).stat().st_size < 100

    def silent(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[:50])
        time.sleep(1)

    part_of(entry).unlink()
    web.answers["/tiny.safetensors"] = silent
    monkeypatch.setattr("spad.models.web.TIMEOUT_S", 0.2)
    assert "fell silent after 50 of" in refused(entry)


def test_a_full_disk_is_told_before_the_download_and_during_it(web, entry, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("spad.models.download.shutil.disk_usage", lambda _: usage(9, 8, 1))
    assert "MB more, the disk has 0.0; free space" in refused(entry, OSError)
    assert web.asked == []
    monkeypatch.undo()
    monkeypatch.setenv("SPAD_CACHE", str(model_folders()[-1].parent))

    class Full:
        name = "x.part"

        def __init__(self, file):
            self.file = file

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def tell(self):
            return 0

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    monkeypatch.setattr("spad.models.download._open", lambda part, mode: Full(part.open(mode)))
    assert "the disk is full: free space and download again" in refused(entry, OSError)


def test_a_mirror_is_asked_in_place_of_all_others_and_need_not_be_trusted(
    web, entry, monkeypatch, checkpoint_file
):
    far = replace(entry, urls=("https://models.invalid/a/b/tiny.safetensors?x=1",))
    monkeypatch.setenv("SPAD_MODELS_MIRROR", f"{web.url}/mirror")
    web.answers["/mirror/tiny.safetensors"] = web.sends(b"x" * entry.size)
    assert "its SHA-256 is" in refused(far)
    web.answers["/mirror/tiny.safetensors"] = web.sends(checkpoint_file.read_bytes())
    assert fetch(far).is_file()
    assert {path for path, _ in web.asked} == {"/mirror/tiny.safetensors"}


def test_the_proxy_of_the_environment_is_asked(web, entry, monkeypatch, checkpoint_file):
    monkeypatch.setenv("http_proxy", web.url)
    far = "http://models.invalid/tiny.safetensors"
    web.answers[far] = web.sends(checkpoint_file.read_bytes())
    assert fetch(replace(entry, urls=(far,))).is_file()
    assert web.asked == [(far, None)]
