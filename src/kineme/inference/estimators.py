"""Estimators of scikit-learn: motions in, vectors out, and nearest neighbours of vectors; public as ``kineme.sklearn``.

They follow scikit-learn's rules: the constructor stores, ``fit`` makes what ends with ``_``, ``clone`` and pipelines
work, ``set_output(transform="pandas")`` names the columns.

Examples:
    >>> encoder = kineme.sklearn.MotionEncoder(run, device="cpu")
    >>> encoder.fit([motion]).transform([motion, motion]).shape == (2, model.dim)
    True
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ..motion.motion import Motion
from ..utils.errors import InputError
from .model import Model, load
from .nearest import neighbours


class MotionEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Motions -> vectors, by a run that is trained already.

    Args:
        run: its folder, an opened run, or the name of weights that come along.
        device: cpu, cuda ...; by default CUDA where there is one.
        batch: motions at a time.

    Attributes:
        model_: the run, opened by ``fit``.

    Examples:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.model_selection import cross_val_score
        >>> from sklearn.pipeline import make_pipeline
        >>> pipeline = make_pipeline(MotionEncoder(run, device="cpu"), LogisticRegression())
        >>> far = store.column("camera") == 1
        >>> cross_val_score(pipeline, list(store), far, cv=2).shape
        (2,)
    """

    def __init__(self, run: str | os.PathLike | Model = "base", device: str | None = None, batch: int = 256):
        self.run, self.device, self.batch = run, device, batch

    def fit(self, X: Any, y: Any = None) -> MotionEncoder:
        """Open the run; nothing is learned.

        Args:
            X: motions, as for :meth:`transform`; not looked at.
            y: not looked at.

        Raises:
            InputError: no such run.
        """
        self.model_ = load(self.run, self.device)
        self._n_features_out = self.model_.dim
        return self

    def transform(self, X: Sequence[Motion | np.ndarray | str | os.PathLike]) -> np.ndarray:
        """One vector for each motion, float32 ``[N, D]``.

        Args:
            X: motions, arrays ``[T, V, C]`` or ``[T, M, V, C]`` in the run's layout, or paths of files that hold one
                clip each; a list, an object array, or a store.

        Raises:
            InputError: what :meth:`kineme.Model.embed` refuses; a file of several clips.
        """
        check_is_fitted(self)
        if isinstance(X, (str, os.PathLike, Motion)):
            raise InputError("X", f"a {type(X).__name__}", "a list of motions", "Put it into a list")
        motions = []
        for each in X:
            found = self.model_.motions(each)
            if len(found) != 1:
                hint = "kineme.read_all gives its clips one after the other"
                raise InputError(f"X, {each}", f"{len(found)} clips", "one clip for each row", hint)
            motions += found
        if not motions:
            raise InputError("X", "no motion", "at least one")
        return self.model_.embed(motions, batch=self.batch)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.three_d_array, tags.requires_fit = False, True, True
        tags.no_validation = True
        return tags


class MotionIndex(ClassifierMixin, BaseEstimator):
    """The exact nearest of some vectors by cosine: to look things up with, or as a classifier by majority.

    Args:
        n_neighbors: k.

    Attributes:
        vectors_: float32 ``[N, D]``, as given to ``fit``.
        classes_: of the labels, where there were some.

    Examples:
        >>> index = MotionIndex(n_neighbors=3).fit(model.embed(store), store.column("label"))
        >>> near, rows = index.kneighbors(model.embed(motion))
        >>> int(rows[0, 0]), bool(near[0, 0] < 1e-5), index.predict(model.embed(motion))[0] in index.classes_
        (0, True, True)
    """

    def __init__(self, n_neighbors: int = 5):
        self.n_neighbors = n_neighbors

    def fit(self, X: Any, y: Any = None) -> MotionIndex:
        """Keep vectors, and their labels if there are any.

        Args:
            X: ``[N, D]``.
            y: ``[N]``, or None: then there is no :meth:`predict`.
        """
        if y is None:
            self.vectors_ = validate_data(self, X, dtype=np.float32)
            return self
        self.vectors_, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, self.codes_ = np.unique(y, return_inverse=True)
        return self

    def kneighbors(self, X: Any, n_neighbors: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The nearest of the vectors that were kept.

        Args:
            X: ``[m, D]``.
            n_neighbors: another k.

        Returns:
            cosine distances float64 ``[m, k]``, nearest first, and rows int64 ``[m, k]``.

        Raises:
            InputError: k below 1 or above N.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        rows = neighbours(self.vectors_, X, k)
        kept, asked = _unit(self.vectors_), _unit(X)
        near = np.stack([1 - kept[found] @ query for query, found in zip(asked, rows)])
        return np.maximum(near, 0), rows

    def predict_proba(self, X: Any) -> np.ndarray:
        """The share of each class among the nearest, ``[m, classes]``."""
        check_is_fitted(self, "classes_")
        _, rows = self.kneighbors(X, min(self.n_neighbors, len(self.vectors_)))
        return np.eye(len(self.classes_))[self.codes_[rows]].mean(1)

    def predict(self, X: Any) -> np.ndarray:
        """The class of most of the nearest ``[m]``; of equally many the class that comes first in ``classes_``."""
        places = self.predict_proba(X).argmax(1)
        return self.classes_[places]


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
