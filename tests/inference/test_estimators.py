"""Motions in scikit-learn: pipelines, cross-validation, pandas, and scikit-learn's own checks."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import kineme
from kineme.inference.estimators import MotionEncoder, MotionIndex
from kineme.utils.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:.*mapped to the run's")


@pytest.fixture(scope="module")
def motions():
    return list(kineme.synth.generate(24, subjects=4, cameras=2, actions=["walk", "wave", "kick"], seed=3))


@pytest.fixture(scope="module")
def labels(motions):
    return np.array([motion.label for motion in motions])


@pytest.fixture(scope="module")
def encoder():
    return MotionEncoder("base", device="cpu")


@pytest.mark.filterwarnings("ignore:Can't test estimator MotionEncoder")
@pytest.mark.parametrize("made", [MotionIndex(), MotionIndex(n_neighbors=1), MotionEncoder()])
def test_it_keeps_the_rules_of_scikit_learn(made):
    """Those for arrays of numbers do not apply to what takes motions; scikit-learn leaves them out by its tags."""
    found = Counter(each["status"] for each in check_estimator(made, on_skip=None))
    assert set(found) <= {"passed", "skipped"}
    assert found["skipped"] <= 1  # the array API, which has to be switched on
    assert found["passed"] >= (50 if isinstance(made, MotionIndex) else 1)


def test_vectors_are_those_of_the_model(motions, encoder):
    found = encoder.fit(motions).transform(motions)
    np.testing.assert_allclose(found, kineme.load("base", "cpu").embed(motions), atol=1e-6)
    arrays = [kineme.load("base", "cpu").fitted(motion).joints for motion in motions[:2]]
    np.testing.assert_allclose(encoder.transform(arrays), found[:2], atol=1e-4)
    assert clone(encoder).get_params() == {"run": "base", "device": "cpu", "batch": 256}


def test_a_pipeline_is_cross_validated(motions, labels, encoder):
    pipeline = make_pipeline(encoder, StandardScaler(), LogisticRegression())
    assert cross_val_score(pipeline, motions, labels, cv=3).mean() > 0.9
    nearest = make_pipeline(encoder, MotionIndex(n_neighbors=3))
    assert cross_val_score(nearest, motions, labels, cv=3).mean() > 0.9
    search = GridSearchCV(nearest, {"motionindex__n_neighbors": [1, 3]}, cv=2).fit(motions, labels)
    assert search.best_params_["motionindex__n_neighbors"] in (1, 3)
    assert (search.predict(motions[:3]) == labels[:3]).all()


def test_columns_have_names_in_pandas(motions, encoder):
    pandas = pytest.importorskip("pandas")
    frame = clone(encoder).set_output(transform="pandas").fit_transform(motions)
    assert isinstance(frame, pandas.DataFrame)
    assert frame.shape == (24, 2048)
    assert frame.columns[0] == "motionencoder0"
    assert MotionIndex().fit(frame).n_features_in_ == 2048


def test_the_index_votes_as_scikit_learns_own(motions, labels, encoder):
    vectors = encoder.fit(motions).transform(motions)
    ours = MotionIndex(n_neighbors=5).fit(vectors, labels)
    theirs = KNeighborsClassifier(5, metric="cosine", algorithm="brute").fit(vectors, labels)
    near, rows = ours.kneighbors(vectors)
    expected, _ = theirs.kneighbors(vectors)
    np.testing.assert_allclose(near, expected, atol=1e-6)
    assert near[:, 0].max() < 1e-6  # of two cameras without noise the first is found as well
    assert rows.shape == (24, 5)
    np.testing.assert_allclose(ours.predict_proba(vectors), theirs.predict_proba(vectors))
    assert (ours.predict(vectors) == theirs.predict(vectors)).all()
    with pytest.raises(InputError, match="99 neighbours"):
        ours.kneighbors(vectors, 99)


def test_what_is_no_list_of_single_motions_is_refused(motions, encoder, tmp_path):
    folder = kineme.synth.write(tmp_path / "many", 3)
    encoder.fit([])
    for wrong, said in ((motions[0], "a list of motions"), ([], "no motion"), ([folder / "synth.npz"], "3 clips")):
        with pytest.raises(InputError, match=said):
            encoder.transform(wrong)
    with pytest.raises(InputError, match="nowhere"):
        MotionEncoder("nowhere").fit(motions)
