"""Retrieval accuracy as the released code measures it."""

import numpy as np

from kineme.evaluation.protocols import knn


def test_halp_knn(golden):
    data = golden("halp_knn")
    numbers = data["neighbours"].tolist()
    found = knn.predict(data["train_features"], data["train_labels"], data["test_features"], numbers)
    for k, expected in zip(numbers, data["accuracy"], strict=True):
        accuracy = np.mean(found[k] == data["test_labels"])
        np.testing.assert_allclose(accuracy, expected, rtol=0, atol=1e-12 if k == 1 else 0.01)
