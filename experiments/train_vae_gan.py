"""How long does a VAE/GAN take to learn faces, and how well does it draw people it hasn't seen?

    python experiments/train_vae_gan.py lfw:DIR [-o FILE.safetensors] [--seconds S] [--json]
    python experiments/train_vae_gan.py FILE.npz [-o FILE.safetensors] [--seconds S] [--json]
    python experiments/train_vae_gan.py lfw:DIR --faces FILE.npz
    python experiments/train_vae_gan.py --quick

Trains the networks of `vae_gan.py` on the faces of a dataset, at 64 × 64 pixels, without the people
whose photos `gan.py` edits. All faces stay on the device, and each program that runs there takes
many steps. `--faces` only writes the small faces into a file, for a training on a machine that has
JAX, Flax and Optax but neither the dataset nor dfi_jax.

A row per round is printed while it trains, and a table of some of them at the end. The time of the
first round, which compiles, isn't in `seconds` but in the record as `compiling`. The columns are
means over the round's steps, except those of the held-out people, whose faces are drawn from the
means of their codes with the averaged weights:

- `similarity`, `kl` (nats), `critic` and `slope` (‖∇d‖): the parts of the losses (`vae_gan.py`)
- `error`: root mean square error of drawn faces, in grey levels; `held-out error` of unseen people
- `detail`: energy of the Laplacian of unseen people's drawn faces, over that of their photos
- `real`, `recon`, `prior`: mean logits of the dataset's faces, and of those drawn from their codes
  and from random codes; `held-out real` of unseen people's photos. If it is far below `real`, the
  discriminator has memorised the training faces.

Beside the weights, `FILE.png` has photos of unseen people, the same faces drawn, and faces from
random codes; `FILE.json` has the record. All three are written again after every few rounds.
`--quick` trains tiny networks on drawn faces.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import small_faces
import vae_gan
import vae_gan_training
from jaxtyping import Array, Float
from PIL import Image
from safetensors.numpy import save_file
from vae_gan import Images, Networks, Settings
from vae_gan_training import State

COLUMNS = (
    "step",
    "seconds",
    "similarity",
    "kl",
    "critic",
    "slope",
    "error",
    "held-out error",
    "detail",
    "real",
    "recon",
    "prior",
    "held-out real",
)
"""What is printed while it trains."""

HEADS = {
    "step": ("step", "d"),
    "kl": ("divergence, nats", ".0f"),
    "error": ("error", ".1f"),
    "held-out error": ("error, unseen people", ".1f"),
    "detail": ("detail, unseen", ".2f"),
    "real": ("real", ".2f"),
    "recon": ("drawn", ".2f"),
    "prior": ("random", ".2f"),
    "held-out real": ("unseen", ".2f"),
}
"""The columns of the table, each with its head and its format."""

APART = 1000
"""Number of steps between rows of the table, which also has the first row and the last."""

SHOWN = 12
"""Number of faces in a row of the picture."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """What is trained.

    Attributes:
      source: Dataset of the faces, or a file of small faces.
      settings: Networks and their training.
      steps: Maximum number of steps.
      seconds: Time after which no round is started. The first round, which compiles, isn't counted.
      round: Number of steps that the device takes at a time.
      written: Number of rounds after which the files are written again.
      tested: Maximum number of images of unseen people.
      out: File of the weights.
    """

    source: str
    settings: Settings = field(default_factory=Settings)
    steps: int = 20000
    seconds: float = 180
    round: int = 250
    written: int = 10
    tested: int = 256
    out: str = "out/vae_gan.safetensors"


QUICK = Config(
    source="synthetic:160:0:64",
    settings=Settings(width=16, latent=8, batch=4),
    steps=4,
    round=2,
    tested=4,
)


def run(config: Config) -> dict[str, Any]:
    """Trains the networks, writes them, and returns the record."""
    began = time.perf_counter()
    faces = small_faces.load(config.source)
    images = jnp.asarray(faces.images[~faces.held_out])
    unseen = jnp.asarray(faces.images[faces.held_out][: config.tested])
    record: dict[str, Any] = {
        "config": dataclasses.asdict(config),
        "device": jax.devices()[0].device_kind,
        "images": [len(images), int(faces.held_out.sum())],
        "reading": time.perf_counter() - began,
        "rows": [],
    }
    settings, out = config.settings, Path(config.out)
    began = time.perf_counter()
    state, rows = vae_gan_training.start(settings, jax.random.key(0)), record["rows"]
    report(" | ".join(COLUMNS))
    while not rows or (rows[-1]["step"] < config.steps and rows[-1]["seconds"] < config.seconds):
        state, measured = vae_gan_training.train(settings, state, images, steps=config.round)
        measured |= test(settings, state, unseen)
        row = {name: float(value) for name, value in measured.items()}
        if not rows:
            record["compiling"] = time.perf_counter() - began
            began = time.perf_counter()
        rows.append({"step": int(state.step), "seconds": time.perf_counter() - began} | row)
        report(" | ".join(f"{rows[-1][name]:.5g}" for name in COLUMNS))
        if not np.isfinite(list(row.values())).all():
            raise SystemExit(f"the training diverged; {out} has the weights of an earlier step.")
        if len(rows) % config.written == 0:
            write(out, config, state, unseen, record)
    if len(rows) > 1:
        record["seconds per step"] = rows[-1]["seconds"] / (rows[-1]["step"] - rows[0]["step"])
    write(out, config, state, unseen, record)
    return record


def report(text: str) -> None:
    """Prints what the training is doing."""
    print(text, file=sys.stderr, flush=True)


@partial(jax.jit, static_argnames="settings")
def test(settings: Settings, state: State, unseen: Array) -> dict[str, Float[Array, ""]]:
    """Returns what is measured on photos of unseen people."""
    x = vae_gan.from_bytes(unseen)
    drawn = redraw(settings, state.averages, x)
    _, logits = vae_gan.discriminate(settings, state.params.discriminator, x)
    return {
        "held-out error": 127.5 * jnp.sqrt(jnp.mean((drawn - x) ** 2)),
        "detail": detail(drawn) / detail(x),
        "held-out real": logits.mean(),
    }


@partial(jax.jit, static_argnames="settings")
def redraw(settings: Settings, averages: Networks, x: Images) -> Images:
    """Returns the faces drawn from the means of the codes of faces."""
    z = vae_gan.encode(settings, averages.encoder, x).mean
    return vae_gan.decode(settings, averages.decoder, z)


@partial(jax.jit, static_argnames="settings")
def imagine(settings: Settings, averages: Networks, z: Float[Array, "n k"]) -> Images:
    """Returns the faces drawn from codes."""
    return vae_gan.decode(settings, averages.decoder, z)


def detail(x: Float[Array, "n h w c"]) -> Float[Array, ""]:
    """Returns the mean square of the Laplacian."""
    middle, across, down = x[:, 1:-1, 1:-1], x[:, 1:-1], x[:, :, 1:-1]
    beside = across[:, :, :-2] + across[:, :, 2:] + down[:, :-2] + down[:, 2:]
    return jnp.mean((beside - 4 * middle) ** 2)


def write(path: Path, config: Config, state: State, unseen: Array, record: dict[str, Any]) -> None:
    """Writes the averaged encoder and decoder, a picture and the record."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save(path, config.settings, state.averages)
    x = vae_gan.from_bytes(unseen[:SHOWN])
    z = jax.random.normal(jax.random.key(1), (2 * SHOWN, config.settings.latent))
    rows = jnp.concatenate(
        [
            x,
            redraw(config.settings, state.averages, x),
            imagine(config.settings, state.averages, z),
        ]
    )
    Image.fromarray(tile(np.asarray(rows), len(x))).save(path.with_suffix(".png"))
    path.with_suffix(".json").write_text(json.dumps(record, indent=2))


def tile(x: Float[np.ndarray, "n 64 64 3"], columns: int) -> np.ndarray:
    """Returns faces in rows, as one picture of 8 bits. An incomplete row is left out."""
    count = len(x) // columns
    grid = x[: count * columns].reshape(count, columns, 64, 64, 3).transpose(0, 2, 1, 3, 4)
    pixels = 127.5 * (grid.reshape(count * 64, columns * 64, 3) + 1)
    return np.round(np.clip(pixels, 0, 255)).astype(np.uint8)


def save(path: Path, settings: Settings, networks: Networks) -> None:
    """Writes the parameters of the encoder and the decoder, with the settings."""
    tensors = {
        jax.tree_util.keystr(keys, simple=True, separator="/"): np.asarray(value)
        for keys, value in jax.tree_util.tree_leaves_with_path(
            {"encoder": networks.encoder, "decoder": networks.decoder}
        )
    }
    save_file(tensors, path, metadata={"settings": json.dumps(dataclasses.asdict(settings))})


def change(settings: Settings, texts: Sequence[str]) -> Settings:
    """Returns settings with some values changed.

    >>> change(Settings(), ["width=32"]).width
    32
    """
    pairs = dict(text.split("=", 1) for text in texts)
    values = {name: type(getattr(settings, name))(text) for name, text in pairs.items()}
    return dataclasses.replace(settings, **values)


def print_tables(record: dict[str, Any]) -> None:
    """Prints some of the rows, and how long the training took."""
    rows = record["rows"]
    first, last = rows[0], rows[-1]
    print(f"| {' | '.join(head for head, _ in HEADS.values())} |\n{'| --- ' * len(HEADS)}|")
    for row in rows:
        if row in (first, last) or row["step"] % APART == 0:
            cells = (format(row[name], form) for name, (_, form) in HEADS.items())
            print(f"| {' | '.join(cells)} |")
    print(
        f"\n{record['device']}: {record['compiling']:.0f} s to step {first['step']}, which "
        f"compiles, and {last['seconds']:.0f} s from there to step {last['step']}."
    )


def main() -> None:
    """Trains, and prints the table, or the record as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", nargs="?", help="lfw:DIR, or a file that --faces wrote")
    parser.add_argument("-o", "--out", default=Config.out, help="file of the weights")
    parser.add_argument("--seconds", type=float, help="time of the training, without compilation")
    parser.add_argument("--steps", type=int, help="maximum number of steps")
    parser.add_argument("--round", type=int, help="number of steps between rows")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="settings")
    parser.add_argument("--faces", metavar="FILE.npz", help="only write the small faces")
    parser.add_argument("--quick", action="store_true", help="try it on a few drawn faces")
    parser.add_argument("--json", action="store_true", help="print the record as JSON")
    arguments = parser.parse_args()
    if not arguments.source and not arguments.quick:
        parser.error("give a dataset, such as lfw:DIR, a file of small faces, or --quick")
    config = QUICK if arguments.quick else Config(source=arguments.source)
    if arguments.faces:
        small_faces.write(Path(arguments.faces), small_faces.load(config.source))
        return
    given = {name: getattr(arguments, name) for name in ("out", "seconds", "steps", "round")}
    config = dataclasses.replace(config, **{k: v for k, v in given.items() if v is not None})
    config = dataclasses.replace(config, settings=change(config.settings, arguments.set))
    record = run(config)
    if arguments.json:
        print(json.dumps(record, indent=2))
    else:
        print_tables(record)


if __name__ == "__main__":
    main()
