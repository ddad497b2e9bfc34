"""The reference model of `ngram`: it estimates the class probabilities of a text."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FOLDS = 5
_MAX_CACHED_TOKENS = 1_000_000


class ReferenceModel:
    """Logistic regression on the TF-IDF weights of words, with a cross-fitted temperature.

    Fitted on the training split alone. Its probabilities are compared with requested ones, so its
    logits are multiplied by the factor that minimizes the NLL of 5-fold cross-validated
    predictions; the factor is 1 if a class has fewer than two rows. A class without training texts
    has probability 0.
    """

    def __init__(self, texts: Sequence[Sequence[str]], labels: Any, n_classes: int) -> None:
        self._n_classes = n_classes
        words = sorted({word for text in texts for word in map(_word, text)})
        self._columns = _Columns(words)
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
        lengths = np.fromiter(map(len, texts), dtype=np.intp, count=len(texts))
        tokens = chain.from_iterable(texts)
        columns = np.fromiter(map(self._columns.__getitem__, tokens), np.int32, lengths.sum())
        in_vocabulary = columns >= 0
        ends = np.append(0, np.cumsum(in_vocabulary))[np.append(0, np.cumsum(lengths))]
        columns = columns[in_vocabulary]
        shape = (len(texts), max(1, self._columns.n_words))
        matrix = sparse.csr_matrix((np.ones(len(columns)), columns, ends), shape=shape)
        matrix.sum_duplicates()
        return matrix

    def _weigh(self, counts: Any) -> Any:
        weighted = counts.copy()
        weighted.data *= self._idf[weighted.indices]
        norms = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
        weighted.data /= np.repeat(np.where(norms > 0, norms, 1), np.diff(weighted.indptr))
        return weighted


class _Columns(dict[str, int]):
    """Column of each token's word, −1 if it is not in the vocabulary; filled as tokens occur."""

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.n_words = len(words)
        self._vocabulary = {word: column for column, word in enumerate(words)}

    def __missing__(self, token: str) -> int:
        column = self._vocabulary.get(_word(token), -1)
        if len(self) < _MAX_CACHED_TOKENS:
            self[token] = column
        return column


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

    minimum: Any = minimize_scalar(nll, bounds=(np.log(0.1), np.log(10)))
    return float(np.exp(minimum.x))
