"""One process of `editing.py`: prints how long edits take with the dfi_jax that it imports.

Run it as `python benchmarks/editing_worker.py single|sweep|queue PHOTOS ITERATIONS`.
"""

import importlib
import sys
import time
from collections.abc import Callable
from typing import Any

import dfi_jax

SWEEP = (0.1, 0.2, 0.3, 0.4, 0.5)
"""The strengths of a sweep."""


def prepare_edits(mode: str, photos: int, iterations: int | None) -> Callable[[], Any]:
    """Returns a function that makes the edits with the current API."""
    dfi_jax.Cache().keep_compiled()
    dataset = dfi_jax.load_dataset(f"synthetic:{photos}")
    recipe = dfi_jax.Recipe()
    if iterations is not None:
        recipe = recipe.set({"solver.iterations": str(iterations)})
    editor, vector = dfi_jax.Editor(recipe=recipe), dfi_jax.starter("eyeglasses")
    editor.load()
    alphas = SWEEP if mode == "sweep" else (0.4,)
    jobs = [
        dfi_jax.Job(photo=dataset.face(i, 200), attribute=vector, alphas=alphas, face="whole")
        for i in range(photos if mode == "queue" else 1)
    ]
    return lambda: list(editor.edit_many(jobs))


def prepare_old_edits(mode: str, photos: int, iterations: int | None) -> Callable[[], Any]:
    """Returns a function that makes the edits with the API of the package's first version."""
    old: Any = dfi_jax
    edit: Any = importlib.import_module("dfi_jax.edit")
    importlib.import_module("dfi_jax.cache").keep_compiled()
    dataset = old.load_dataset(f"synthetic:{photos}")
    vgg, vector = old.load_vgg("vgg16"), old.attribute.starter("eyeglasses")
    recipe = old.RECIPES["default"]
    if iterations is not None:
        recipe = recipe.replace(iterations=iterations)
    faces = [dataset.face(i, 200) for i in range(photos)]
    if mode == "queue":
        requests = [edit.Request(face, vector, (0.4,)) for face in faces]
        return lambda: list(edit.edit_faces(vgg, requests, recipe=recipe))
    alphas = SWEEP if mode == "sweep" else (0.4,)
    return lambda: edit.edit_face(vgg, faces[0], vector, alphas=alphas, recipe=recipe)


def main() -> None:
    """Times the edits that the arguments name."""
    mode, photos = sys.argv[1], int(sys.argv[2])
    iterations = int(sys.argv[3]) if len(sys.argv) > 3 else None
    prepare = prepare_edits if hasattr(dfi_jax, "Editor") else prepare_old_edits
    work = prepare(mode, photos, iterations)
    started = time.perf_counter()
    work()
    print(time.perf_counter() - started)


if __name__ == "__main__":
    main()
