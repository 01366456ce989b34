"""The work of one process on the host, besides the devices' work, for `scaling.py`."""

import json
import timeit
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.data import astronaut

from dfi_jax import Editor, Recipe, starter
from dfi_jax.manifest import read_manifest, select_unfinished
from dfi_jax.photo.faces import detect
from dfi_jax.photo.photo import read, to_pil
from dfi_jax.report.curves import draw_loss_curves

BOX = (125, 5, 325, 205)
"""The face in the astronaut's photo."""


def measure_milliseconds(work: Callable[[], object], times: int) -> float:
    """Returns the median milliseconds of some runs, after one that isn't counted."""
    return 1e3 * float(np.median(timeit.repeat(work, number=1, repeat=times + 1)[1:]))


def measure_host(folder: Path, *, recipe: Recipe, lines: int, times: int) -> list[dict[str, Any]]:
    """Returns the bytes and the milliseconds of reading and writing, one row for each thing.

    An edit is made for this.

    Args:
      folder: Folder for the files.
      recipe: Recipe of the edit.
      lines: Number of lines in the manifest.
      times: Number of runs of slow work. Fast work runs four times as often.
    """
    pixels = astronaut().astype(np.float32) / 255
    editor, vector = Editor(recipe=recipe), starter("eyeglasses")
    edit = editor.edit(pixels, vector, face=BOX)
    rows: list[dict[str, Any]] = []

    def add(what: str, *paths: Path, read_ms: float = 0.0, write_ms: float = 0.0) -> float:
        size = sum(path.stat().st_size for path in paths)
        rows.append({"what": what, "bytes": size, "read_ms": read_ms, "write_ms": write_ms})
        return read_ms + write_ms

    pictures = {"the face, 200 × 200": edit.faces[0], "the photo": edit.pixels[0]}
    for name, picture in pictures.items():
        for kind in ("PNG", "JPEG"):
            path = folder / f"one.{kind.lower()}"
            save = partial(to_pil(picture).save, path, format=kind, quality=90)
            written = measure_milliseconds(save, 4 * times)
            took = measure_milliseconds(partial(read, path), 4 * times)
            add(f"{name}, {kind}", path, read_ms=took, write_ms=written)
            photo_read = took
    found = measure_milliseconds(partial(detect, pixels), times)
    add("the face detected in the photo", read_ms=found)
    paste = partial(edit.placement.paste, pixels, edit.faces[0] - edit.face)
    pasted = add(
        "the difference pasted into the photo", write_ms=measure_milliseconds(paste, times)
    )
    save_edit = partial(edit.save, folder / "edit", overwrite=True)
    saved = measure_milliseconds(save_edit, times)
    files = sorted((folder / "edit").iterdir())
    add("the folder of an edit, one strength", *files, write_ms=saved)
    for path in files:
        add(f"— {path.name}", path)
    draw = partial(draw_loss_curves, edit.history, ["α = 0.4"])
    add("— its plot alone", write_ms=measure_milliseconds(draw, times))
    add(
        "an edit: JPEG, face, difference, folder",
        read_ms=photo_read + found,
        write_ms=pasted + saved,
    )
    vector.save(folder / "float32.safetensors")
    vector.save(folder / "int8.safetensors", dtype="int8")
    for dtype in ("float32", "int8"):
        add(f"an attribute vector, {dtype}", folder / f"{dtype}.safetensors")
    rows += measure_manifest(folder, editor, lines=lines, times=times)
    return rows


def measure_manifest(
    folder: Path, editor: Editor, *, lines: int, times: int
) -> list[dict[str, Any]]:
    """Returns the rows for reading a manifest, and for finding that its edits are finished."""
    manifest, out = folder / "jobs.jsonl", folder / "out"
    Image.new("RGB", (64, 64)).save(folder / "small.png")
    made = {"photo": "small.png", "attribute": "eyeglasses", "face": "whole"}
    texts = [json.dumps(made | {"name": f"{i}"}) for i in range(lines)]
    manifest.write_text("\n".join(texts), encoding="utf-8")
    jobs = read_manifest(manifest)
    _, edit = next(editor.edit_many(jobs[:1]))
    for job in jobs:
        edit_folder = out / job.label
        edit_folder.mkdir(parents=True)
        (edit_folder / "result.json").write_text(json.dumps(edit.record), encoding="utf-8")
    reading = measure_milliseconds(partial(read_manifest, manifest), times)
    scan = partial(select_unfinished, jobs, out, editor=editor)
    finding = measure_milliseconds(scan, times)
    return [
        {
            "what": f"{lines:,} lines of a manifest",
            "bytes": manifest.stat().st_size,
            "read_ms": reading,
            "write_ms": 0.0,
        },
        {
            "what": f"{lines:,} edits that are finished already",
            "bytes": 0,
            "read_ms": finding,
            "write_ms": 0.0,
        },
    ]
