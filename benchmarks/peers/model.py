"""The model that every peer serves: scikit-learn's logistic regression on the iris data, one row a call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def train() -> Any:  # noqa: ANN401 - scikit-learn has no types
    """The model itself."""
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=1000).fit(*load_iris(return_X_y=True))


def load() -> Callable[[list[float]], int]:
    """The function from a row to its class, tried once."""
    model = train()

    def predict(row: list[float]) -> int:
        return int(model.predict([row])[0])

    predict([5.1, 3.5, 1.4, 0.2])
    return predict
