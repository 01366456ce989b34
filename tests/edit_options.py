"""Options of `dfi edit` that make it quick, and what it wrote."""

import json

# At the default size, every test would wait for a minute of compilation.
SMALL = ["--set", "features.layers=conv1_2,conv2_1", "--set", "features.size=32"]
RANDOM = ["--weights", "random-vgg16", "--face", "whole", *SMALL]
OPTIONS = [*RANDOM, "--set", "solver.iterations=2"]
STRONG = [*OPTIONS, "-a", "30"]  # Eight bits show so strong an edit.


def record(folder):
    """The record of an edit."""
    return json.loads((folder / "result.json").read_text())
