"""Transformer classifiers, on a tiny BERT with random weights."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys

import numpy as np
import pytest

from fgbench import ConfigurationError, DataError, PluginError, TrainingSet
from fgbench.plugins.references import PartReference
from fgbench.plugins.registry import Registry
from fgbench.testing import check_classifier
from fgbench_plugins.classifiers.transformer import BertBase
from fgbench_plugins.losses.cross_entropy import CrossEntropy, LabelSmoothing
from fgbench_plugins.losses.focal import Focal
from fgbench_plugins.losses.mixup import Mixup
from fgbench_plugins.losses.soft_label import SoftLabel
from support.tiny_bert import classifier, fit, logits, save_tiny, training_set

torch = pytest.importorskip("torch", reason="transformer classifiers need fgbench[transformers]")
transformers = pytest.importorskip("transformers")

from safetensors.torch import load_file  # noqa: E402

from fgbench_plugins.classifiers import transformer_network  # noqa: E402 - it imports torch
from fgbench_plugins.classifiers.transformer_batches import (  # noqa: E402
    TokenizedTexts,
    inference_batches,
    training_batches,
)

# The contract


def test_transformer_conforms(tiny):
    check_classifier(classifier(tiny, learning_rate=1e-4, epochs=1, passes=2))


def test_transformer_learns(tiny):
    training = training_set(200, 3)
    fitted = fit(classifier(tiny, learning_rate=1e-2, epochs=15, pooling="mean"), training)
    assert (logits(fitted, training.inputs).argmax(axis=1) == training.labels).mean() > 0.95


def saved_weights(part, folder):
    """Save a fitted classifier; return the weights of its encoder and of its linear head."""
    folder.mkdir()
    part.save(folder)
    weights = load_file(folder / "weights.safetensors")
    head = {name.removeprefix("linear."): weights.pop(name)
            for name in ("linear.weight", "linear.bias")}  # fmt: skip
    return {name.removeprefix("encoder."): value for name, value in weights.items()}, head


def features(part, texts=("rain good", "the very very fine sun")):
    return part.predict(list(texts), frozenset({"features"})).features


def test_features_are_head_inputs(tiny, tmp_path):
    fitted = fit(classifier(tiny))
    answer = fitted.predict(["rain good", "the sun"], frozenset({"features"}))
    _, head = saved_weights(fitted, tmp_path / "saved")
    by_hand = answer.features @ head["weight"].numpy().T + head["bias"].numpy()
    np.testing.assert_allclose(answer.logits, by_hand, atol=1e-5)
    assert answer.stochastic_logits is None


@pytest.mark.parametrize("pooling", ["pooler", "cls", "mean"])
def test_pooling_matches_encoder(tiny, tmp_path, pooling):
    fitted = fit(classifier(tiny, pooling=pooling))
    weights, _ = saved_weights(fitted, tmp_path / "saved")
    encoder = transformers.AutoModel.from_pretrained(tiny).eval()
    encoder.load_state_dict(weights, strict=pooling == "pooler")  # others have no pooler
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    texts = ["rain good", "the very very fine sun"]
    for text, row in zip(texts, features(fitted, texts), strict=True):
        with torch.inference_mode():
            output = encoder(**tokenizer(text, return_tensors="pt"))
        hidden = output.last_hidden_state[0]
        expected = {
            "pooler": output.pooler_output,
            "cls": hidden[0],
            "mean": hidden.mean(dim=0),
        }[pooling]
        np.testing.assert_allclose(row, np.ravel(expected), atol=1e-5)


def test_sentence_encoder_pooling_is_read_from_config(tiny, tmp_path):
    save_tiny(tmp_path)
    by_pooling = {
        pooling: features(fit(classifier(tmp_path, pooling=pooling)))
        for pooling in ("pooler", "cls", "mean")
    }
    np.testing.assert_array_equal(features(fit(classifier(tmp_path))), by_pooling["pooler"])
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    np.testing.assert_array_equal(features(fit(classifier(tmp_path))), by_pooling["mean"])
    assert not np.allclose(by_pooling["pooler"], by_pooling["mean"])


def test_stochastic_passes_differ_and_are_reproducible(tiny):
    fitted = fit(classifier(tiny, passes=6, dropout=0.5))
    texts = ["rain good", "sun bad", "rain good"]
    first, again = (
        fitted.predict(texts, frozenset({"stochastic_logits"})).stochastic_logits for _ in range(2)
    )
    assert first.shape == (6, 3, 2)
    assert len(np.unique(first[:, 0, 0])) == 6
    np.testing.assert_array_equal(first, again)
    plain = fitted.predict(texts, frozenset()).logits
    assert abs(first.mean(axis=0) - plain).max() < 1.0
    np.testing.assert_array_equal(plain, fitted.predict(texts, frozenset()).logits)


def test_stochastic_pass_without_dropout_is_plain(tmp_path):
    save_tiny(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    fitted = fit(classifier(tmp_path, dropout=0.0, passes=2))
    answer = fitted.predict(["rain", "sun"], frozenset({"stochastic_logits"}))
    for one in answer.stochastic_logits:
        np.testing.assert_allclose(one, answer.logits, atol=1e-6)


def test_saved_weights_load_without_base_model(tmp_path):
    base, saved = tmp_path / "base", tmp_path / "saved"
    base.mkdir()
    saved.mkdir()
    save_tiny(base)
    fitted = fit(classifier(base, pooling="mean"))
    fitted.save(saved)
    base.rename(tmp_path / "gone")
    loaded = classifier(base, pooling="mean")
    loaded.load(saved)
    np.testing.assert_array_equal(logits(fitted), logits(loaded))
    (saved / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(DataError, match="not a saved transformer classifier"):
        loaded.load(saved)


# Seeds


def test_training_is_deterministic_per_seed(tiny):
    training = training_set()
    first = logits(fit(classifier(tiny), training, seed=3))
    np.testing.assert_array_equal(first, logits(fit(classifier(tiny), training, seed=3)))
    assert not np.array_equal(first, logits(fit(classifier(tiny), training, seed=4)))


def test_initial_weights_are_equal_for_every_arm(tiny):
    """With a negligible learning rate, the final weights are the initial ones."""
    arms = [
        logits(fit(classifier(tiny, learning_rate=1e-12), training_set(n, seed=n), seed=5))
        for n in (20, 70)
    ]
    np.testing.assert_allclose(arms[0], arms[1], atol=1e-6)


def test_torch_global_state_is_restored(tiny):
    torch.manual_seed(11)
    before = torch.get_rng_state(), torch.get_num_threads(), random.getstate()
    fit(classifier(tiny, threads=2)).predict(["a"], frozenset({"stochastic_logits"}))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), random.getstate())
    assert not torch.are_deterministic_algorithms_enabled()


def test_pretrained_weights_are_not_modified(tiny):
    part = classifier(tiny, learning_rate=0.1)
    encoder = transformer_network.load_pretrained(part.source()).encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    fit(part)
    assert transformer_network.load_pretrained(part.source()).encoder is encoder
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())


# Training


def steps_of(part, training, monkeypatch):
    """Count the optimizer steps of a training, and note the learning rates."""
    rates = []
    step = torch.optim.AdamW.step

    def counted(self, *arguments, **options):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *arguments, **options)

    monkeypatch.setattr(torch.optim.AdamW, "step", counted)
    fit(part, training)
    return rates


def test_step_count_does_not_depend_on_data_size(tiny, monkeypatch):
    for n in (10, 100):
        rates = steps_of(classifier(tiny, steps=7), training_set(n), monkeypatch)
        assert len(rates) == 7
        monkeypatch.undo()


def test_steps_follow_from_epochs_and_batches(tiny, monkeypatch):
    part = classifier(tiny, epochs=3, batch_size=16, accumulation=4)
    assert len(steps_of(part, training_set(50), monkeypatch)) == 3 * 4


@pytest.mark.parametrize(
    ("schedule", "shape"),
    [
        ("constant", [1, 1, 1, 1]),
        ("linear", [1, 0.75, 0.5, 0.25]),
        ("cosine", [1, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2]),
    ],
)
def test_learning_rate_follows_warm_up_and_schedule(tiny, monkeypatch, schedule, shape):
    part = classifier(tiny, learning_rate=0.01, schedule=schedule, steps=5, warmup=0.2)
    rates = steps_of(part, training_set(), monkeypatch)
    np.testing.assert_allclose(rates, np.array([0.5, *shape]) * 0.01)


def test_gradient_accumulation_equals_full_batch(tmp_path):
    save_tiny(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    whole, cut = (
        logits(fit(classifier(tmp_path, dropout=0.0, optimizer="adam", accumulation=pieces)))
        for pieces in (1, 5)
    )
    np.testing.assert_allclose(whole, cut, atol=1e-4)


def test_training_matches_plain_adam_loop(tmp_path):
    """One full batch without dropout: the same as transformers' model in a loop of four lines."""
    save_tiny(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (tmp_path / "config.json").write_text(json.dumps(config))
    options = {
        "optimizer": "adam", "schedule": "constant", "warmup": 0.0, "weight_decay": 0.0,
        "dropout": 0.0, "batch_size": 64,
    }  # fmt: skip
    training = training_set(40)
    start = fit(classifier(tmp_path, **options | {"learning_rate": 1e-30, "steps": 1}), training)
    ours = fit(classifier(tmp_path, **options | {"learning_rate": 1e-2, "steps": 8}), training)

    assert np.abs(logits(ours) - logits(start)).max() > 0.01
    weights, start_head = saved_weights(start, tmp_path / "start")
    encoder = transformers.AutoModel.from_pretrained(tmp_path)
    encoder.load_state_dict(weights)
    head = torch.nn.Linear(encoder.config.hidden_size, 2)
    head.load_state_dict(start_head)
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path)(
        list(training.inputs), padding="max_length", return_tensors="pt"
    )
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=1e-2)
    for _ in range(8):
        optimizer.zero_grad()
        output = encoder(tokens["input_ids"], tokens["attention_mask"])
        guess = head(output.pooler_output)
        torch.nn.functional.cross_entropy(guess, torch.tensor(training.labels)).backward()
        optimizer.step()
    trained, trained_head = saved_weights(ours, tmp_path / "ours")
    for expected, actual in ((encoder, trained), (head, trained_head)):
        for name, value in expected.state_dict().items():
            np.testing.assert_allclose(actual[name], value, atol=1e-4, err_msg=name)


def test_early_stopping_keeps_the_best_epoch(tiny, monkeypatch):
    rng = np.random.default_rng(0)
    training = training_set(60)
    noise = TrainingSet(
        training.inputs,
        rng.integers(2, size=60),
        2,
        training.soft_labels,
        training.synthetic,
    )
    part = classifier(tiny, learning_rate=1e-2, epochs=40, early_stopping=1)
    assert len(steps_of(part, noise, monkeypatch)) < 40 * 2
    with pytest.raises(ConfigurationError, match="set only one"):
        classifier(tiny, steps=5, early_stopping=1)


@pytest.mark.parametrize("loss", [Focal(), LabelSmoothing(), Mixup(), SoftLabel()])
def test_losses_change_training(tiny, loss):
    training = training_set()
    training.soft_labels[1::2] = [0.3, 0.7]
    training.synthetic[1::2] = True
    part = classifier(tiny, learning_rate=1e-2, epochs=6, pooling="mean")
    plain = logits(fit(part, training))
    other = logits(fit(part, training, loss))
    assert np.abs(plain - other).max() > 1e-3
    np.testing.assert_array_equal(other, logits(fit(part, training, loss)))


# Batches


@pytest.mark.parametrize(("n", "size"), [(1, 32), (31, 32), (33, 32), (1000, 8), (5000, 32)])
def test_epoch_has_every_row_once_with_little_padding(n, size):
    lengths = np.random.default_rng(0).integers(3, 200, n)
    batches = training_batches(lengths, size, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(n))
    assert max(map(len, batches)) <= size
    if n >= 1000:
        padded = sum(lengths[rows].max() * len(rows) for rows in batches)
        assert padded < 1.06 * lengths.sum()
    inference = inference_batches(lengths, torch.device("cpu"))
    assert sorted(np.concatenate(list(inference))) == list(range(n))


def test_tokens_match_tokenizer(tiny):
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny)
    texts = ["rain", "", "the very very fine sun", "sun " * 60]
    tokens = TokenizedTexts(tokenizer, texts, 16, torch.device("cpu"))
    expected = tokenizer(texts, truncation=True, max_length=16, padding=True, return_tensors="pt")
    ids, mask = tokens.batch(np.arange(4))
    assert torch.equal(ids, expected["input_ids"])
    assert torch.equal(mask, expected["attention_mask"])
    assert tokens.batch(np.array([3]))[1] is None


# Where models come from


@pytest.fixture
def no_network(monkeypatch):
    """Make every attempt to reach the network fail, and note it."""
    attempts = []

    def refuse(*arguments, **options):
        attempts.append(arguments)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return attempts


def test_local_folder_does_not_access_hub(tmp_path, no_network, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    save_tiny(tmp_path)
    logits(fit(classifier(tmp_path)))
    assert no_network == []


def test_unfetchable_model_error_suggests_fix(tmp_path, no_network, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ConfigurationError, match="the download failed") as caught:
        classifier("google-bert/bert-base-uncased").source()
    assert "hf download google-bert/bert-base-uncased" in str(caught.value)
    assert "model=PATH" in str(caught.value)
    assert no_network != []


def test_offline_mode_does_not_access_hub(tmp_path, no_network, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match="HF_HUB_OFFLINE forbids"):
        classifier("google-bert/bert-base-uncased").source()
    assert no_network == []


def test_cached_model_does_not_access_hub_and_reports_commit(tmp_path, no_network, monkeypatch):
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--some--bert"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text(commit)
    (cached / "snapshots" / commit).mkdir(parents=True)
    save_tiny(cached / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    fitted = fit(classifier("some/bert"))
    assert fitted.model_revision == commit
    assert no_network == []


@pytest.mark.parametrize(
    ("model", "message"),
    [("./nowhere", "no such folder"), ("/no/where", "no such folder"), ("a b", "nor a hub id")],
)
def test_folder_without_model_is_an_error(model, message):
    with pytest.raises(ConfigurationError, match=message):
        classifier(model).source()


def test_local_model_identity_is_its_content(tmp_path):
    save_tiny(tmp_path)
    first = classifier(tmp_path).source().revision
    assert first.startswith("sha256:") and first == classifier(tmp_path).source().revision
    config = tmp_path / "config.json"
    config.write_text(config.read_text() + "\n")
    assert classifier(tmp_path).source().revision != first


def test_remote_code_is_never_run(tmp_path):
    save_tiny(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("raise SystemExit('code of the model was run')")
    with pytest.raises(DataError, match="cannot be loaded"):
        fit(classifier(tmp_path))


# Without the extra


def test_parts_are_listed_without_torch():
    code = (
        "import sys; from fgbench.plugins.registry import Registry; "
        "from fgbench.plugins.references import PartReference as R; "
        "r = Registry.load(); r.create('classifier', R.parse('bert-base')); "
        "r.create('classifier', R.parse('hf:model=x')); r.create('calibrator', R.parse("
        "'mc-dropout')); [r.create('loss', R(n)) for n in r.names('loss')]; "
        "print({'torch', 'transformers', 'safetensors', 'huggingface_hub'} & sys.modules.keys())"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert answer.stdout.strip() == "set()", answer.stderr


def test_missing_extra_error_names_install_command(monkeypatch):
    monkeypatch.setattr("fgbench_plugins.classifiers.transformer.find_spec", lambda name: None)
    with pytest.raises(PluginError, match=r"pip install 'fgbench\[transformers\]'"):
        classifier("any").fit(training_set(), loss=CrossEntropy(), seed=0)


def test_bert_base_has_papers_hyperparameters():
    part = Registry.load().create("classifier", PartReference("bert-base"))
    assert isinstance(part, BertBase)
    expected = {
        "model": "google-bert/bert-base-uncased", "max_length": 512, "batch_size": 32,
        "optimizer": "adam", "learning_rate": 1e-6, "dropout": 0.5, "epochs": 5,
        "schedule": "constant", "warmup": 0.0, "weight_decay": 0.0, "pooling": "pooler",
    }  # fmt: skip
    assert part.parameters().items() >= expected.items()
