"""A two-layer BERT with random weights, built in a second without access to a hub.

Its tokenizer knows a few words of weather and praise. Needs torch and transformers.
"""

from __future__ import annotations

import numpy as np

from fgbench import TrainingSet
from fgbench_plugins.classifiers.transformer import TransformerClassifier
from fgbench_plugins.losses.cross_entropy import CrossEntropy

SKY = ["rain", "sun", "wind", "cloud", "storm", "calm", "mist", "frost"]
WORDS = [*SKY, "good", "bad", "fine", "awful", "the", "a", "very"]


def save_tiny(folder, **options):
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: index for index, word in enumerate([*special, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=32
    ).save_pretrained(folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=32,
        )
        transformers.BertModel(config, **options).save_pretrained(folder)


def classifier(folder, **options):
    usual = {"model": str(folder), "learning_rate": 1e-3, "epochs": 2, "device": "cpu"}
    return TransformerClassifier.create(usual | {"threads": 1} | options, name="hf")


def training_set(n=48, n_classes=2, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % n_classes
    texts = [
        " ".join([*rng.choice(WORDS[11:], rng.integers(0, 9)), WORDS[label], WORDS[label + 8]])
        for label in labels
    ]
    soft = np.eye(n_classes)[labels]
    return TrainingSet(texts, labels, n_classes, soft, np.zeros(n, dtype=bool))


def logits(fitted, texts=("rain good", "sun bad", "")):
    return fitted.predict(list(texts), frozenset()).logits


def fit(part, training=None, loss=None, seed=0):
    part.fit(training or training_set(), loss=loss or CrossEntropy(), seed=seed)
    return part
