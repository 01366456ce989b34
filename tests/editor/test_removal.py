import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageDraw

from dfi_jax import Editor, Recipe, load_dataset

SIZE = 64
# With 30 iterations or more, Winograd's convolutions would be compiled.
RECIPE = Recipe().set(
    {
        "features.size": str(SIZE),
        "features.layers": "conv2_1,conv3_1",
        "solver.iterations": "25",
    }
)


@pytest.fixture(scope="module")
def editor():
    return Editor(recipe=RECIPE, cache=None)


@pytest.fixture(scope="module")
def people():
    return load_dataset("synthetic:60")


@pytest.fixture(scope="module")
def vector(editor, people):
    """The vector of drawn spectacles."""
    return editor.fit(people).vector("Eyeglasses")


@pytest.fixture(scope="module")
def worn(people):
    """A face with a heavier frame than any in the dataset, the face, and where the frame is."""
    row = int(np.argmin(people.scores[:, people.attributes.index("Eyeglasses")]))
    face = people.face(row, SIZE)
    frame = Image.new("L", (SIZE, SIZE))
    for x in (24, 40):
        ImageDraw.Draw(frame).rectangle((x - 7, 30, x + 7, 40), outline=255, width=2)
    where = np.asarray(frame) > 0
    return np.where(where[..., None], np.float32(0.05), face), face, where


def test_a_frame_of_another_shape_is_taken_off_and_not_only_made_fainter(editor, vector, worn):
    photo, face, frame = worn
    without = vector.replace(replacement=None)  # Then the vector is subtracted and nothing else.
    edits = {
        name: editor.edit(photo, v, alphas=[alpha], face="whole").pixels[0]
        for name, v, alpha in (
            ("replaced", vector, -1.0),
            ("opposite", vector.opposite(), 1.0),
            ("subtracted", without, -1.0),
        )
    }
    np.testing.assert_allclose(edits["opposite"], edits["replaced"], atol=1e-5)
    left = {
        name: np.abs(edited - face)[frame].mean() / np.abs(photo - face)[frame].mean()
        for name, edited in edits.items()
    }
    assert left["replaced"] < 0.25
    assert left["subtracted"] > 0.5


def test_outside_a_mask_nothing_is_replaced(editor, vector):
    # The photo has details that the crop doesn't show, which a removal takes out.
    photo = np.random.default_rng(0).uniform(0.2, 0.8, (300, 300, 3)).astype(np.float32)
    mask = np.zeros_like(photo)
    mask[:150] = 1
    edited = editor.edit(photo, vector, alphas=[-1.0], face="whole", mask=mask).pixels[0]
    changes = np.abs(edited - photo)
    # The crop's pixels at the mask's edge reach 5 pixels of the photo below it.
    assert changes[160:].max() < 1e-6
    assert changes[:140].max() > 0.2


def test_a_vector_without_an_average_warns_when_it_should_take_something_away(editor, vector, worn):
    photo, _, _ = worn
    old = vector.replace(replacement=None)
    edits = {
        alpha: editor.edit(photo, old, alphas=[alpha], face="whole").record["warnings"]
        for alpha in (-1.0, 1.0)
    }
    (warning,) = edits[-1.0]
    assert "so it was only subtracted; compute it again" in warning
    assert edits[1.0] == []


def test_an_attribute_that_lies_everywhere_warns_when_it_is_taken_away(editor, vector, worn):
    photo, _, _ = worn
    nowhere = jax.tree.map(jnp.zeros_like, vector.replacement)
    wide = vector.replace(replacement=nowhere)

    def warnings(made, alpha):
        edit = editor.edit(photo, made, alphas=[alpha], face="whole")
        return " ".join(edit.record["warnings"])

    for made, away in ((wide, -1.0), (wide.opposite(), 1.0)):
        assert "the vector was only subtracted" in warnings(made, away)
        assert "subtracted" not in warnings(made, -away)
    # Nothing is replaced where an attribute is added, and that is as it should be.
    assert "subtracted" not in warnings(vector, 1.0)
