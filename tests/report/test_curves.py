import io
import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from dfi_jax.report.curves import draw_loss_curves


def decode(content):
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def test_loss_curves_are_a_picture_of_every_problem():
    history = np.geomspace(1, 0.01, 40).reshape(2, 20)
    image = decode(draw_loss_curves(history, ["α = 0.1", "α = 0.2"]))
    assert image.shape == (600, 960, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):  # They are matplotlib's first two.
        assert (np.abs(image.astype(int) - colour).max(axis=-1) < 3).sum() > 300


def test_so_many_curves_have_a_legend_as_fit_into_the_picture(recwarn):
    drawn = decode(draw_loss_curves(np.ones((100, 5)), [f"α = {i}" for i in range(100)]))
    assert drawn.shape == (600, 960, 3)
    assert not recwarn  # matplotlib warns if the legend leaves no place for the curves.


def test_the_legend_covers_no_curve():
    image = decode(draw_loss_curves(np.full((1, 9), 20.0), ["α = 1"]))
    blue = (np.abs(image.astype(int) - (31, 119, 180)).max(axis=-1) < 3).any(axis=0)
    columns = np.flatnonzero(blue)
    curve, sample = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
    assert 10 * len(sample) < len(curve)


def test_a_plot_on_a_slow_computer_warns_of_nothing(monkeypatch):
    hours = SimpleNamespace(perf_counter=itertools.count(step=3600).__next__)
    monkeypatch.setattr("matplotlib.legend.time", hours)
    decode(draw_loss_curves([np.array([4.0, 2.0, 1.0])], ["a"]))


def test_the_curve_of_a_history_without_a_positive_value_is_drawn():
    decode(draw_loss_curves(np.zeros((1, 5)), ["α = 0"]))


def test_the_user_s_own_settings_of_matplotlib_do_not_matter():
    import matplotlib as mpl

    plain = draw_loss_curves([np.array([4.0, 2.0, 1.0])], ["a"])
    with mpl.rc_context({"text.usetex": True, "axes.facecolor": "red", "lines.linewidth": 9}):
        assert draw_loss_curves([np.array([4.0, 2.0, 1.0])], ["a"]) == plain


def test_every_curve_needs_a_label():
    with pytest.raises(ValueError, match="zip"):
        draw_loss_curves(np.ones((2, 5)), ["α = 0"])
