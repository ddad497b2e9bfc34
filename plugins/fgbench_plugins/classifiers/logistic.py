"""Logistic regression on numeric and on TF-IDF features (scikit-learn)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from fgbench import Classifier, ConfigurationError, DataError, Head, Loss, Outputs, TrainingSet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_UNSEEN_OFFSET = -30.0
"""Log-probability of a class without training rows, relative to the lowest of the others."""

_WEIGHTS, _VOCABULARY = "weights.npz", "vocabulary.json"

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class LogisticRegression(Classifier):
    """Multinomial logistic regression with an L2 penalty; `C` is the inverse penalty strength.

    Features are standardized on the training rows. If lbfgs has not converged after `max_iter`
    iterations, the last iterate is used: it is deterministic, and with a weak penalty on separable
    data there is no optimum nearby.
    """

    C: Positive = 1.0
    max_iter: Count = 2000
    needs = frozenset({"numeric"})
    provides = frozenset({"weights", "linear_head"})

    def fit(self, training: TrainingSet, *, loss: Loss, seed: int) -> None:
        """Train on (n, d) features; training is deterministic, so `seed` is unused."""
        from sklearn.preprocessing import StandardScaler

        self._scaler = StandardScaler().fit(training.inputs)
        features = self._scaler.transform(training.inputs)
        self._model = fit_logistic(features, training.labels, C=self.C, max_iter=self.max_iter)
        self._n_classes = training.n_classes

    def predict(self, inputs: Any, outputs: frozenset[str]) -> Outputs:
        """Return the log-probabilities (n, K)."""
        return Outputs(logits=self.head(inputs).logits)

    def head(self, inputs: Any) -> Head:
        """Return the standardized features and the log-probabilities."""
        return _head(self._model, self._scaler.transform(inputs), self._n_classes, self.C)

    def save(self, folder: Path) -> None:
        """Write `weights.npz`."""
        scaler = {"mean": self._scaler.mean_, "scale": self._scaler.scale_}
        np.savez(folder / _WEIGHTS, **scaler, **_model_arrays(self._model, self._n_classes))

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        from sklearn.preprocessing import StandardScaler

        arrays = _read_arrays(folder / _WEIGHTS)
        self._scaler = StandardScaler()
        self._scaler.mean_, self._scaler.scale_ = arrays["mean"], arrays["scale"]
        self._model, self._n_classes = _model_from(arrays)


class TfidfLogisticRegression(Classifier):
    """Multinomial logistic regression on TF-IDF weights of word n-grams, with an L2 penalty.

    `C` is the inverse penalty strength: 1, scikit-learn's default, is underconfident on short
    texts; 100 and more overfit and are overconfident. n-grams have `min_n` to `max_n` words, and
    `max_features` keeps the most frequent ones (0: all).
    """

    C: Positive = 1.0
    min_n: Count = 1
    max_n: Count = 1
    min_df: Count = 1
    sublinear_tf: bool = False
    max_features: Annotated[int, Field(ge=0)] = 0
    max_iter: Count = 2000
    needs = frozenset({"text"})
    provides = frozenset({"weights", "linear_head"})

    def __post_init__(self) -> None:
        if self.max_n < self.min_n:
            raise ValueError(f"max_n={self.max_n} is less than min_n={self.min_n}")

    def fit(self, training: TrainingSet, *, loss: Loss, seed: int) -> None:
        """Train on n texts; training is deterministic, so `seed` is unused.

        Raises `DataError` if no text has a word of two letters or more.
        """
        self._vectorizer, features = fit_tfidf(
            training.inputs,
            ngram_range=(self.min_n, self.max_n),
            min_df=self.min_df,
            sublinear_tf=self.sublinear_tf,
            max_features=self.max_features or None,
        )
        self._model = fit_logistic(features, training.labels, C=self.C, max_iter=self.max_iter)
        self._n_classes = training.n_classes

    def predict(self, inputs: Any, outputs: frozenset[str]) -> Outputs:
        """Return the log-probabilities (n, K)."""
        return Outputs(logits=self.head(inputs).logits)

    def head(self, inputs: Any) -> Head:
        """Return the TF-IDF weights (sparse) and the log-probabilities."""
        return _head(self._model, self._vectorizer.transform(inputs), self._n_classes, self.C)

    def save(self, folder: Path) -> None:
        """Write `weights.npz` and the vocabulary as JSON, terms in column order."""
        terms = self._vectorizer.get_feature_names_out().tolist()
        (folder / _VOCABULARY).write_text(json.dumps(terms), "utf-8")
        arrays = _model_arrays(self._model, self._n_classes)
        np.savez(folder / _WEIGHTS, idf=self._vectorizer.idf_, **arrays)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        from sklearn.feature_extraction.text import TfidfVectorizer

        arrays = _read_arrays(folder / _WEIGHTS)
        terms = json.loads((folder / _VOCABULARY).read_text("utf-8"))
        self._vectorizer = TfidfVectorizer(
            dtype=np.float64,
            ngram_range=(self.min_n, self.max_n),
            sublinear_tf=self.sublinear_tf,
            vocabulary=terms,
        )
        self._vectorizer.idf_ = arrays["idf"]
        self._model, self._n_classes = _model_from(arrays)


def fit_tfidf(texts: Sequence[str], **options: Any) -> tuple[Any, Any]:
    """Return a fitted TF-IDF vectorizer and the sparse features of `texts`."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(dtype=np.float64, **options)
    try:
        return vectorizer, vectorizer.fit_transform(texts)
    except ValueError as error:
        if "vocabulary" in str(error) or "no terms remain" in str(error):
            raise DataError(
                f"tfidf-logreg: none of the {len(texts)} training texts has a word that qualifies "
                "as a feature (at least two letters, in at least min_df texts)."
            ) from error
        if "max_df corresponds" in str(error):
            raise ConfigurationError(
                f"tfidf-logreg: min_df={options.get('min_df')} exceeds the number of training "
                f"texts, {len(texts)}."
            ) from error
        raise


def fit_logistic(features: Any, labels: Any, *, C: float, max_iter: int) -> Any:
    """Return a fitted scikit-learn logistic regression (L2, lbfgs)."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression as Model

    if len(np.unique(labels)) < 2:
        raise DataError(
            f"logistic regression: all {len(labels)} training rows have the same label; it needs "
            "at least two classes."
        )
    model = Model(C=C, max_iter=max_iter, solver="lbfgs", tol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, labels)


def log_probabilities(model: Any, features: Any, n_classes: int) -> NDArray[np.float32]:
    """Return log P(y|x) of the model as float32 (n, K).

    A class without training rows gets a finite value, 30 below the lowest of the others.
    """
    from scipy.special import log_softmax

    scores = np.asarray(model.decision_function(features), dtype=np.float64)
    if scores.ndim == 1:
        scores = np.column_stack([np.zeros_like(scores), scores])
    trained = log_softmax(scores, axis=1)
    logits = np.repeat(trained.min(axis=1, keepdims=True) + _UNSEEN_OFFSET, n_classes, axis=1)
    logits[:, np.asarray(model.classes_, dtype=np.int64)] = trained
    return logits.astype(np.float32)


def _head(model: Any, features: Any, n_classes: int, C: float) -> Head:
    """Return features and log-probabilities with the penalty of a softmax over all classes.

    With two classes scikit-learn penalizes the difference w of their weights: for the weights
    −w/2 and w/2, λ/2 ‖W‖² equals ‖w‖²/2 if λ = 2.
    """
    penalty = (2.0 if len(model.coef_) == 1 else 1.0) / C
    return Head(features, log_probabilities(model, features, n_classes), penalty)


def _model_arrays(model: Any, n_classes: int) -> dict[str, NDArray[Any]]:
    return {
        "coef": model.coef_,
        "intercept": model.intercept_,
        "classes": model.classes_,
        "n_classes": np.array(n_classes),
    }


def _read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _model_from(arrays: dict[str, NDArray[Any]]) -> tuple[Any, int]:
    from sklearn.linear_model import LogisticRegression as Model

    model = Model()
    model.coef_, model.intercept_ = arrays["coef"], arrays["intercept"]
    model.classes_ = arrays["classes"]
    return model, int(arrays["n_classes"])
