"""What a sweep of strengths writes."""

import alpha_sweep
import numpy as np
from judged_edits import Edited
from PIL import Image


def test_frames_are_sorted_by_strength_and_an_animation_goes_up_and_down(tmp_path):
    grey = {alpha: np.full((8, 8, 3), 0.5 + alpha, np.float32) for alpha in (-0.4, 0.0, 0.2, 0.4)}
    sweep = [Edited(7, alpha, grey[0.0], grey[alpha]) for alpha in (0.4, -0.4, 0.2)]
    pictures = [
        Image.fromarray(np.round(255 * face).astype(np.uint8))
        for _, face in alpha_sweep.frames(sweep)
    ]
    alpha_sweep.write_frames(tmp_path / "7", pictures)
    written = sorted((tmp_path / "7").iterdir())
    assert [path.name for path in written] == [f"{i:06}.png" for i in (1, 2, 3, 4)]
    levels = [np.asarray(Image.open(path))[0, 0, 0] for path in written]
    assert levels == [26, 128, 178, 230]
    for path in alpha_sweep.animate(tmp_path / "7", pictures, 40):
        with Image.open(path) as animation:
            assert animation.n_frames == 6
            shown = []
            for i in range(6):
                animation.seek(i)
                shown.append(int(np.asarray(animation.convert("RGB"))[0, 0, 0]))
        np.testing.assert_allclose(shown, [*levels, 178, 128], atol=3)  # Both lose a little.


def test_a_movie_has_strengths_at_equal_distances():
    config = alpha_sweep.Config(dataset="", alphas=(-0.3, 0.1, 0.3), frames=7)
    np.testing.assert_allclose(alpha_sweep.strengths(config), np.arange(-3, 4) / 10, atol=1e-9)
