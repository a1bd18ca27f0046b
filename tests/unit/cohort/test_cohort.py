"""`spad segment` and `spad measure` on two worker processes: killed, restarted, refused."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from spad.__main__ import main
from spad.checkpoint import sha256
from spad.cohort import Outcome, SegmentJob, cluster, handed_out, on_all, segment_file

pytest.importorskip("distributed", reason='Dask is not installed: pip install -e ".[cohort]"')
pytestmark = pytest.mark.slow
FAST = ("--samples", "1", "--steps", "1")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with cluster(2, None) as client:
        yield client


@pytest.fixture(scope="module")
def model_file(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    model().save(path)
    return path


@pytest.fixture(scope="module")
def images(bscan: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number in range(6):
        Image.fromarray(bscan((40, 60), seed=number)).save(folder / f"{number}.png")
    (folder / "link.png").symlink_to(folder / "0.png")  # its result bears its own name
    tifffile.imwrite(folder / "stack.tif", bscan((5, 40, 60)))
    return folder


def spad(*argv: object) -> int:
    return main([str(word) for word in argv])


def told(folder: Path) -> dict[str, Any]:
    """What is in a folder of results, but for their time."""
    found: dict[str, Any] = {}
    for path in folder.iterdir():
        if path.name.endswith(".json"):
            found[path.name] = json.loads(path.read_text())
            found[path.name]["provenance"].pop("date")
        else:
            found[path.name] = path.read_bytes()
    return found


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_two_processes_write_what_one_writes_and_a_restart_does_only_what_is_missing(
    client: Any, model_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    argv = ["segment", model_file, images, *FAST, "--uncertainty", "--device", "cpu"]
    assert spad(*argv, "-o", one) == 0
    many = [*argv, "-o", two, "--dask", client.scheduler.address]
    assert spad(*many) == 0
    assert "8 of 8 files" in capsys.readouterr().err
    assert told(one) == told(two)
    assert len(told(two)) == 24

    before = {path: path.stat().st_mtime_ns for path in two.iterdir()}
    (two / "3.png").unlink()
    (two / "4.spad.json").unlink()
    assert spad(*many) == 1
    said = capsys.readouterr().err
    assert "8 of 8 files, 6 done before, 2 failed" in said
    assert "exists and is of another input, model or setting" in said
    failures = lines(two / "failures.jsonl")
    assert sorted(Path(f["file"]).name for f in failures) == ["3.png", "4.png"]
    (two / "failures.jsonl").unlink()
    assert spad(*many, "--overwrite") == 0
    assert "8 of 8 files, 6 done before" in capsys.readouterr().err
    assert told(one) == told(two)
    redone = {p.name for p in two.iterdir() if p.stat().st_mtime_ns != before[p]}
    assert redone == {
        f"{n}{end}" for n in "34" for end in (".png", ".spad.json", ".uncertainty.tif")
    }


def test_a_file_that_is_bad_is_in_the_ledger_and_the_others_are_done(
    client: Any, model_file: Path, bscan: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    Image.fromarray(bscan((40, 60))).save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"no picture")
    argv = ["segment", model_file, folder, *FAST, "-o", out, "--dask", client.scheduler.address]
    assert spad(*argv) == 1
    assert (out / "good.spad.json").is_file()
    (failure,) = lines(out / "failures.jsonl")
    assert Path(failure["file"]).name == "bad.png"
    assert "cannot be read" in failure["reason"]
    (folder / "bad.png").unlink()
    (folder / "bad.png").symlink_to(tmp_path / "gone.png")
    assert spad(*argv) == 1
    gone = lines(out / "failures.jsonl")[-1]["reason"]
    assert gone == f"{folder / 'bad.png'}: its link leads to no file; mend or remove the link"
    (folder / "bad.png").unlink()
    Image.fromarray(bscan((40, 60))).save(folder / "bad.png")
    assert spad(*argv) == 0
    stack = np.stack([bscan((40, 60)).astype(np.float32)] * 2)
    stack[1, 0, 0] = np.inf
    tifffile.imwrite(folder / "stack.tif", stack)
    capsys.readouterr()
    assert spad(*argv) == 0
    assert f"{folder / 'stack.tif'}: B-scan 2 of the image holds NaN" in capsys.readouterr().err


def slowly(job: SegmentJob, name: str) -> Outcome:
    import time

    time.sleep(0.1)
    return segment_file(job, name)


def test_the_files_of_a_worker_that_is_killed_are_done_by_others(
    client: Any, model_file: Path, images: Path, tmp_path: Path
) -> None:
    assert spad("segment", model_file, images, *FAST, "-o", tmp_path / "one") == 0
    two = tmp_path / "two"
    two.mkdir()
    job = SegmentJob(
        model=str(model_file), sha256=sha256(model_file), out=str(two),
        options={"samples": 1, "steps": 1, "seed": 0},
    )  # fmt: skip
    victim = next(iter(client.run(os.getpid).values()))
    names = sorted(str(path) for path in images.iterdir())
    outcomes = {}
    for name, outcome in handed_out(client, slowly, ((name, job) for name in names)):
        outcomes[name] = outcome.state
        if len(outcomes) == 2:
            os.kill(victim, signal.SIGKILL)
    assert sorted(outcomes) == names
    assert set(outcomes.values()) <= {"done", "skipped"}  # it may have died with a file written
    assert told(tmp_path / "one") == told(two)


def test_what_all_workers_would_fail_at_is_refused_before_the_first_file(
    client: Any, model_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["segment", model_file, images, *FAST, "--dask", client.scheduler.address]
    assert spad(*argv, "-o", tmp_path / "out", "--device", "cuda:99") == 2
    said = capsys.readouterr().err
    assert "the worker tcp://127.0.0.1:" in said
    assert "is not on this machine" in said
    job = SegmentJob(model=str(model_file), sha256="0" * 64, out=str(tmp_path), options={})
    from spad.cohort import ready_to_segment

    for wrong, words in (
        (job, "put the model where all workers find the same file"),
        (replace(job, version="9"), "not 9; install the same"),
        (replace(job, out="/not/there"), "choose a folder that all workers share"),
    ):
        with pytest.raises(ValueError, match=words):
            on_all(client, ready_to_segment, wrong)
    nobody = ["segment", model_file, images, *FAST, "-o", tmp_path / "out", "--dask"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spad.cohort.workers._CONNECT_S", 0.5)
        assert spad(*nobody, "tcp://127.0.0.1:1") == 2
    assert "tcp://127.0.0.1:1: no Dask scheduler answers there" in capsys.readouterr().err


def test_results_are_measured_into_the_very_table_that_one_process_writes(
    client: Any, model_file: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    assert spad("segment", model_file, images, *FAST, "-o", results) == 0
    (results / "5.png").unlink()
    argv = ["measure", results, "--spacing", 120, 4, 11, "--fovea", "centre"]
    assert spad(*argv, "-o", tmp_path / "one.csv") == 1
    two = tmp_path / "two.csv"
    many = [*argv, "-o", two, "--dask", client.scheduler.address]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("spad.commands.measure._write", interrupted)
        assert spad(*many) == 130
    assert not two.exists()
    capsys.readouterr()
    assert spad(*many) == 1
    assert "8 of 8 files, 7 done before, 1 failed" in capsys.readouterr().err
    assert two.read_bytes() == (tmp_path / "one.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.csv", "results", "two.csv", "two.csv.failures.jsonl",
    ]  # fmt: skip


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def numbered(job: int, name: str) -> Outcome:
    return Outcome("done", name, float(np.float64(job)))


def test_no_more_files_are_under_way_than_the_workers_need(client: Any) -> None:
    taken = 0

    def work() -> Iterator[tuple[str, int]]:
        nonlocal taken
        for number in range(60):
            taken += 1
            yield str(number), number

    ended = 0
    for name, outcome in handed_out(client, numbered, work()):
        ended += 1
        assert outcome.text == name
        assert taken <= ended + 4
    assert ended == 60


def test_dask_notes_nothing_of_a_run_that_would_grow_with_it(client: Any) -> None:
    kept = client.run(noted)  # of two; one may still be coming back from another test
    assert set(kept.values()) == {(0, 10)}
    assert client.cluster.scheduler.transition_log.maxlen == 10


def noted(dask_worker: Any) -> tuple[int, int]:
    return len(dask_worker.profile_history), dask_worker.state.log.maxlen


def test_a_scheduler_that_goes_is_told_and_a_file_that_ends_its_worker_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from distributed import KilledWorker

    monkeypatch.setattr("spad.cohort.workers._TICK_S", 0.01)

    class Fake:
        """A client whose futures are as a test has them."""

        status, key, exception = "running", "k", None

        def nthreads(self) -> dict[str, int]:
            return {"w": 1}

        def submit(self, *_: object, **__: object) -> Any:
            return self

        def add_done_callback(self, call: Any) -> None:
            if self.status != "closed":
                call(self)

        def cancel(self, _: object) -> None:
            pass

    gone = Fake()
    gone.status = "closed"
    with pytest.raises(OSError, match="scheduler is gone; start it and then the same command"):
        list(handed_out(gone, numbered, [("a", 1)]))
    lost = Fake()
    lost.status = "cancelled"
    with pytest.raises(OSError, match="scheduler is gone"):
        list(handed_out(lost, numbered, [("a", 1)]))
    killed = Fake()
    killed.status = "error"
    for error, said in (
        (KilledWorker("a", None, 3), "its worker process ended each time it was tried"),
        (TypeError("odd"), "TypeError: odd"),
    ):
        killed.exception = lambda error=error: error
        ((_, outcome),) = handed_out(killed, numbered, [("a", 1)])
        assert outcome.state == "failed"
        assert outcome.text.startswith(said)
