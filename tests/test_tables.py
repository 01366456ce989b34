"""The tables of options in the docs against the code, and where tables of figures come from."""

import dataclasses
import re
from pathlib import Path

import dfi_jax
from dfi_jax import recipe as stages
from dfi_jax.recipe.stage import Stage

DOCS = Path(__file__).parents[1] / "docs"


def read_tables(page):
    """The rows of all tables, as dicts of cells by header. An empty cell repeats the kind above."""
    rows, header = [], None
    for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
        if not line.startswith("|"):
            header = None
        elif header is None:
            header = [cell.strip() for cell in line.strip("|").split("|")]
            above = ""
        elif not set(line) <= set("|- "):
            cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
            row = dict(zip(header, cells, strict=True))
            above = row["kind"] = row.get("kind") or above
            rows.append(row)
    return rows


def show(value):
    """A value as the tables and `--set` write it."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Stage):
        return value.kind
    return (",".join(map(str, value)) or "none") if isinstance(value, tuple) else str(value)


def test_every_stage_and_field_of_a_recipe_is_in_the_tables_with_its_default():
    rows = read_tables("recipes.md")
    fields = {(row["kind"], row["field"]): row["default"] for row in rows if row.get("field")}
    paths = {row["path"]: row.get("default", row["kind"]) for row in rows if row.get("path")}
    classes = {row["class"]: row["kind"] for row in rows if row.get("class")}
    for stage in (getattr(stages, name) for name in stages.__all__):
        if not (isinstance(stage, type) and issubclass(stage, Stage)) or stage is dfi_jax.Recipe:
            continue
        nested = stage.kind in {field.name for field in dataclasses.fields(dfi_jax.Recipe)}
        if not nested and stage is not dfi_jax.VGGSpectrum:
            assert classes.get(stage.__name__) == stage.kind
        default = stage()
        for field in dataclasses.fields(stage):
            shown = show(getattr(default, field.name))
            if nested:
                assert paths.get(f"{stage.kind}.{field.name}") == shown
            else:
                assert fields.get((stage.kind, field.name)) == shown


def test_every_field_of_a_rule_is_in_the_table_with_its_default():
    table = {row["field"]: row["default"] for row in read_tables("datasets.md") if "field" in row}
    assert table == {field.name: show(field.default) for field in dataclasses.fields(dfi_jax.Rule)}
    named = {row["rule"].split(",")[0] for row in read_tables("datasets.md") if "rule" in row}
    assert named == set(dfi_jax.RULES) - {"default"}


def test_every_stage_of_a_recipe_has_a_section():
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    for field in dataclasses.fields(dfi_jax.Recipe):
        assert f"### `{field.name}`: " in text
        default = getattr(dfi_jax.Recipe(), field.name)
        kinds = [step.kind for step in default] if isinstance(default, tuple) else [default.kind]
        assert all(f"`{kind}`" in text for kind in kinds)


FIGURES = 1 / 3
"""Share of numbers among the cells from which a table is one of figures. The tables of options have
at most a fifth, which are their defaults."""

SECONDS = "only a quiet machine can measure seconds"
GPU = "measured on a GPU, before programs kept records"

TYPED = {
    ("datasets.md", "What it costs"): SECONDS,
    ("directions.md", "Which direction changes a face least?"): GPU,
    ("performance.md", "How fast reconstruction is"): SECONDS,
    ("performance.md", "The same photo gives the same picture"): SECONDS,
    ("scaling.md", "The host and storage"): SECONDS,
}
"""The sections with tables of figures that no record gives, and the reasons. No new ones belong
here but those of seconds."""


def read_sections(page):
    """The heading and the text of each section, without the tables that come from records."""
    text = re.sub(r"<!-- table .*?<!-- end -->", "", page.read_text("utf-8"), flags=re.DOTALL)
    return [each.split("\n", 1) for each in re.split("^#+ ", text, flags=re.MULTILINE)[1:]]


def is_of_figures(table):
    """Whether a table is one of figures."""
    rows = [line.strip("|").split("|") for line in table.splitlines()[2:]]
    numbers = [re.match(r"\s*[-−]?\d", cell) is not None for row in rows for cell in row]
    return sum(numbers) >= FIGURES * len(numbers)


def test_tables_of_figures_come_from_records():
    typed = {
        (page.name, heading)
        for page in DOCS.glob("*.md")
        for heading, text in read_sections(page)
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
        if is_of_figures(table)
    }
    assert typed == set(TYPED)
