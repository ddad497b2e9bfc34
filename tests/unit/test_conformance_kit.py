"""The conformance kit: built-in parts pass, and each violation of the contract is reported."""

from dataclasses import replace

import numpy as np
import pytest

from fgbench import (
    Calibrator,
    Candidate,
    Card,
    Classifier,
    Dataset,
    DatasetLoader,
    GenerationResult,
    Generator,
    Head,
    Metric,
    Outputs,
    PluginError,
    Relabeling,
    Split,
)
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.testing import (
    check_calibrator,
    check_classifier,
    check_dataset,
    check_generator,
    check_metric,
)

REGISTRY = Registry.load()
EMBEDDED = ("known-posterior", "logistic-1d")


def built_in(kind, reference):
    return REGISTRY.create(kind, PartReference.parse(reference))


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_data_sets_conform(name):
    check_dataset(built_in("dataset", name))


@pytest.mark.parametrize("name", ["logreg", "tfidf-logreg"])
def test_scikit_learn_classifiers_conform(name):
    check_classifier(built_in("classifier", name))


@pytest.mark.parametrize(
    ("generator", "dataset"),
    [
        ("oracle", "known-posterior"),
        ("oracle:relabel_by=argmax", "logistic-1d"),
        ("ngram", "known-posterior"),
        ("truncated-normal", "logistic-1d"),
    ],
)
def test_embedded_generators_conform(generator, dataset):
    check_generator(built_in("generator", generator), built_in("dataset", dataset))


@pytest.mark.parametrize("name", REGISTRY.names("calibrator"))
def test_every_calibrator_conforms(name):
    if REGISTRY.find("calibrator", name).extra:
        pytest.skip("it needs an extra; its own tests check it")
    check_calibrator(built_in("calibrator", name))


@pytest.mark.parametrize("name", REGISTRY.names("metric"))
def test_every_metric_conforms(name):
    check_metric(built_in("metric", name))


# Contract of all parts


class Sound(Calibrator):
    by: float = 2.0

    def fit(self, held_out):
        pass

    def transform(self, predictions):
        return predictions.with_logits(predictions.logits / self.by)


class NeedsAnnotated(Sound):
    needs: frozenset = frozenset({"logits"})


class NeedsList(Sound):
    needs = ["logits"]  # noqa: RUF012


class NumberedVersion(Sound):
    version = 2


class ChangesParameters(Sound):
    def __post_init__(self):
        self.by = self.by + 1


class NotOnACommandLine(Sound):
    table: dict = {"a": 1}  # noqa: RUF012
    size: object = 3


@pytest.mark.parametrize(
    ("part", "problem"),
    [
        (NeedsAnnotated, "'needs' is annotated"),
        (NeedsList, "needs must be a frozenset"),
        (NumberedVersion, "version must be a text"),
        (ChangesParameters, r"created from its parameters .*, it has others"),
        (NotOnACommandLine, r"written on a command line, become .*'size': '3'"),
    ],
)
def test_parts_of_every_kind_have_versions_needs_and_parameters(part, problem):
    with pytest.raises(PluginError, match=problem):
        check_calibrator(part())


def test_part_of_wrong_kind_is_reported():
    with pytest.raises(PluginError, match=r"Sound is not a fgbench\.Metric"):
        check_metric(Sound())


# Data sets


class Lines(DatasetLoader):
    def load(self, folder):
        return Dataset("lines", ("no", "yes"), {name: self.split() for name in self.names()})

    def names(self):
        return ("train", "validation", "test")

    def split(self):
        return Split(["one", "two", "three", "four"] * 2, np.array([0, 1] * 4))


class GlobalRandom(Lines):
    def split(self):
        return Split([str(np.random.random()) for _ in "ab"], np.array([0, 1]))  # noqa: NPY002


class TwoSplits(Lines):
    def names(self):
        return ("train", "test")


class ThirdLabel(Lines):
    def split(self):
        return Split(["one", "two", "three"], np.array([0, 1, 2]))


class Empty(Lines):
    def split(self):
        return Split(["one", " "], np.array([0, 1]))


class OtherCard(Lines):
    @classmethod
    def card(cls):
        return Card.model_validate(
            {
                "name": "lines",
                "title": "Lines",
                "licence": "none",
                "task": "a line",
                "splits": "all alike",
                "citation": {"text": "nobody"},
                "labels": [{"name": n, "description": n} for n in ("no", "maybe")],
            }
        )


class NoPosterior(Lines):
    provides = frozenset({"posterior"})

    def posterior(self, inputs):
        return np.full((len(inputs), 2), 0.5)


class Improbable(NoPosterior):
    def posterior(self, inputs):
        return np.full((len(inputs), 2), 0.7)


class DeafSampler(NoPosterior):
    provides = frozenset({"posterior", "sampling"})

    def split(self):
        return replace(super().split(), posterior=np.full((8, 2), 0.5))

    def sample(self, probabilities, rng):
        return ["one"] * len(probabilities)


@pytest.mark.parametrize(
    ("loader", "problem"),
    [
        (GlobalRandom, "a second load returns another data set"),
        (TwoSplits, "must have the splits"),
        (ThirdLabel, "label 2 is outside"),
        (Empty, "split train, row 1: ' ' is not a nonempty text"),
        (OtherCard, "the card of lines has no label 'yes'"),
        (NoPosterior, "its splits must have a posterior"),
        (Improbable, "not probabilities"),
        (DeafSampler, "sample does not follow the posterior"),
    ],
)
def test_broken_data_set_is_reported(loader, problem):
    check_dataset(Lines())
    with pytest.raises(PluginError, match=f"dataset {loader.__name__}: .*{problem}"):
        check_dataset(loader())


# Classifiers


class Centroids(Classifier):
    """A valid classifier: logits fall with the squared distance to the center of a class."""

    needs = frozenset({"numeric"})

    def fit(self, training, *, loss, seed):
        self.centres = np.full((training.n_classes, training.inputs.shape[1]), 1e3)
        for label in np.unique(training.labels):
            self.centres[label] = training.inputs[training.labels == label].mean(axis=0)

    def predict(self, inputs, outputs):
        return Outputs(-((inputs[:, None] - self.centres) ** 2).sum(axis=2))


class AnySeed(Centroids):
    def fit(self, training, *, loss, seed):
        super().fit(training, loss=loss, seed=seed)
        self.centres += np.random.normal(size=self.centres.shape)  # noqa: NPY002


class Remembers(Centroids):
    seen = 0

    def fit(self, training, *, loss, seed):
        super().fit(training, loss=loss, seed=seed)
        self.seen += 1
        self.centres += self.seen


class SeenClassesOnly(Centroids):
    def predict(self, inputs, outputs):
        return Outputs(super().predict(inputs, outputs).logits[:, self.centres[:, 0] < 1e3])


class BatchNormed(Centroids):
    def predict(self, inputs, outputs):
        return super().predict(inputs - inputs.mean(axis=0), outputs)


class OrderBound(Centroids):
    def predict(self, inputs, outputs):
        answer = super().predict(inputs, outputs).logits
        return Outputs(answer + np.arange(len(answer))[:, None] * [1, 0, 0][: answer.shape[1]])


class Infinite(Centroids):
    def predict(self, inputs, outputs):
        return Outputs(super().predict(inputs, outputs).logits + np.inf)


class NoFeatures(Centroids):
    provides = frozenset({"features"})


class FlatFeatures(NoFeatures):
    def predict(self, inputs, outputs):
        return Outputs(super().predict(inputs, outputs).logits, features=inputs[:, 0])


class Overwrites(Centroids):
    def fit(self, training, *, loss, seed):
        training.inputs[:] -= training.inputs.mean(axis=0)
        super().fit(training, loss=loss, seed=seed)


class SavesNothing(Centroids):
    provides = frozenset({"weights"})

    def save(self, folder): ...


class Forgets(SavesNothing):
    def save(self, folder):
        np.savez(folder / "centres.npz", centres=self.centres)

    def load(self, folder):
        with np.load(folder / "centres.npz") as stored:
            self.centres = stored["centres"] * 0


class BentHead(Centroids):
    """Its logits are quadratic in its features."""

    provides = frozenset({"linear_head"})

    def head(self, inputs):
        return Head(np.tanh(inputs), self.predict(inputs, frozenset()).logits, None)


class OtherHead(BentHead):
    def head(self, inputs):
        logits = self.predict(inputs, frozenset()).logits
        return Head(logits, 2 * logits, None)


@pytest.mark.parametrize(
    ("classifier", "problem"),
    [
        (BentHead, "not linear in its features"),
        (OtherHead, "head returns other logits than predict"),
        (SavesNothing, "save writes no file"),
        (Forgets, "after saving and loading, it returns other logits"),
        (AnySeed, "the same seed and training set give other logits"),
        (Remembers, "the same seed and training set give other logits"),
        (SeenClassesOnly, r"logits of shape \(72, 2\), not \(72, 3\)"),
        (BatchNormed, "depend on the other rows of the batch"),
        (OrderBound, "depend on the order of the rows"),
        (Infinite, r"NaN or \+infinity"),
        (NoFeatures, "returned no features"),
        (FlatFeatures, r"features of shape \(48,\), not \(n, d\)"),
        (Overwrites, "changes the training set"),
    ],
)
def test_broken_classifier_is_reported(classifier, problem):
    check_classifier(Centroids())
    with pytest.raises(PluginError, match=f"classifier {classifier.__name__}: .*{problem}"):
        check_classifier(classifier())


# Generators


class Repeats(Generator):
    """A valid if useless generator: a training text, labeled by its length."""

    needs = frozenset({"text"})

    def prepare(self, task):
        self.task = task

    def generate(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        return GenerationResult([Candidate(self.task.training.inputs[request.draw])])

    def relabel(self, requests):
        return [self.label(request) for request in requests]

    def label(self, request):
        return Relabeling(len(request.input) % 2)


class Counts(Repeats):
    def generate(self, requests):
        return [GenerationResult([Candidate(f"number {at}")]) for at in range(len(requests))]


class Batches(Repeats):
    def generate(self, requests):
        return [GenerationResult([Candidate(f"one of {len(requests)}")])] * len(requests)


class Tosses(Repeats):
    def answer(self, request):
        return GenerationResult([Candidate(f"{np.random.random()}")])  # noqa: NPY002


class Forgets(Repeats):
    def generate(self, requests):
        return super().generate(requests)[1:]


class Silent(Repeats):
    def answer(self, request):
        return GenerationResult([Candidate(None, rejection="nothing to say")])


class SilentWithoutReason(Repeats):
    def generate(self, requests):
        return [super().answer(requests[0])] + [
            GenerationResult([Candidate(None)]) for _ in requests[1:]
        ]


class Numbers(Repeats):
    def answer(self, request):
        return GenerationResult([Candidate((1.0, 2.0))])

    def label(self, request):
        return Relabeling(0)


class Overclaims(Repeats):
    def answer(self, request):
        return GenerationResult([Candidate("a text", claimed_probabilities=(0.9, 0.9))])


class Peeks(Repeats):
    def label(self, request):
        return Relabeling(request.request.label)


class ThirdClass(Repeats):
    def label(self, request):
        return Relabeling(2)


class NumpyLabel(Repeats):
    def label(self, request):
        return Relabeling(np.int64(1))


class SkipsLabels(Repeats):
    def relabel(self, requests):
        return []


class Edits(Repeats):
    def prepare(self, task):
        super().prepare(task)
        task.training.labels[:] = 0


@pytest.mark.parametrize(
    ("generator", "problem"),
    [
        (Counts, "depend on the order of the requests"),
        (Batches, "depends on the other requests of the batch"),
        (Tosses, "a second one returns other results"),
        (Forgets, "15 results for 16 requests"),
        (Silent, "none of its results for 16 requests has an input"),
        (SilentWithoutReason, "without an input must give the reason"),
        (Numbers, "not an input like"),
        (Overclaims, "claimed_probabilities must be probabilities that sum to 1"),
        (Peeks, "relabel uses the label"),
        (ThirdClass, "returned class 2 of 2 classes"),
        (NumpyLabel, "cannot be stored as JSON"),
        (SkipsLabels, "relabel returned 0 answers for 16 requests"),
        (Edits, "changes the training split"),
    ],
)
def test_broken_generator_is_reported(generator, problem):
    check_generator(Repeats(), Lines())
    with pytest.raises(PluginError, match=f"generator {generator.__name__}: .*{problem}"):
        check_generator(generator(), Lines())


def test_generator_is_checked_with_compatible_data_set():
    with pytest.raises(PluginError, match="it needs 'text', which this data set does not provide"):
        check_generator(Repeats(), built_in("dataset", "logistic-1d"))


# Calibrators


class Truth(Sound):
    def transform(self, predictions):
        shift = np.where(predictions.labels == 1, 1.0, 0.0)[:, None]
        return predictions.with_logits(
            predictions.logits + shift * np.eye(predictions.n_classes)[1]
        )


class BreaksPromise(Sound):
    preserves_accuracy = True

    def transform(self, predictions):
        return predictions.with_logits(-predictions.logits)


class FalseIdentity(Sound):
    is_identity = True


class HalfTheRows(Sound):
    def transform(self, predictions):
        return predictions.take(range(len(predictions) // 2))


class NotANumber(Sound):
    def transform(self, predictions):
        with np.errstate(invalid="ignore"):
            return predictions.with_logits(np.log(predictions.logits))


class NotANumberAtTheEnds(Sound):
    def transform(self, predictions):
        with np.errstate(invalid="ignore"):
            return predictions.with_logits(predictions.logits - predictions.logits[:, :1])


class InPlace(Sound):
    def transform(self, predictions):
        predictions.logits[:] /= self.by
        return predictions


class Jitters(Sound):
    def transform(self, predictions):
        noise = np.random.normal(size=predictions.logits.shape)  # noqa: NPY002
        return predictions.with_logits(predictions.logits + noise)


class Ranks(Sound):
    def transform(self, predictions):
        rows = np.arange(len(predictions))[:, None]
        return predictions.with_logits(predictions.logits / (1 + rows))


@pytest.mark.parametrize(
    ("calibrator", "problem"),
    [
        (Truth, "transform uses the labels"),
        (FalseIdentity, "declares is_identity but changed the logits"),
        (BreaksPromise, "declares preserves_accuracy but changed"),
        (HalfTheRows, r"logits of shape \(100, 2\), not \(200, 2\)"),
        (NotANumber, "unusable predictions: the logits contain NaN"),
        (NotANumberAtTheEnds, "unusable predictions: the logits contain NaN"),
        (InPlace, "changes its input predictions"),
        (Jitters, "a second one, fitted on the same predictions, returns other logits"),
        (Ranks, "depend on the order of the rows"),
    ],
)
def test_broken_calibrator_is_reported(calibrator, problem):
    check_calibrator(Sound())
    with pytest.raises(PluginError, match=f"calibrator {calibrator.__name__}: .*{problem}"):
        check_calibrator(calibrator())


# Metrics


class Confidence(Metric):
    """A valid metric: the weighted mean of the probability of the true class."""

    lower_is_better = False

    def evaluate(self, predictions, weights):
        return weights @ self.each(predictions) / weights.sum(axis=1)

    def each(self, predictions):
        return predictions.probabilities()[np.arange(len(predictions)), predictions.labels]


class WrongDirection(Confidence):
    lower_is_better = True


class IgnoresWeights(Confidence):
    def evaluate(self, predictions, weights):
        return np.full(len(weights), self.each(predictions).mean())


class CountsZeros(Confidence):
    def evaluate(self, predictions, weights):
        return (weights > 0) @ self.each(predictions) / (weights > 0).sum(axis=1)


class OneNumber(Confidence):
    def evaluate(self, predictions, weights):
        return super().evaluate(predictions, weights)[:1]


class Relative(Confidence):
    def evaluate(self, predictions, weights):
        values = super().evaluate(predictions, weights)
        return values / values.max()


class FirstRows(Confidence):
    def evaluate(self, predictions, weights):
        decay = weights.cumsum(axis=1) <= 60
        return super().evaluate(predictions, weights * decay)


class Unbounded(Confidence):
    def evaluate(self, predictions, weights):
        return super().evaluate(predictions, weights) + np.inf


class Undefined(Confidence):
    def evaluate(self, predictions, weights):
        return super().evaluate(predictions, weights) + np.nan


class Normalizes(Confidence):
    def evaluate(self, predictions, weights):
        weights /= weights.sum(axis=1, keepdims=True)
        return super().evaluate(predictions, weights)


@pytest.mark.parametrize(
    ("metric", "problem"),
    [
        (WrongDirection, "lower_is_better = True, but certain and right"),
        (IgnoresWeights, "rows weighted by counts"),
        (CountsZeros, "rows weighted by counts"),
        (OneNumber, r"shape \(1,\) for 4 rows"),
        (Relative, "depends on the other rows of weights"),
        (FirstRows, "(order of the rows|rows weighted by counts)"),
        (Unbounded, "an infinite number"),
        (Undefined, "NaN for predictions with every class"),
        (Normalizes, "changes its weights"),
    ],
)
def test_broken_metric_is_reported(metric, problem):
    check_metric(Confidence())
    with pytest.raises(PluginError, match=f"metric {metric.__name__}: .*{problem}"):
        check_metric(metric())
