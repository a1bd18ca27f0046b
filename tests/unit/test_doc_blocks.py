"""What the pages tell to type is right: commands are known, code runs, the notebook runs."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest

from spad.commands.command_line import _parser

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "training" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOK = ROOT / "docs" / "notebooks" / "first_steps.ipynb"
# Python in the pages that a reader runs; Slicer's console and excerpts are not among them.
RUN = ["README.md", "index.md"]
ASSIGNMENT = re.compile(r"^([A-Z]+)=(?:([^'\"\s]+)|['\"]([^'\"]*)['\"])", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language; "" for those without one. Indented ones too."""
    found = re.findall(
        rf"^( *)```{language}\n(.*?)^ *```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


def commands(page: Path) -> list[list[str]]:
    """Words of each `spad` command in a page's blocks, its variables put in, without pipe."""
    found = []
    for text in blocks(page, ""):
        text = text.replace("\\\n", " ")
        for name, value, quoted in ASSIGNMENT.findall(text):
            text = text.replace(f"${name}", value or quoted)
        for line in text.splitlines():
            if line.startswith("spad "):
                words = shlex.split(line, comments=True)
                found.append(words[: words.index("|")] if "|" in words else words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_understood(page: Path) -> None:
    for words in commands(page):
        try:
            _, rest = _parser().parse_known_args(words[1:])
        except SystemExit:
            pytest.fail(f"{page.name}: spad does not understand {shlex.join(words)}")
        assert all("=" in word and not word.startswith("-") for word in rest), words


def test_the_pages_have_commands() -> None:
    assert sum(len(commands(page)) for page in PAGES) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_configurations_of_a_page_are_toml(page: Path) -> None:
    for text in blocks(page, "toml"):
        tomllib.loads(text)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_python_of_a_page_runs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from spad.inference import Segmenter
    from spad.phantom import bscan

    whole = Segmenter.learn
    short = lambda self, *given, **said: whole(self, *given, **{"steps": 2, **said})  # noqa: E731
    monkeypatch.setattr(Segmenter, "learn", short)
    monkeypatch.chdir(tmp_path)
    phantom = bscan(1, shape=(64, 96))
    given = {"image": phantom.image, "bscan": phantom.image, "label_map": phantom.labels}
    (page,) = (page for page in PAGES if page.name == name and page.parent.name != "training")
    text = "\n".join(blocks(page, "python"))
    assert "spad.load(" in text
    exec(compile(text, name, "exec"), {"np": np} | given)  # noqa: S102
    capsys.readouterr()


@pytest.mark.slow
def test_the_notebook_runs() -> None:
    nbformat = pytest.importorskip("nbformat")
    client = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # kept without, for short diffs
    client.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    said = "".join(o.get("text", "") for c in notebook.cells for o in c.get("outputs", ()))
    assert re.search(r"SRF +Dice 0\.\d\d +HD95 0\.\d+ mm", said), said
    assert re.search(r"after: \d+\.\d% of the pixels are right", said), said
