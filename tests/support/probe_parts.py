"""Parts made for tests, as a local plugin: fast, and faulty in chosen ways.

`probe` is a small text data set with two or more classes, `probe-classifier` predicts from a
text's length, `probe-generator` writes numbered texts with the source's label, `probe-chat` has
them from a language model.
"""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np

from fgbench import (
    Answers,
    Calibrator,
    Candidate,
    ChatAnswer,
    ChatModel,
    ChatRequest,
    Classifier,
    Dataset,
    DatasetLoader,
    GenerationResult,
    Generator,
    Message,
    Outputs,
    Price,
    Relabeling,
    Sampling,
    Split,
    Usage,
    hookimpl,
    seed_for,
)


class Probe(DatasetLoader):
    """Texts whose length depends on their class."""

    rows: int = 40
    classes: int = 2
    tag: str = "probe"
    default_classifier = "probe-classifier"
    default_generator = "probe-generator"

    def load(self, folder):
        def split(name):
            rng = np.random.default_rng(seed_for("probe", self.tag, name, self.rows, self.classes))
            labels = np.arange(self.rows) % self.classes
            lengths = 3 + 2 * labels + rng.integers(0, 6, self.rows)
            texts = [
                " ".join(f"{self.tag}{name}{row}x{word}" for word in range(length))
                for row, length in enumerate(lengths)
            ]
            return Split(texts, labels)

        names = tuple(f"class-{label}" for label in range(self.classes))
        return Dataset(
            "probe", names, {name: split(name) for name in ("train", "validation", "test")}
        )


class ProbeClassifier(Classifier):
    """Logits from the number of words and the size of the training set.

    If FGBENCH_PROBE_MARKS names a folder, each training leaves there when it began and ended.
    """

    seconds: float = 0.0
    fail_on_synthetic: bool = False
    kill_on_synthetic: bool = False
    slope: float = 1.0
    whole: bool = False
    needs = frozenset({"text"})

    @property
    def exclusive(self):
        return self.whole

    def fit(self, training, *, loss, seed):
        began = time.time()
        time.sleep(self.seconds)
        self.mark(began)
        if training.synthetic.any():
            if self.fail_on_synthetic:
                raise RuntimeError("the classifier broke down")
            if self.kill_on_synthetic:
                os.kill(os.getpid(), signal.SIGKILL)
        self.n_classes = training.n_classes
        self.bias = seed_for(seed, len(training)) % 1000 / 1000

    def mark(self, began):
        folder = os.environ.get("FGBENCH_PROBE_MARKS")
        if folder:
            mark = {"began": began, "ended": time.time(), "whole": self.whole}
            (Path(folder) / f"{os.getpid()}-{time.time_ns()}.json").write_text(json.dumps(mark))

    def predict(self, inputs, outputs):
        words = np.array([len(text.split()) for text in inputs])[:, None]
        centres = 5.5 + 2 * np.arange(self.n_classes)
        return Outputs(-self.slope * (words - centres + self.bias) ** 2)


class ProbeGenerator(Generator):
    """Numbered texts; `tag` makes another generator of it."""

    tag: str = "new"
    fail: bool = False
    needs = frozenset({"text"})

    def prepare(self, task):
        self.seed = task.seed

    def generate(self, requests):
        if self.fail:
            raise ConnectionError("the endpoint is gone")
        return [
            GenerationResult(
                [
                    Candidate(
                        f"{self.tag}{self.seed}s{item.source_id}d{item.draw} "
                        * (4 + 2 * item.label)
                    )
                ],
                usage=Usage(requests=1, prompt_tokens=7, completion_tokens=3, cost_usd=0.001),
            )
            for item in requests
        ]

    def relabel(self, requests):
        return [Relabeling(item.request.label) for item in requests]


class ProbeModel(ChatModel):
    """Answers by rule; every request that it gets is a line in the file `log`."""

    price = Price(prompt=100.0, completion=200.0)

    def __init__(self, log, seconds, broken):
        self.log, self.seconds, self.broken = log, seconds, broken

    @property
    def identity(self):
        return {"engine": "probe", "model": "probe"}

    def answer(self, requests, spending, deliver):
        for item in requests:
            receipt = spending.reserve(10, item.sampling.max_tokens)
            time.sleep(self.seconds)
            text = item.messages[-1].content
            if self.log:
                with Path(self.log).open("a") as stream:
                    stream.write(text + "\n")
            if self.broken and text.startswith("write") and Path(self.broken).exists():
                answer = ChatAnswer(text=None, failure="HTTP 503", transient=True)
            else:
                answer = ChatAnswer(text=self.reply(text), usage=Usage(1, 10, 5))
            spending.settle(receipt, answer.usage.prompt_tokens, answer.usage.completion_tokens)
            deliver(item, answer)

    @staticmethod
    def reply(text):
        order, *words = text.split()
        if order == "label":
            return str((len(words) - 4) // 2)
        label, source, draw, seed = map(int, words)
        return f"chat{seed}s{source}d{draw} " * (4 + 2 * label)


class ProbeChat(Generator):
    """A generator that asks a language model, in the two stages of FITG."""

    log: str = ""
    broken: str = ""
    seconds: float = 0.0
    relabeler: str = ""
    needs = frozenset({"text"})
    operational = frozenset({"log", "broken", "seconds"})

    def prepare(self, task):
        self.seed = task.seed
        self.model = ProbeModel(self.log, self.seconds, self.broken)
        self.asked = self.answers or Answers.in_memory()

    def ask(self, texts):
        requests = [
            ChatRequest(
                messages=(Message("user", text),), sampling=Sampling(max_tokens=50), seed=self.seed
            )
            for text in texts
        ]
        return self.asked.ask(self.model, requests)

    def generate(self, requests):
        answers = self.ask(
            f"write {item.label} {item.source_id} {item.draw} {self.seed}" for item in requests
        )
        return [GenerationResult([Candidate(each.text)], usage=each.usage) for each in answers]

    def relabel(self, requests):
        answers = self.ask(f"label {item.input}" for item in requests)
        return [Relabeling(int(each.text), usage=each.usage) for each in answers]

    def expected_usage(self, task, requests):
        return self.expected(len(requests) * (1 if self.relabeler else 2))

    def expected_relabeling(self, task, inputs):
        return self.expected(len(inputs))

    def expected(self, n):
        return Usage(n, 10 * n, 5 * n, ProbeModel.price.cost(10 * n, 5 * n))


class Halve(Calibrator):
    """Halve the logits: one more calibrator, without a fit."""

    preserves_accuracy = True

    def fit(self, held_out):
        assert (held_out.labels >= 0).all()

    def transform(self, predictions):
        assert (predictions.labels == -1).all(), "test labels are withheld"
        return predictions.with_logits(predictions.logits / 2)


class Liar(Calibrator):
    """Declares that it preserves accuracy, but reverses the classes."""

    preserves_accuracy = True

    def fit(self, held_out): ...

    def transform(self, predictions):
        return predictions.with_logits(-predictions.logits)


@hookimpl
def fgbench_datasets(register):
    register("probe", f"{__name__}:Probe", "Test data")


@hookimpl
def fgbench_classifiers(register):
    register("probe-classifier", f"{__name__}:ProbeClassifier", "Test classifier")


@hookimpl
def fgbench_generators(register):
    register("probe-generator", f"{__name__}:ProbeGenerator", "Test generator")
    register("probe-chat", f"{__name__}:ProbeChat", "Test generator by a language model")


@hookimpl
def fgbench_calibrators(register):
    register("halve", f"{__name__}:Halve", "Test calibrator")
    register("liar", f"{__name__}:Liar", "A calibrator that breaks its promise")
