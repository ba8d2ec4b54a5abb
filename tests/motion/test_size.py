"""The size of a body: torsos, the unit that they tell, one size for all, and the axis along which bodies stand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kineme import synth
from kineme.motion import layout as skeleton
from kineme.motion import size
from kineme.motion.motion import UPS, Motion
from kineme.motion.size import BODY, PEOPLE, PLAIN, Measure
from kineme.utils.errors import InputError

HAND = skeleton.free(["palm", "index", "ring"], [-1, 0, 0])


@pytest.fixture(scope="module")
def walk():
    """One synthetic motion in metres, +y up."""
    return next(iter(synth.generate(1, cameras=0, subjects=1)))


def told(*torsos, unit=None, torso=False):
    """What becomes of torsos of no stated unit; 0: never seen, of a whole body of length 1."""
    measures = [Measure(abs(t) or 1.0, t != 0) for t in torsos]
    return size.decide(measures, [False] * len(torsos), unit, torso)


@settings(max_examples=60, deadline=None)
@given(st.floats(PEOPLE[0] + 1e-3, PEOPLE[1] - 1e-3), st.sampled_from(list(PLAIN)))
def test_a_grown_persons_torso_tells_its_unit(torso, unit):
    found = told(torso / PLAIN[unit])
    assert found.how == [unit]
    assert found.factors[0] * torso / PLAIN[unit] == pytest.approx(torso)


def test_no_length_is_that_of_a_grown_person_in_two_units():
    edges = sorted(bound / metres for metres in PLAIN.values() for bound in PEOPLE)
    bounds = [(PEOPLE[0] / metres, PEOPLE[1] / metres) for metres in PLAIN.values()]
    for length in edges + [(a + b) / 2 for a, b in itertools.pairwise(edges)]:
        assert sum(low < length < high for low, high in bounds) <= 1


def test_children_and_figures_go_with_the_others():
    assert told(0.2).how == ["m"]  # in metres nothing else has such numbers
    assert told(45, 50, 70).how == ["cm", "cm", "cm"]  # a giant
    assert told(400, 200, 130).how[1:] == ["tenths of an inch"] * 2  # told by itself, and so the report says
    assert told(400, 90).how == ["mm", "scaled"]
    assert told(90).factors.tolist() == [BODY / 90]
    assert told(90, unit="cm").how == ["cm"]  # those of a run


def test_what_fits_no_unit_is_scaled():
    found = told(5.4, 0.9e6)
    assert (found.how, found.metres, found.unit) == (["scaled"] * 2, False, None)
    np.testing.assert_allclose(found.factors * [5.4, 0.9e6], BODY)
    kept = size.decide([Measure(5.4, True), Measure(50, True)], [False, False], odd=False)
    assert (kept.how, kept.factors.tolist()) == (["nothing", "cm"], [1, 0.01])


def test_bodies_without_a_torso_go_with_the_others():
    assert told(45, 0).how == ["cm", "cm"]
    assert told(0.45, 45, 0).how == ["m", "cm", "scaled"]  # with whom?
    assert told(0).how == ["scaled"]
    assert size.decide([Measure(0.0, False)], [False]).how == ["nothing"]
    assert size.decide([Measure(0.0, False)], [False]).factors.tolist() == [1]


def test_what_is_stated_is_kept_whatever_the_torso():
    measures = [Measure(38.0, True), Measure(0.01, True), Measure(0.0, False)]
    assert size.decide(measures, [True] * 3).factors.tolist() == [1, 1, 1]
    assert size.decide(measures, [True] * 3, torso=True).how == ["scaled", "scaled", "nothing"]


def test_a_motion_is_measured_whoever_is_seen(walk):
    torso = size.measure(walk).torso
    assert PEOPLE[0] < torso < PEOPLE[1]
    second = np.concatenate([np.zeros_like(walk.joints[:, :1]), walk.joints[:, :1]], 1)
    seen = np.concatenate([np.zeros_like(walk.confidence[:, :1]), walk.confidence[:, :1]], 1)
    assert size.measure(walk.with_(joints=second, confidence=seen)).torso == pytest.approx(torso)
    hand = Motion(np.random.default_rng(0).normal(size=(4, 1, 3, 3)), HAND)
    assert size.measure(hand).seen is False
    assert size.measure(hand).torso > 0
    assert size.measure(Motion(np.ones((4, 1, 3, 3)), HAND)).torso == 0


@settings(max_examples=40, deadline=None)
@given(unit=st.sampled_from([*size.units.METRES, "tenths of an inch"]), stated=st.booleans())
def test_a_motion_in_any_unit_becomes_the_same(walk, unit, stated):
    metres = {**PLAIN, **size.units.METRES}[unit]
    stated &= unit in size.units.METRES
    if not stated and unit not in PLAIN:
        return  # dm, ft: scaled
    other = walk.with_(joints=walk.joints / metres, unit=unit if stated else "1")
    fitted = size.fit(other, {"how": "metres"})
    assert fitted.unit == "m"
    np.testing.assert_allclose(fitted.joints, walk.joints, rtol=1e-5, atol=1e-6)
    scaled = size.fit(other, {"how": "torso"})
    assert size.measure(scaled).torso == pytest.approx(BODY, rel=1e-5)


def test_a_run_of_unknown_size_gets_lengths_in_metres_and_all_else_as_it_is(walk):
    for known in (None, {"how": "unknown"}):
        np.testing.assert_allclose(size.fit(walk.with_(unit="cm"), known).joints, walk.joints / 100, rtol=1e-6)
        assert size.fit(walk.with_(unit="1"), known).joints is walk.joints
    assert size.fit(walk, {"how": "metres"}).joints is walk.joints
    flat = Motion(walk.joints[..., :2], walk.layout, unit="px")
    assert size.fit(flat, {"how": "metres"}) is flat


def test_what_a_person_says_goes_before_what_the_file_does(walk):
    assert size.meant(walk, "Inches", "-z").unit == "in"
    assert size.meant(walk, "Inches", "-z").up == "-z"
    np.testing.assert_allclose(size.meant(walk, 0.00254).joints, walk.joints * 0.00254, rtol=1e-6)
    flat = Motion(walk.joints[..., :2], walk.layout, up="-y", unit="px")
    assert size.meant(flat, "cm", "+z") is flat
    with pytest.raises(InputError, match="unit 'furlong'"):
        size.meant(walk, "furlong")


# ---- which way is up


@pytest.mark.parametrize("up", UPS)
def test_bodies_stand_along_the_axis_that_is_up(walk, up):
    turned = size.turned(walk, up)
    assert (turned.up, size.measure(turned).stands) == (up, up)
    back = size.turned(turned, "+y")
    np.testing.assert_allclose(np.abs(back.joints).max(), np.abs(walk.joints).max(), rtol=1e-6)


@pytest.mark.parametrize(("given_up", "wanted"), list(itertools.product(UPS, UPS)))
def test_turning_one_axis_into_another_is_a_rotation(given_up, wanted):
    matrix = size.turn(given_up, wanted, 3)
    if given_up == wanted:
        assert matrix is None
        return
    before, after = ((1 if up[0] == "+" else -1) * np.eye(3)["xyz".index(up[1])] for up in (given_up, wanted))
    np.testing.assert_array_equal(matrix @ before, after)
    np.testing.assert_array_equal(matrix @ matrix.T, np.eye(3))
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_in_the_image_up_and_down_are_mirrored_and_the_unknown_stays():
    assert size.turn("-y", "+y", 2).tolist() == [[1, 0], [0, -1]]
    assert size.turn(None, "+y", 3) is size.turn("+y", None, 3) is None


def test_who_lies_stands_along_no_axis_but_that(walk):
    slanted = walk.joints @ np.array([[0.7071, 0.7071, 0], [-0.7071, 0.7071, 0], [0, 0, 1]], np.float32)
    assert size.measure(walk.with_(joints=slanted)).stands is None
    assert size.measure(Motion(np.ones((2, 1, 3, 3)), HAND)).stands is None
