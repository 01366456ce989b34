"""What should the vector of an attribute hold constant?

    python experiments/held.py lfw:DIR [--photos N] [--out DIR] [--json]
    python experiments/held.py --quick

The vector of `older` is fitted to half of the people three times: with nothing held, with what the
starter holds (`starter_fits.STARTERS`), and with all other attributes held. Each edits the same
faces of people whom neither a vector nor the judge has seen (`judged_edits`), at two strengths. The
table compares them at a mean gain of 1, by interpolation, or at the largest gain that all reach. It
also has the share of noise in each vector's energy before shrinkage, and how far some of the other
attributes move, with the sign.

The edited faces are written to the folder, where a rerun finds them again, with one picture per
vector. `--quick` uses drawn faces.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import judged_edits
import numpy as np
from command_line import SMALL, run_experiment
from judged_edits import Edited
from starter_fits import STARTERS, regress

from dfi_jax import Editor, Recipe, load_dataset, load_vgg
from dfi_jax.metrics.judge import Judge, fit_judge
from dfi_jax.vectors.fit import fit

STARTER = "older"
"""The starter whose vector is fitted."""

ALPHAS = {"nothing": (0.8, 1.6), "some": (1.6, 2.8), "all others": (3.0, 5.0)}
"""Strengths of each vector. The more is held, the less is left of it."""

MEASURES = ("spread", "others", "identity", "mean", "border")
"""Measures in the table."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is compared.

    Attributes:
      dataset: Dataset with scores.
      photos: Number of photos that are edited with each vector.
      followed: Other attributes whose movements are in the table.
      changes: Changes to the default recipe.
      weights: Name of the network.
      out: Folder for sums, edits and pictures.
    """

    dataset: str
    photos: int = 8
    followed: tuple[str, ...] = ("Eyeglasses", "Male", "Gray Hair")
    changes: Mapping[str, str] = field(default_factory=dict)
    weights: str = "vgg16"
    out: str = "out/held"


QUICK = Config(
    dataset="synthetic:160:0:64",
    photos=1,
    followed=("Mouth Slightly Open",),
    changes=SMALL,
    weights="random-vgg16",
)


def run(config: Config) -> dict[str, Any]:
    """Edits every photo with every vector, and returns the rows of the table."""
    dataset, vgg = load_dataset(config.dataset), load_vgg(config.weights)
    editor = Editor(recipe=Recipe().set(config.changes), weights=vgg)
    groups, out, recipe = judged_edits.divide(dataset), Path(config.out), editor.resolved_recipe
    sums = out / f"{len(dataset)}-images-{recipe.features.size}-pixels" / "half-0"
    fitted = fit(vgg, dataset, recipe=recipe, rows=groups.vectors, folder=sums)
    judge = fit_judge(dataset, groups.judge)
    starter = STARTERS[STARTER]
    kinds = {
        "nothing": dataclasses.replace(starter, hold=()),
        "some": starter,
        "all others": dataclasses.replace(starter, hold=None, belongs=()),
    }
    photos = judged_edits.choose_photos(dataset, groups.photos, starter.attribute, config.photos)
    rows: list[dict[str, Any]] = []
    for name, kind in kinds.items():
        print(name, file=sys.stderr, flush=True)
        vector, folder = regress(fitted, kind), out / name
        edit = (editor, dataset, photos, vector, ALPHAS[name], folder)
        curve = judged_edits.edit_and_measure(*edit, judge=judge, attribute=starter.attribute)
        edits = list(judged_edits.edit_all(*edit))
        rows.append(
            {
                "held": name,
                "number": len(vector.provenance.held),
                "noise": vector.provenance.noise_share,
                "curve": [
                    (alpha, {**means, **mean_movements(judge, edits, alpha)})
                    for alpha, means in curve
                ],
            }
        )
    gain = min(1.0, *(max(means["gain"] for _, means in row["curve"]) for row in rows))
    for row in rows:
        row["matched"] = judged_edits.matched(row["curve"], gain) if gain > 0 else None
    return {"config": dataclasses.asdict(config), "gain": gain, "rows": rows}


def mean_movements(judge: Judge, edits: Sequence[Edited], alpha: float) -> dict[str, float]:
    """Returns the mean movement in each attribute at a strength, with its sign."""
    faces = [(edit.face, edit.edited) for edit in edits if edit.alpha == alpha]
    before, after = (judge.positions(np.stack(each)) for each in zip(*faces, strict=True))
    return dict(zip(judge.attributes, (after - before).mean(axis=0).tolist(), strict=True))


def print_tables(record: dict[str, Any]) -> None:
    """Prints one row per vector."""
    print(f"At a mean gain of {record['gain']:.2f}:\n")
    followed = record["config"]["followed"]
    heads = [*(judged_edits.HEADS[name] for name in MEASURES), *(f"`{name}`" for name in followed)]
    print(f"| held | noise | strength | {' | '.join(heads)} |\n{'| --- ' * (3 + len(heads))}|")
    for row in record["rows"]:
        held = f"{row['held']} ({row['number']})" if row["number"] else row["held"]
        noise = "" if row["noise"] is None else f"{100 * row['noise']:.0f} %"
        cells = [""] * (1 + len(heads))
        if row["matched"] is not None:
            cells = [f"{row['matched'][name]:.2f}" for name in ("alpha", *MEASURES)]
            cells += [f"{row['matched'][name]:+.2f}".replace("-", "−") for name in followed]
        print(f"| {held} | {noise} | {' | '.join(cells)} |")


def main() -> None:
    """Prints the table, or the record as JSON."""
    run_experiment(__doc__, Config, QUICK, run, print_tables)


if __name__ == "__main__":
    main()
