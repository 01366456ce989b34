"""Rules of selection, and the selections of the published systems, recomputed from their code."""

import dataclasses

import numpy as np
import pytest
from conftest import LFW

from dfi_jax import RULES, Anchor, Dataset, InputError, Rule, near, select
from dfi_jax.data.distances import two_scale_distance
from dfi_jax.data.selection import check_selection, spread

NAMES = ("Male", "Smiling", "Frowning", "Eyeglasses", "Bald", "Young")
N = 600


@pytest.fixture(scope="module")
def people():
    """Random scores of people with three images each, in which Smiling goes with Male."""
    scores = np.random.default_rng(0).normal(0, 1.5, (N, len(NAMES)))
    scores[:, 1] += 0.5 * scores[:, 0]
    return Dataset(
        name="made",
        names=tuple(f"{i}.png" for i in range(N)),
        read=lambda i: np.zeros((8, 8, 3), np.float32),
        attributes=NAMES,
        scores=scores.astype(np.float32),
        people=np.arange(N) // 3,
    )


def anchor_of(dataset, index):
    return Anchor(index=index, scores=dataset.scores[index])


def nearest(members, distances, k):
    """The k nearest of some images, of which equally near ones stay in order."""
    return sorted(members, key=lambda row: distances[row])[:k]


@pytest.mark.parametrize("index", [7, 8])
def test_chainer_dfi_selects_as_chainer_dfi_does(people, index):
    scores = people.scores.astype(float)
    chosen = select(
        people, "Smiling,~Frowning", anchor=anchor_of(people, index), rule="chainer-dfi"
    )
    distances = np.sqrt(((scores - scores[index]) ** 2).sum(axis=1))
    on, off = scores >= 0.5, scores < -0.5
    having = [i for i in range(N) if on[i, 1] and off[i, 2]]
    lacking = [i for i in range(N) if off[i, 1] and on[i, 2]]
    assert len(having) < 100 < N
    assert chosen.target.tolist() == nearest(having, distances, 100)
    assert chosen.source.tolist() == nearest(lacking, distances, 100)


def test_chainer_dfi_selects_the_photo_itself_first_and_any_number_of_images(people):
    index = int(np.flatnonzero(people.scores[:, 1] < -0.5)[0])
    chosen = select(people, "Smiling", anchor=anchor_of(people, index), rule="chainer-dfi")
    assert chosen.source[0] == index
    assert len(chosen.source) == len(chosen.target) == 100
    few = dataclasses.replace(people, scores=people.scores.copy())
    few.scores[3:, 1] = -1
    few.scores[2, 1] = 1
    chosen = select(few, "Smiling", anchor=anchor_of(few, 0), rule="chainer-dfi")
    assert len(chosen.target) == np.count_nonzero(few.scores[:, 1] >= 0.5) < 4


def test_chainer_dfi_takes_the_nearest_hundred_of_each_list_by_pixels(people):
    faces = np.random.default_rng(1).random((N, 8, 8, 3), np.float32)
    side = np.where(np.arange(N) % 4, 1, -1)[:, None].astype(np.float32)
    lists = dataclasses.replace(
        people, attributes=("Target",), scores=side, people=None, read=lambda i: faces[i]
    )
    anchor = Anchor(index=5, face=faces[5])
    chosen = select(lists, anchor=anchor, rule="chainer-dfi", near=near.Pixels(8))
    distances = np.sqrt(((faces.astype(float) - faces[5]) ** 2).sum(axis=(1, 2, 3)))
    assert chosen.target.tolist() == nearest([i for i in range(N) if i % 4], distances, 100)
    assert chosen.source.tolist() == nearest([i for i in range(N) if i % 4 == 0], distances, 100)
    assert chosen.target[0] == 5


@pytest.mark.parametrize("discrete", [False, True])
def test_dfi_tensorflow_selects_as_dfi_tensorflow_does(people, discrete):
    scores = people.scores.astype(float)
    rule = Rule.parse("dfi-tensorflow,near=binary:1" if discrete else "dfi-tensorflow")
    compared = np.sign(scores) if discrete else scores
    for index in (0, 11):
        chosen = select(people, "Eyeglasses", anchor=anchor_of(people, index), rule=rule)
        distances = np.sqrt(((compared - compared[index]) ** 2).sum(axis=1))
        for rows, sign in ((chosen.target, 1), (chosen.source, -1)):
            members = [i for i in range(N) if sign * scores[i, 3] > 0 and i != index]
            assert rows.tolist() == nearest(members, distances, 10)


def binarised(scores):
    """The members of each attribute and of Female: the top ⌊2n/3⌋ of the positive scores."""
    columns = dict(zip(NAMES, scores.T, strict=True)) | {"Female": -scores[:, 0]}
    members = {}
    for name, column in columns.items():
        positive = [i for i in range(len(column)) if column[i] > 0]
        members[name] = set(sorted(positive, key=lambda i: -column[i])[: 2 * len(positive) // 3])
    return members


def papers_sets(members, attribute, opposite, index, n, k):
    """The source and target sets of the paper's code."""
    having = members[attribute]
    men = len(having & members["Male"]) >= len(having & members["Female"])
    gender = members["Male" if men else "Female"]
    flags = np.array([[i in members[name] for name in members] for i in range(n)])
    distances = (flags != flags[index]).sum(axis=1)
    others = [i for i in range(n) if i in gender and i != index]
    source = [i for i in others if i not in having and i in members[opposite]]
    target = [i for i in others if i in having and i not in members[opposite]]
    return nearest(source, distances, k), nearest(target, distances, k)


@pytest.mark.parametrize("pair", [("Smiling", "Frowning"), ("Frowning", "Smiling")])
def test_the_paper_selects_as_the_papers_code_does(people, pair):
    members = binarised(people.scores)
    for index in (0, 1):
        text = f"{pair[0]},~{pair[1]}"
        chosen = select(people, text, anchor=anchor_of(people, index), rule="paper", k=20)
        expected = papers_sets(members, *pair, index, N, 20)
        assert (chosen.source.tolist(), chosen.target.tolist()) == expected
        assert len(chosen.source) == len(chosen.target) == 20


@pytest.mark.skipif(not (LFW / "binary_attributes.npz").exists(), reason="needs the real table")
@pytest.mark.parametrize(
    "pair",
    [
        ("Smiling", "Frowning"),
        ("Senior", "Youth"),
        ("Eyeglasses", "No Eyewear"),
        ("Mustache", "No Beard"),
        ("Wearing Lipstick", "Shiny Skin"),
    ],
)
def test_the_paper_selects_from_the_real_table_as_the_papers_code_does(pair):
    table = np.load(LFW / "binary_attributes.npz")
    names = [str(name) for name in table["attributes"]]
    flags = np.unpackbits(table["packed"], axis=1, count=len(names)).astype(bool)
    members = {name: set(np.flatnonzero(flags[:, i]).tolist()) for i, name in enumerate(names)}
    # The table has no scores, only who is in the top two thirds. Male's other side is Female.
    scores = np.where(flags, 1, -1).astype(np.float32)
    male, female = names.index("Male"), names.index("Female")
    scores[:, male] = flags[:, male].astype(int) - flags[:, female]
    columns = [i for i in range(len(names)) if i != female]
    lfw = Dataset(
        name="lfw",
        names=tuple(map(str, table["images"])),
        read=lambda i: np.zeros((8, 8, 3), np.float32),
        attributes=tuple(names[i] for i in columns),
        scores=scores[:, columns],
    )
    rule = RULES["paper"].replace(share=1.0, near=near.Binary(1.0))
    for name in ("Aaron_Eckhart_0001.jpg", "Halle_Berry_0001.jpg"):
        index = lfw.names.index(name)
        chosen = select(lfw, f"{pair[0]},~{pair[1]}", anchor=anchor_of(lfw, index), rule=rule)
        source, target = papers_sets(members, *pair, index, len(lfw), 100)
        assert chosen.source.tolist() == source
        assert chosen.target.tolist() == target
        assert len(target) == 100


def test_at_high_resolution_the_paper_selects_as_its_demonstration_does(people):
    """Except that it takes a share of 70 % of each attribute by itself, not of all together."""
    index, k = 4, 20
    scores = people.scores.astype(float)
    shapes = np.random.default_rng(3).normal(0, 20, (N, 68, 2)) * [1, 3] + 100
    anchor = dataclasses.replace(anchor_of(people, index), landmarks=shapes[index])
    chosen = select(
        people,
        "Bald",
        anchor=anchor,
        rule="paper-high-resolution",
        k=k,
        find_landmarks=shapes.__getitem__,
    )
    distances = np.abs(scores[index, [0, 1, 2, 3, 4, 5]] - (scores >= 0)).sum(axis=1)
    losses = two_scale_distance(shapes.__getitem__, shapes[index])(np.arange(N))

    def confident(column, on):
        ranked = sorted(column if on else -column)[::-1]
        positive = [score for score in ranked if score > 0]
        return (column if on else -column) >= positive[int(0.7 * len(positive) + 1e-9) - 1]

    for rows, bald in ((chosen.target, True), (chosen.source, False)):
        admitted = confident(scores[:, 4], bald) & (np.arange(N) != index)
        for column in (0, 1):
            admitted &= confident(scores[:, column], scores[index, column] >= 0)
        candidates = nearest(np.flatnonzero(admitted).tolist(), distances, 4 * k)
        assert len(candidates) > k
        assert rows.tolist() == nearest(candidates, losses, k)


def test_both_sets_are_like_the_photo_where_the_rule_says(people):
    rule = Rule(like_photo=("male", "Young"), smallest=1)
    for index in range(4):
        photo = people.scores[index]
        chosen = select(people, "Smiling", anchor=anchor_of(people, index), rule=rule, k=N)
        for rows in (chosen.source, chosen.target):
            for column in (0, 5):
                kept = people.scores[rows, column] * (1 if photo[column] >= 0 else -1)
                assert (kept >= 0.5).all()
    # A wanted attribute can't also be the photo's.
    chosen = select(people, "Young", anchor=anchor_of(people, 0), rule=rule, k=N)
    assert (people.scores[chosen.target, 5] >= 0.5).all()
    assert (people.scores[chosen.source, 5] < -0.5).all()


def test_what_the_photo_must_tell_is_asked_for(people):
    like = Rule(like_photo=("Male",), near=near.pixels)
    assert like.needs == {"scores", "face"}
    check_selection(people, "Smiling", anchor=Anchor(), rule=like)
    with pytest.raises(InputError, match="the scores of the photo are unknown"):
        select(people, "Smiling", anchor=Anchor(face=people.read(0)), rule=like)
    for text in ("like_photo=Male", "weights=nearness"):
        with pytest.raises(InputError, match=f"{text} can't be used because there is no photo"):
            spread(people, "Smiling", rule=text)


@pytest.mark.parametrize("rule", ["paper", "like_photo=Male", "paper-high-resolution"])
def test_an_attribute_of_the_rule_that_a_dataset_lacks_is_named(people, rule):
    lower = dataclasses.replace(people, attributes=("Tall", *NAMES[1:]))
    with pytest.raises(InputError, match=r"the rule's like_(photo|most) has 'Male', which isn't"):
        check_selection(lower, "Smiling", anchor=Anchor(), rule=rule)
    without = f"{rule},like_photo=,like_most="
    check_selection(lower, "Smiling", anchor=Anchor(), rule=without)


@pytest.mark.parametrize("leave_out", ["person", "image", "nobody"])
def test_the_images_that_are_left_out_are_those_of_the_rule(people, leave_out):
    rule = Rule(leave_out=leave_out, per_person=None, threshold=0.0)
    chosen = select(people, "Smiling", anchor=anchor_of(people, 7), rule=rule, k=N)
    missing = set(range(N)) - {*chosen.source.tolist(), *chosen.target.tolist()}
    assert missing == {"person": {6, 7, 8}, "image": {7}, "nobody": set()}[leave_out]


def test_only_the_most_confident_share_of_each_side_is_admitted(people):
    rule = Rule(share=0.25, per_person=None)
    chosen = spread(people, "Bald", rule=rule, k=N)
    scores = people.scores[:, 4]
    for rows, column, least in ((chosen.target, scores, 0.5), (chosen.source, -scores, 0.5)):
        admitted = sorted((i for i in range(N) if column[i] > least), key=lambda i: -column[i])
        assert sorted(rows) == sorted(admitted[: len(admitted) // 4])


def test_images_weigh_what_the_rule_says(people):
    anchor = anchor_of(people, 0)
    for rule in ("default", "weights=equal"):
        assert select(people, "Smiling", anchor=anchor, rule=rule).weights() == (None, None)
    chosen = select(people, "Smiling", anchor=anchor, rule="weights=nearness", k=12)
    for weights in chosen.weights():
        np.testing.assert_array_equal(weights, np.arange(12, 0, -1))
    chosen = select(people, "Smiling,~Bald,+Male", anchor=anchor, rule="weights=confidence", k=12)
    for rows, weights in zip((chosen.source, chosen.target), chosen.weights(), strict=True):
        expected = np.abs(people.scores[rows][:, [1, 4]].astype(float)).mean(axis=1)
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_and_its_text_stand_for_each_other(name):
    assert Rule.parse(name) == RULES[name]
    changed = RULES[name].replace(like_photo=("Male", "No Beard"), k=7, near=None, per_person=4)
    assert Rule.parse(str(changed)) == changed
    assert Rule.parse(str(RULES[name])) == RULES[name]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mine", "the rule 'mine' doesn't exist; choose from default"),
        ("", "the rule '' doesn't exist"),
        ("k", "the rule 'k' doesn't exist"),
        ("paper,k", "has the part 'k'; give FIELD=VALUE"),
        ("size=3", "has the part 'size=3'; give FIELD=VALUE with one of the fields near, k"),
        ("k=many", "the rule's k is 'many'; give a number"),
        ("k=0", "k is 0; give 1 or more"),
        ("per_person=0", "per_person is 0; give 1 or more"),
        ("smallest=-1", "smallest is -1; give 1 or more"),
        ("threshold=-1", "threshold is -1.0; give a number from 0"),
        ("threshold=nan", "threshold is nan; give a number from 0"),
        ("share=0", "share is 0.0; give a number above 0"),
        ("share=2", "share is 2.0; give a number above 0"),
        ("leave_out=me", "leave_out is 'me'; choose from person, image, nobody"),
        ("lacking=all", "lacking is 'all'; choose from opposite, others"),
        ("weights=big", "weights is 'big'; choose from equal, nearness, confidence"),
        ("near=taste", "can't be selected by 'taste'"),
    ],
)
def test_a_text_that_is_no_rule_is_rejected_in_a_sentence(text, message):
    with pytest.raises(InputError, match=message) as error:
        Rule.parse(text)
    assert str(error.value).endswith(".")


def test_an_attribute_that_no_text_can_name_is_rejected():
    with pytest.raises(InputError, match=r"'A\+B' isn't the name of an attribute"):
        Rule(like_most=("A+B",))
