"""What is each free parameter of Deep Feature Interpolation worth?

    python experiments/free_parameters.py lfw:DIR [--photos N] [--sizes SIZES] [--attribute NAME]
    python experiments/free_parameters.py --quick

Section 4.4 of the DFI paper discusses these parameters. Each is changed by itself, around two
recipes:

- `default`, with the neighbours' vectors shrunk
- `paper`: filters normalised, w/mean(w²) over all layers, ½Σd² with total variation, and L-BFGS
  without a preconditioner, in fewer evaluations than the paper's 500

The parameters are the number of neighbours k, the strength α, the weight λ of total variation, the
layers, the size of the crop, and the number of evaluations. λ is for images in standard
deviations of ImageNet's colours: the paper's 0.001, for grey levels and a third of ½Σd², is 10.

Rows are compared at the strength whose mean gain is `goal`, except those of α, which is given
relative to that strength of the unchanged recipe. The columns are those of `normalization.py`, and
each figure has its standard deviation between photos. The folder keeps the rows of each setting, so
rerunning the command resumes it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import judged_edits
import numpy as np
from command_line import run_experiment
from counterfactuals import show
from kept import digest, kept_rows
from matched_edits import (
    Editing,
    Photos,
    Subjects,
    describe,
    fast,
    load_networks,
    phase,
)
from neighbor_vectors import neighbor_vectors

from dfi_jax import VGG, Recipe, load_dataset

PAPER = {
    "shrinkage": "unshrunk",
    "vector": "mean_square",
    "vector.scope": "concat",
    "objective.loss": "sum_squares",
    "objective.total_variation": "total_variation",
    "objective.total_variation.weight": "10",
    "objective.bounds": "none",
    "solver.preconditioner": "none",
    "solver.memory": "10",
    "solver.relaxation": "1",
    "solver.iterations": "100",
}
"""The paper's settings, as changes to the default recipe."""

MEASURES = ("gain", "others", "mean", "border", "luma", "chroma")
"""The columns of the tables with a mean over photos."""

WEIGHT = "objective.total_variation.weight"


@dataclass(frozen=True, kw_only=True)
class Base:
    """A recipe whose parameters are changed one at a time.

    Attributes:
      network: Kind of weights.
      changes: Changes to the default recipe.
      weights: Values of λ.
      iterations: Numbers of evaluations.
    """

    network: str
    changes: Mapping[str, str]
    weights: tuple[str, ...]
    iterations: tuple[str, ...]


BASES = {
    "default": Base(
        network="raw",
        changes={},
        weights=("2e-6", "1e-5", "5e-5"),
        iterations=("5", "10", "100"),
    ),
    "paper": Base(
        network="normalized",
        changes=PAPER,
        weights=("0", "1", "100"),
        iterations=("30", "300"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      attribute: Attribute that is added.
      photos: Number of photos.
      goal: Mean gain at which parameters are compared.
      rounds: Number of moves of each photo before the strength is chosen.
      bases: Names of recipes.
      parameters: Names of parameters that are changed, apart from α.
      k: Numbers of neighbours with the attribute, and of neighbours without. The first is the
        unchanged recipe's.
      alphas: Strengths, relative to the strength that reaches the goal.
      layers: Layers, separated by commas. The first are the unchanged recipe's.
      sizes: Heights and widths of the crop. The first is the unchanged recipe's.
      normalized_on: Number of images that the network is normalised on.
      changes: Changes to both recipes.
      weights: Name of the network.
      workers: Number of recipes at a time: while one is compiled, others edit.
      out: Folder for the rows of each setting.
    """

    dataset: str
    attribute: str = "Smiling"
    photos: int = 8
    goal: float = 0.5
    rounds: int = 2
    bases: tuple[str, ...] = tuple(BASES)
    parameters: tuple[str, ...] = ("k", "λ", "layers", "size", "evaluations")
    k: tuple[int, ...] = (100, 10, 25, 50, 200)
    alphas: tuple[float, ...] = (-1.0, 0.5, 1.0, 1.5, 2.0, 3.0)
    layers: tuple[str, ...] = (
        "conv3_1,conv4_1,conv5_1",
        "conv4_1,conv5_1",
        "conv3_1,conv5_1",
        "conv3_1,conv4_1",
        "conv2_1,conv3_1,conv4_1,conv5_1",
    )
    sizes: tuple[int, ...] = (200, 100, 150, 250)
    normalized_on: int = 200
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    workers: int = 6
    out: str = "out/free_parameters"


QUICK = Config(
    dataset="synthetic:200:0:64",
    photos=1,
    rounds=1,
    bases=("default",),
    parameters=("k", "layers"),
    k=(10, 5),
    alphas=(0.5,),
    layers=("conv1_2,conv2_1", "conv2_1"),
    sizes=(32,),
    normalized_on=10,
    changes={"solver.iterations": "3"},
    weights="random-vgg16",
    workers=2,
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A recipe with at most one changed parameter.

    Attributes:
      base: Name of the recipe.
      parameter: Name of the parameter, or an empty text for the unchanged recipe.
      value: Its value.
      changes: Changes to the recipe.
      k: Number of neighbours.
      layers: Layers, separated by commas.
      size: Height and width of the crop.
    """

    base: str
    parameter: str = ""
    value: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)
    k: int
    layers: str
    size: int


def run(config: Config) -> dict[str, Any]:
    """Edits the photos with every setting, and returns the rows of the table."""
    dataset = load_dataset(config.dataset)
    with phase("judge"):
        subjects = Subjects.of(dataset, config.attribute, photos=config.photos)
    networks = load_networks(
        config.weights, subjects.library, images=config.normalized_on, size=config.sizes[0]
    )
    rows: list[dict[str, Any]] = []
    for name in config.bases:
        vgg = networks[BASES[name].network]
        with phase(f"{name}: vectors"):
            seen = see_all(vgg, subjects, recipe_of(name, config), config)
        with phase(f"{name}: edits"), ThreadPoolExecutor(config.workers) as pool:
            jobs = [
                pool.submit(resume, s, config, partial(edit, vgg, seen, subjects, s, config))
                for s in settings(name, config)
            ]
            rows += [row for job in jobs for row in job.result()]
    return {
        "config": dataclasses.asdict(config),
        "photos": [dataset.names[row] for row in subjects.rows],
        "rows": rows,
    }


def recipe_of(base: str, config: Config) -> Recipe:
    """Returns an unchanged recipe."""
    changed = Recipe().set(BASES[base].changes).set(config.changes)
    return changed.set({"features.layers": config.layers[0], "features.size": str(config.sizes[0])})


def settings(name: str, config: Config) -> list[Setting]:
    """Returns the settings around a recipe, and the unchanged recipe first."""
    base = BASES[name]
    same = Setting(base=name, k=config.k[0], layers=config.layers[0], size=config.sizes[0])

    def change(parameter: str, value: str, **changes: Any) -> Setting:
        return dataclasses.replace(same, parameter=parameter, value=value, **changes)

    weighted = {"objective.total_variation": "total_variation"}
    changed = [
        *(change("k", str(k), k=k) for k in config.k[1:]),
        *(change("λ", text, changes=weighted | {WEIGHT: text}) for text in base.weights),
        *(change("layers", layers, layers=layers) for layers in config.layers[1:]),
        *(change("size", str(size), size=size) for size in config.sizes[1:]),
        *(
            change("evaluations", count, changes={"solver.iterations": count})
            for count in base.iterations
        ),
    ]
    return [same, *(setting for setting in changed if setting.parameter in config.parameters)]


def see_all(
    vgg: VGG, subjects: Subjects, recipe: Recipe, config: Config
) -> dict[tuple[int, int], Photos]:
    """Returns the photos with all layers, by size and number of neighbours."""
    layers = tuple(dict.fromkeys(",".join(config.layers).split(",")))
    found: dict[tuple[int, int], Photos] = {}
    for size in config.sizes:
        counts = config.k if size == config.sizes[0] else config.k[:1]
        selections = [selection for k in counts for selection in subjects.neighbors(k)]
        faces = subjects.faces(size)
        stage = recipe.features.replace(layers=layers, size=size)
        phi = describe(vgg, faces, stage)
        (vectors,) = neighbor_vectors(vgg, selections, [stage], shrinkage=recipe.shrinkage)
        for i, k in enumerate(counts):
            some = slice(i * len(faces), (i + 1) * len(faces))
            its = {name: layer[some] for name, layer in vectors.items()}
            found[size, k] = Photos(jnp.asarray(faces), phi, its)
    return found


def resume(
    setting: Setting, config: Config, make: Callable[[], list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Returns the rows of a setting, read from the folder or else made and written there."""
    same = dataclasses.replace(config, out="", workers=1)
    parts = setting.base, setting.parameter, setting.value
    name = f"{' '.join(filter(None, parts))}.json"
    return kept_rows(Path(config.out, digest(dataclasses.asdict(same)), name), make)


def edit(
    vgg: VGG,
    seen: Mapping[tuple[int, int], Photos],
    subjects: Subjects,
    setting: Setting,
    config: Config,
) -> list[dict[str, Any]]:
    """Returns the row of a setting, and those of other strengths if nothing else is changed."""
    recipe = recipe_of(setting.base, config).set(setting.changes)
    recipe = recipe.set({"features.layers": setting.layers, "features.size": str(setting.size)})
    photos = seen[setting.size, setting.k].only(recipe.features.layers)
    editing = Editing(vgg=fast(vgg, recipe=recipe), photos=photos, subjects=subjects, recipe=recipe)
    factors = photos.factors(recipe.vector)
    curves = editing.trace(factors, goal=config.goal, rounds=config.rounds)
    found, _ = editing.match(factors, curves, goal=config.goal)
    names = {"recipe": setting.base, "parameter": setting.parameter, "value": setting.value}
    rows = [names | found]
    if not setting.parameter:
        for relative in config.alphas:
            alpha = relative * found["alpha"]
            measured = subjects.measure(np.asarray(photos.faces), editing.edit(alpha * factors))
            row = {"alpha": alpha, "varies": None, "photos": measured}
            row |= judged_edits.average(measured)
            rows.append(names | {"parameter": "α", "value": f"{relative:g}"} | row)
    return rows


def print_tables(record: dict[str, Any]) -> None:
    """Prints a table for each recipe, with one row per setting."""
    for base in record["config"]["bases"]:
        print(f"\nAround {base}:\n\n| setting | α | varies | {' | '.join(MEASURES)} |")
        print("| --- " * (3 + len(MEASURES)) + "|")
        for row in record["rows"]:
            if row["recipe"] == base:
                what = f"{row['parameter']} {row['value']}".strip() or "unchanged"
                varies = "" if row["varies"] is None else f"{row['varies']:.2f}"
                cells = [show([photo[name] for photo in row["photos"]]) for name in MEASURES]
                print(f"| {what} | {row['alpha']:.3g} | {varies} | {' | '.join(cells)} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
