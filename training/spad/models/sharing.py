"""A model as a folder that others can use: the checkpoint, a model card, a manifest of one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spad.cases import json_bytes, replaced_together, without_paths
from spad.checkpoint import Card, read_card, refuse_at_server, save_with_card, sha256
from spad.models.listing import licence_of
from spad.models.manifest import FILE, Entry, as_manifest

__all__ = ["share"]

# Names that Hugging Face's form takes as they are; any other is said by `license_name`.
_KNOWN = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "gpl-3.0", "cc0-1.0", "cc-by-4.0",
    "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0",
)  # fmt: skip


def share(
    model: Path, folder: Path, *, licence: str, name: str = "", version: str = "1"
) -> tuple[Path, Entry]:
    """Write a folder to hand a model on: ``NAME-VERSION.safetensors``, README.md, manifest.json.

    The folder can be put on a web server, on Hugging Face's hub, or named in ``SPAD_MODELS``. What
    a learnt model was taught (``NAME.lessons.npz``: images) stays out of it, and so do the paths of
    its card.

    Parameters
    ----------
    model : Path
        A checkpoint; it is not changed.
    folder : Path
        Made if missing; what is in it must not be in the way.
    licence : str
        Under which it is handed on, best by its SPDX name.
    name, version : str
        By which it will go; the file's own name where empty.

    Returns
    -------
    path : Path
        The checkpoint there.
    entry : Entry
        What the manifest says of it.

    Raises
    ------
    ValueError
        No licence, a name that cannot be a file's, a file in the way, or no checkpoint.
    OSError
        It cannot be read or written.
    """
    refuse_at_server(model)
    if not licence.strip():
        raise ValueError(
            "a model is handed on under a licence: name one, such as CC-BY-4.0; its card names "
            f"those of its data ({licence_of(read_card(model)) or 'none'})"
        )
    card = _clean(read_card(model))
    entry = Entry(  # checks the names before anything is written
        name=name or _plain(model.stem), version=version, sha256="0" * 64, size=1,
        licence=licence.strip(), classes=tuple(one.name for one in card.classes),
    )  # fmt: skip
    target = folder / f"{entry.stem}.safetensors"
    files = (target, folder / "README.md", folder / FILE)
    for file in files:
        if file.exists():
            raise ValueError(f"{file} exists and is not overwritten; choose an empty folder")
    folder.mkdir(parents=True, exist_ok=True)
    with replaced_together(*files) as (beside, readme, manifest):
        if card == read_card(model):
            shutil.copyfile(model, beside)
        else:
            save_with_card(model, card, beside)
        entry = replace(
            entry, sha256=sha256(beside), size=beside.stat().st_size, urls=(target.name,),
            card=card.as_json(),
        )  # fmt: skip
        readme.write_bytes(_readme(card, entry).encode())
        manifest.write_bytes(json_bytes(as_manifest((entry,))))
    return target, entry


def _clean(card: Card) -> Card:
    """The card without paths: a config's folders, the places of commands."""
    return replace(card, training=without_paths(card.training), scores=without_paths(card.scores))


def _plain(stem: str) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in stem)
    return kept.strip("._-")[:80]


def _readme(card: Card, entry: Entry) -> str:
    """The model card: Hugging Face's YAML header (JSON values are YAML), then Markdown."""
    known = entry.licence.lower().replace(" ", "-")
    head: dict[str, Any] = {
        "license": known if known in _KNOWN else "other",
        **({} if known in _KNOWN else {"license_name": entry.licence}),
        "library_name": "spad",
        "pipeline_tag": "image-segmentation",
        "tags": ["spad", "medical", "oct", "retina", "diffusion"],
    }
    data = [
        one
        for one in card.training.get("data") or []
        if isinstance(one, Mapping) and isinstance(one.get("name"), str)
    ]
    rows = [f"| {_cell(n)} | {_cell(v)} |" for n, v in _scores(card.scores)]
    of = [f"- {_cell(d['name'])}: {_cell(d.get('licence') or 'licence not stated')}" for d in data]
    lines = [
        "---",
        *(f"{key}: {json.dumps(value)}" for key, value in head.items()),
        "---",
        "",
        f"# {_cell(card.name)}",
        "",
        f"{_cell(card.notice)}",
        "",
        f"A model of SPAD for B-scans of retinal OCT. It labels {len(card.classes)} classes: "
        + ", ".join(f"{c.value} {_cell(c.name)}" for c in card.classes)
        + ".",
        "",
        "## Use",
        "",
        "```python",
        "import spad",
        f'result = spad.load("{entry.stem}.safetensors").segment(image)',
        "```",
        "",
        f"Or put this folder into `SPAD_MODELS` and choose `{entry.stem}` in napari or 3D Slicer.",
        f"SHA-256 of the file: `{entry.sha256}`.",
        "",
        "## Data",
        "",
        *(of or ["Not stated."]),
        "",
        "## Scores",
        "",
        *(["| measured | value |", "|---|---|", *rows] if rows else ["None were measured."]),
        "",
        "## The card in the file",
        "",
        "```text",
        card.text().replace("```", "'''"),
        "```",
        "",
    ]
    return "\n".join(lines)


def _scores(content: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Numbers of a card's scores with their names, outermost first."""
    rows = []
    for key, value in content.items():
        name = f"{before}, {key}" if before else str(key)
        if isinstance(value, Mapping):
            rows += _scores(value, name)
        elif isinstance(value, (int, float, str)):
            rows.append((name, f"{value:.4g}" if isinstance(value, float) else str(value)))
    return rows


def _cell(text: Any) -> str:
    return str(text).replace("|", "/").replace("\n", " ").replace("<", "&lt;")
