"""How well groups that were found agree with labels: NMI, ARI, and accuracy of the best assignment."""

from __future__ import annotations

import numpy as np


def agreement(groups: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Agreement of two partitions; it does not depend on what groups and labels are called.

    Args:
        groups: int64 ``[n]``; clips of no group (-1) are right in no assignment, and one group of their own in the
            other figures.
        labels: ``[n]``, numbers or text.

    Returns:
        ``NMI``: normalised mutual information (arithmetic mean of the entropies); ``ARI``: adjusted Rand index;
        ``accuracy``: share that is right if each group is one class, assigned as well as can be (Kuhn 1955).

    Examples:
        >>> agreement(np.array([0, 0, 1, 1]), np.array(["b", "b", "a", "a"]))
        {'NMI': 1.0, 'ARI': 1.0, 'accuracy': 1.0}
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    truth = np.unique(labels, return_inverse=True)[1]
    return {
        "NMI": float(normalized_mutual_info_score(truth, groups)),
        "ARI": float(adjusted_rand_score(truth, groups)),
        "accuracy": float((matched(truth, groups) == truth).mean()),
    }


def matched(truth: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """The class that each clip's group stands for, int64 ``[m]``: groups and classes are paired so that most clips are
    right (the Hungarian method, Kuhn 1955); -1 of clips of no group, and where a group is left without a class.

    Examples:
        >>> matched(np.array([0, 0, 0, 1]), np.array([1, 1, 0, 0]))
        array([0, 0, 1, 1])
    """
    from scipy.optimize import linear_sum_assignment

    there = groups >= 0
    counts = np.zeros((int(groups.max(initial=0)) + 1, int(truth.max()) + 1), np.int64)
    np.add.at(counts, (groups[there], truth[there]), 1)
    of_group = np.full(len(counts), -1)
    one, other = linear_sum_assignment(counts, maximize=True)
    of_group[one] = other
    return np.where(there, of_group[groups], -1)
