"""Metrics of rankings: the rows of one request, ordered by score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.performance.metrics.estimate import Estimate, mean, normal, proportion
from trimtab.types import FloatArray


def ndcg(scores: FloatArray, gains: FloatArray, k: int) -> float | None:
    """Discounted cumulative gain of the first ``k``, as a share of the best there could be.

    DCG = sum of gain / log2(rank + 1); tied scores share their discounts. None where nothing is
    relevant, for then every order is as good.

    Source: Järvelin & Kekäläinen (2002), ACM TOIS 20; equal to scikit-learn's ndcg_score.
    """
    discounts = np.where(
        np.arange(len(scores)) < k, 1.0 / np.log2(np.arange(len(scores)) + 2.0), 0.0
    )
    best = float(np.sort(gains)[::-1] @ discounts)
    if best <= 0.0:
        return None
    _, group, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    gained = np.bincount(group, gains) / sizes
    ends = np.cumsum(sizes)
    reached = np.concatenate([[0.0], np.cumsum(discounts)])
    return float(gained @ (reached[ends] - reached[ends - sizes])) / best


def first_rank(scores: FloatArray, gains: FloatArray) -> int | None:
    """The rank of the first relevant row (gain above 0); ties count against it. None if none is."""
    if not (gains > 0).any():
        return None
    return int((scores >= scores[gains > 0].max()).sum())


def ranking(lists: Sequence[tuple[FloatArray, FloatArray]], k: int) -> dict[str, Estimate]:
    """NDCG, reciprocal rank and hit rate, each the mean over requests with its standard error.

    A request in which nothing is relevant has a reciprocal rank and a hit of 0, and no NDCG.

    Args:
        lists: A request's scores and outcomes (gains, at least 0).
        k: How many of the first places count, for NDCG and the hit rate.

    Source: Voorhees (1999), TREC-8, for the mean reciprocal rank.
    """
    ranks = [first_rank(scores, gains) for scores, gains in lists]
    values = {
        f"ndcg_at_{k}": [v for one in lists if (v := ndcg(*one, k)) is not None],
        "mrr": [0.0 if rank is None else 1.0 / rank for rank in ranks],
    }
    shown = {
        name: normal(*mean(np.array(found), np.ones(len(found))), float(len(found)), most=1.0)
        for name, found in values.items()
        if found
    }
    if ranks:
        hits = sum(rank is not None and rank <= k for rank in ranks)
        shown[f"hit_rate_at_{k}"] = proportion(float(hits), float(len(ranks)))
    return shown
