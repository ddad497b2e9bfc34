"""The reference model of `ngram`: who says which class probability a text has."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5


class ReferenceModel:
    """Logistic regression on the TF-IDF weights of words, with a cross-fitted temperature.

    Fitted on the training split only. Its logits are multiplied by the factor that minimises the
    NLL of 5-fold cross-validated predictions, as its probabilities are compared with asked ones.
    A class without a training text has probability 0; with fewer than two rows in some class there
    are no folds, and the factor is 1.
    """

    def __init__(self, texts: Sequence[Sequence[str]], labels: Any, n_classes: int) -> None:
        self._n_classes = n_classes
        words = sorted({word for text in texts for word in map(_word, text)})
        self._columns = {word: column for column, word in enumerate(words)}
        counts = self._counts(texts)
        seen_in = np.asarray((counts > 0).sum(axis=0)).ravel()
        self._idf = np.log((1 + len(texts)) / (1 + seen_in)) + 1
        features = self._weigh(counts)
        labels = np.asarray(labels)
        self._model = _fit(features, labels)
        self._factor = _cross_fitted_factor(features, labels)

    def probabilities(self, texts: Sequence[Sequence[str]]) -> NDArray[np.float64]:
        """Return P(y|x), (n, K), of n texts given as tokens."""
        logits = _logits(self._model, self._weigh(self._counts(texts))) * self._factor
        result = np.zeros((len(texts), self._n_classes))
        result[:, self._model.classes_] = softmax(logits, axis=1)
        return result

    def _counts(self, texts: Sequence[Sequence[str]]) -> Any:
        columns: list[int] = []
        ends = [0]
        for text in texts:
            known = (self._columns.get(_word(token)) for token in text)
            columns.extend(column for column in known if column is not None)
            ends.append(len(columns))
        shape = (len(texts), max(1, len(self._columns)))
        matrix = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=shape)
        matrix.sum_duplicates()
        return matrix

    def _weigh(self, counts: Any) -> Any:
        weighted = counts.copy()
        weighted.data *= self._idf[weighted.indices]
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        weighted.data /= np.repeat(np.where(norms > 0, norms, 1), np.diff(weighted.indptr))
        return weighted


def _word(token: str) -> str:
    return token.strip().lower()


def _fit(features: Any, labels: Any) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return LogisticRegression(C=10.0, max_iter=1000).fit(features, labels)


def _logits(model: Any, features: Any) -> NDArray[np.float64]:
    scores = np.asarray(model.decision_function(features))
    return scores if scores.ndim == 2 else np.column_stack([np.zeros_like(scores), scores])


def _cross_fitted_factor(features: Any, labels: NDArray[np.int64]) -> float:
    from sklearn.model_selection import StratifiedKFold

    classes, codes = np.unique(labels, return_inverse=True)
    folds = min(_FOLDS, int(np.bincount(codes).min()))
    if folds < 2:
        return 1.0
    held_out = np.zeros((len(labels), len(classes)))
    splitter = StratifiedKFold(folds, shuffle=True, random_state=0)
    for fitted, scored in splitter.split(features, labels):
        held_out[scored] = _logits(_fit(features[fitted], labels[fitted]), features[scored])
    rows = np.arange(len(labels))

    def nll(log_factor: float) -> float:
        return -float(log_softmax(np.exp(log_factor) * held_out, axis=1)[rows, codes].mean())

    found: Any = minimize_scalar(nll, bounds=(np.log(0.1), np.log(10)))
    return float(np.exp(found.x))
