"""Letters in the fonts of free families: a dataset whose counterfactuals are known.

`fonts.py` draws with this module. DejaVu comes with matplotlib; Source Pro is two packages of the
extra `demo`. A family has eight fonts: with serifs or without, bold or not, and italic or not.
"""

from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from dfi_jax import Dataset, Selection, Wanted

Letter = Float[np.ndarray, "s s 3"]

LATIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

OTHERS = "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπστφχψωБДЖЗИЙЛЦЧШЩЪЫЬЭЮЯбвгджзийлмнптфцчшщъыьэюя"
"""Greek and Cyrillic letters. Letters that look like one of another script are left out, because an
edited letter would find the truth among its neighbours. Three look like m, n and u in DejaVu's
italics, and nowhere else: т, п and и."""


class Family(NamedTuple):
    """Fonts that were designed together.

    Attributes:
      letters: Letters that all of the fonts have.
      files: File of each of the eight `FONTS`, from the folder of its package.
    """

    letters: str
    files: tuple[str, ...]


FAMILIES = {
    "DejaVu": Family(
        letters=LATIN + OTHERS,
        files=tuple(
            f"matplotlib/mpl-data/fonts/ttf/DejaVu{style}.ttf"
            for style in (
                *("Sans", "Sans-Bold", "Sans-Oblique", "Sans-BoldOblique"),
                *("Serif", "Serif-Bold", "Serif-Italic", "Serif-BoldItalic"),
            )
        ),
    ),
    "Source Pro": Family(
        letters=LATIN,
        files=tuple(
            f"font_source_{kind.lower()}_pro/files/Source{kind}Pro-{style}.ttf"
            for kind in ("Sans", "Serif")
            for style in ("Regular", "Bold", "It", "BoldIt")
        ),
    ),
}
"""The families."""

FONTS = {
    "sans": (-1, -1, -1),
    "bold sans": (-1, 1, -1),
    "italic sans": (-1, -1, 1),
    "bold italic sans": (-1, 1, 1),
    "serif": (1, -1, -1),
    "bold serif": (1, 1, -1),
    "italic serif": (1, -1, 1),
    "bold italic serif": (1, 1, 1),
}
"""Scores of each font for `ATTRIBUTES`."""

ATTRIBUTES = ("Serif", "Bold", "Italic")

EM, BASELINE = 0.8, 0.75
"""Size of a letter, and distance of its baseline from the top, relative to the image's side."""


class Change(NamedTuple):
    """A change from one font to another.

    Attributes:
      wanted: The attribute that changes, and those that stay.
      before: Font of the edited letters.
      after: Font of the true letters.
    """

    wanted: str
    before: str
    after: str


CHANGES = {
    "bold": Change("Bold,-Italic,-Serif", "sans", "bold sans"),
    "italic": Change("Italic,-Bold,+Serif", "serif", "italic serif"),
    "serif": Change("Serif,-Bold,-Italic", "sans", "serif"),
}
"""The changes that are tried."""


def draw(letter: str, font: str, family: str, size: int) -> Letter:
    """Returns a letter, black on white."""
    package, _, file = FAMILIES[family].files[list(FONTS).index(font)].partition("/")
    image = Image.new("RGB", (size, size), "white")
    place = (size / 2, BASELINE * size)
    with as_file(files(package).joinpath(file)) as path:
        loaded = ImageFont.truetype(str(path), round(EM * size))
    ImageDraw.Draw(image).text(place, letter, fill="black", font=loaded, anchor="ms")
    return np.asarray(image, np.float32) / 255


def make_dataset(letters: Mapping[str, str], size: int) -> Dataset:
    """Returns a dataset of the letters of each family in all fonts."""
    images = [(each, font, name) for name in letters for each in letters[name] for font in FONTS]
    return Dataset(
        name="letters",
        names=tuple("/".join(reversed(image)) for image in images),
        read=lambda index: draw(*images[index], size),
        attributes=ATTRIBUTES,
        scores=np.array([FONTS[font] for _, font, _ in images], np.float32),
    )


def select_pairs(dataset: Dataset, family: str, change: Change, k: int) -> Selection:
    """Returns letters, spread over all of a family, in both fonts of a change."""
    source, target = (
        np.array([i for i, name in enumerate(dataset.names) if name.startswith(start)])
        for start in (f"{family}/{change.before}/", f"{family}/{change.after}/")
    )
    chosen = np.linspace(0, len(source) - 1, min(k, len(source))).round().astype(int)
    wanted = Wanted.of(change.wanted, dataset.attributes)
    return Selection(
        dataset=dataset,
        wanted=wanted,
        k=k,
        near=None,
        source=source[chosen],
        target=target[chosen],
    )
