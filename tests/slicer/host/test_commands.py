"""Running a command while the window stays alive."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from SPADLib.host.commands import python_program, run_command


def python(code):
    return [sys.executable, "-c", code]


def test_all_that_a_command_says_is_kept_while_its_progress_is_read():
    code = "for i in range(20000): print(f'line {i:05}', flush=True)\nraise SystemExit(3)"
    with pytest.raises(subprocess.CalledProcessError) as caught:
        list(run_command(python(code)))
    assert caught.value.output.splitlines() == [f"line {i:05}" for i in range(20000)]


def test_a_slow_command_shows_its_lines_and_does_not_keep_the_processor_busy():
    code = "import time\nfor i in range(9): print('step', i, flush=True); time.sleep(0.1)"
    said = list(run_command(python(code)))
    shown = [s for s in said if s]
    assert shown == sorted(set(shown))
    assert len(shown) > 5  # a busy computer may show two as one
    assert len(said) < 200  # it yields some fifty times a second, not as fast as it is asked


def test_a_line_written_in_pieces_is_shown_when_it_is_whole():
    code = """if True:
        import sys, time
        for piece in (b"caf\\xc3", b"\\xa9 ", b"1\\n", b"two\\rthr", b"ee\\r\\n", b"unended"):
            sys.stdout.buffer.write(piece)
            sys.stdout.flush()
            time.sleep(0.2)
    """
    shown = [s for s in run_command(python(code)) if s]
    assert set(shown) <= {"café 1", "two", "three"}
    assert shown[-1] == "three"


def test_a_command_ends_when_its_reader_does(tmp_path):
    started = tmp_path / "started"
    code = f"import os, time\nopen({str(started)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    running = run_command(python(code))
    while not (started.exists() and started.read_text()):
        next(running)
    running.close()
    with pytest.raises(OSError):  # noqa: PT011 - another kind on each system
        os.kill(int(started.read_text()), 0)


@pytest.mark.skipif(os.name == "nt", reason="other suffixes")
def test_slicers_python_is_the_first_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert python_program("python-real", "PythonSlicer") == sys.executable
    for name in ("PythonSlicer", "python-real"):
        file = tmp_path / name
        file.write_text("")
        file.chmod(0o755)
        assert python_program("python-real", "PythonSlicer") == str(file)
    assert python_program("PythonSlicer") == str(tmp_path / "PythonSlicer")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    with pytest.raises(OSError, match="python-real or PythonSlicer was not found beside Slicer"):
        python_program("python-real", "PythonSlicer")
