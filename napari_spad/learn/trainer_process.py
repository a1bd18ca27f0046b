"""`spad train` as a process of its own: started, found again by a later session, stopped. No Qt.

The process outlives napari: an annotator may close it and go to lunch. What it writes, its output
included, goes to files; a state file in the user's data tells the next session where they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from spad.cases import alone, file_error, parsed_json, write_bytes, write_json

__all__ = ["Ending", "Training", "find", "start"]

LOG = "output.txt"
STATE = "fine-tune.json"
MORE_NICE = 10
STOPPED = 130

COMMAND = (sys.executable, "-m", "spad", "train")

_running: dict[int, subprocess.Popen[bytes]] = {}
"""Of this session, by process: only who started a process learns its exit code."""


@dataclass(frozen=True)
class Training:
    """A fine-tuning that was started.

    Parameters
    ----------
    name : str
        Of the new model.
    start : str
        Name of the model that it starts from.
    out : str
        Folder of the run.
    minutes : float
    own_images : bool
        It is scored on the very images that it trains on, for want of a second patient.
    pid : int
    began : float
        The process's start, as the system tells it: numbers of processes are given out again.
    """

    name: str
    start: str
    out: str
    minutes: float
    own_images: bool
    pid: int = 0
    began: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what a state file may say and no fine-tuning is."""
        texts, numbers = (self.name, self.start, self.out), (self.minutes, self.began)
        if not (
            all(isinstance(text, str) and text.isprintable() for text in texts)
            and all(type(n) in (int, float) and 0 <= n < 1e12 for n in numbers)
            and type(self.pid) is int
            and 0 <= self.pid < 2**31
            and type(self.own_images) is bool
        ):
            raise ValueError(f"{asdict(self)} is no fine-tuning")

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        return Path(self.out)

    @property
    def best(self) -> Path:
        """Its best checkpoint."""
        return self.folder / "best.safetensors"

    def ending(self) -> Ending | None:
        """How it ended; None while it runs."""
        if self._process() is not None:
            return None
        popen = _running.get(self.pid)
        code = popen.poll() if popen is not None else None
        said = _last_words(self.folder / LOG)
        done = said.endswith("best.safetensors")
        if code is None:  # of an earlier session: the last line tells
            code = 0 if done else STOPPED if "stopped" in said else 1
        if code == 0:
            return Ending("done", "")
        if code == STOPPED:
            return Ending("stopped", said)
        if code < 0:
            return Ending("failed", f"it was killed (signal {-code}); was there too little memory?")
        return Ending("failed", said or f"it ended with code {code}, and said nothing")

    def stop(self) -> None:
        """Ask it to save and end."""
        if (process := self._process()) is not None:
            process.terminate()

    def kill(self) -> None:
        """End it at once; what it saved stays."""
        if (process := self._process()) is not None:
            process.kill()

    def _process(self) -> Any:
        """Return the process while it runs."""
        import psutil

        popen = _running.get(self.pid)
        if popen is not None and popen.poll() is not None:
            return None
        try:
            process = psutil.Process(self.pid)
            runs = process.status() != psutil.STATUS_ZOMBIE
            same = abs(process.create_time() - self.began) < 2
        except psutil.Error:
            return None
        return process if runs and same else None


@dataclass(frozen=True)
class Ending:
    """How a training ended.

    Parameters
    ----------
    how : {"done", "stopped", "failed"}
    words : str
        Its last ones.
    """

    how: str
    words: str


def start(training: Training, config: str, device: str, folder: Path) -> Training:
    """Start it, and note it down in the user's data.

    Parameters
    ----------
    training : Training
        Whose folder must not exist yet.
    config : str
        The configuration.
    device : str
    folder : Path
        The user's data.

    Raises
    ------
    ValueError
        One is running, or the folder exists.
    OSError
        The folder cannot be made, or the process not be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder / STATE):  # two windows may start one at once
        earlier = None
        with suppress(ValueError):
            earlier = find(folder)
        if earlier is not None and earlier.ending() is None:
            raise ValueError(f"“{earlier.name}” is still being trained; stop it first, or wait")
        out = training.folder
        if out.exists():
            raise ValueError(f"a model “{training.name}” was trained already; choose another name")
        popen: subprocess.Popen[bytes] | None = None
        try:
            popen = _launch(out, config, device)
            training = replace(training, pid=popen.pid, began=_began(popen.pid))
            write_json(folder / STATE, asdict(training))
        except OSError:  # nothing is left that would be in the way of the next try
            if popen is not None:
                popen.kill()
                popen.wait()
            shutil.rmtree(out, ignore_errors=True)
            raise
        _running[popen.pid] = popen
    return training


def _launch(out: Path, config: str, device: str) -> subprocess.Popen[bytes]:
    out.mkdir(parents=True)
    path = out / "fine-tune.toml"
    write_bytes(path, config.encode())
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    # Two cores are left to whoever paints meanwhile.
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) - 2)))
    with (out / LOG).open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            [*COMMAND, str(path), "--out", str(out), "--device", device],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C in napari's terminal is not meant for it
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )


def _began(pid: int) -> float:
    """When a process began; it makes room for others from now on."""
    import psutil

    process = psutil.Process(pid)
    with suppress(psutil.Error):  # a sandbox may forbid it; then it is merely less polite
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if os.name == "nt" else MORE_NICE)
    return float(process.create_time())


def find(folder: Path) -> Training | None:
    """Return the last fine-tuning that was started, by this session or an earlier one.

    Raises
    ------
    ValueError
        The note of it cannot be read, in words.
    """
    path = folder / STATE
    try:
        return Training(**parsed_json(path.read_text("utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(
            f"{path} cannot be read ({file_error(error)}); models that were trained are in "
            f"{folder / 'runs'}, and the next fine-tuning writes the file anew"
        ) from error


def _last_words(log: Path) -> str:
    """Return the last message of the trainer, or of Python; progress bars are left out."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 20_000))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    lines = [line for line in lines if line and "step/s" not in line and "s/step" not in line]
    if not lines or lines[-1].endswith("best.safetensors"):
        return lines[-1] if lines else ""
    # A message may list many faults, each on a line of its own.
    for number in range(len(lines) - 1, -1, -1):
        if lines[number].startswith("Traceback"):
            break
        if lines[number].startswith("spad: "):
            return "\n".join([lines[number].removeprefix("spad: "), *lines[number + 1 :]])
    return lines[-1]
