"""Transformer classifiers on bad input: texts, data, parameters, model folders, memory."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from fgbench import ConfigurationError, DataError, Loss, TrainingSet
from support.tiny_bert import WORDS, classifier, fit, logits, save_tiny, training_set

torch = pytest.importorskip("torch", reason="transformer classifiers need fgbench[transformers]")
transformers = pytest.importorskip("transformers")

STRANGE = ["", " ", "🌧️🌞", "a\x00b", "\ud800", "sun " * 25_000, "x" * 100_000, "日本語"]


# Texts and data


def as_training_set(texts, labels, n_classes=2):
    labels = np.array(labels)
    return TrainingSet(
        texts, labels, n_classes, np.eye(n_classes)[labels], np.zeros(len(texts), dtype=bool)
    )


def test_any_text_has_finite_logits(tiny):
    training = as_training_set(STRANGE, np.arange(len(STRANGE)) % 2)
    result = logits(fit(classifier(tiny), training), STRANGE)
    assert np.isfinite(result).all()


@pytest.mark.parametrize("text", STRANGE, ids=ascii)
def test_training_on_odd_texts_only(tiny, text):
    fitted = fit(classifier(tiny, passes=2), as_training_set([text, text], [0, 1]))
    answer = fitted.predict([text, "sun"], frozenset({"features", "stochastic_logits"}))
    assert all(np.isfinite(each).all() for each in answer)


def test_no_texts_give_empty_logits(tiny):
    fitted = fit(classifier(tiny, passes=2))
    answer = fitted.predict([], frozenset({"features", "stochastic_logits"}))
    logits, features, stochastic = answer.logits, answer.features, answer.stochastic_logits
    assert [each.shape for each in (logits, features, stochastic)] == [(0, 2), (0, 16), (2, 0, 2)]


def test_batch_larger_than_data_with_single_row_class(tiny):
    training = as_training_set(training_set(5, 3).inputs, [0, 0, 0, 0, 1], 3)
    fitted = fit(classifier(tiny, batch_size=512, early_stopping=2), training)
    assert logits(fitted).shape == (3, 3)


@pytest.mark.parametrize("options", [{}, {"accumulation": 8}, {"early_stopping": 1}])
def test_training_on_one_row(tiny, options):
    fitted = fit(classifier(tiny, **options), as_training_set(["rain"], [1]))
    assert np.isfinite(logits(fitted)).all()


# Numbers


class NotANumber(Loss):
    needs = frozenset({"gradient"})

    def __call__(self, logits, batch):
        return logits.mean() * float("nan")


def test_nan_loss_stops_training(tiny):
    with pytest.raises(ConfigurationError, match=r"not finite at step 1 of 4.*learning_rate"):
        fit(classifier(tiny), loss=NotANumber())


def test_zero_learning_rate_stops_training_but_not_plan(tiny):
    part = classifier(tiny, learning_rate=0)
    with pytest.raises(ConfigurationError, match="learning_rate=0 does not train the model"):
        fit(part)


@pytest.mark.parametrize("rate", [-1e-5, float("nan"), float("inf")])
def test_invalid_learning_rate_is_refused_while_planning(rate):
    with pytest.raises(ConfigurationError, match=r"parameter learning_rate = "):
        classifier("any", learning_rate=rate)


# Folders


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.safetensors", b"garbage", "cannot be loaded"),
        ("config.json", b"{", "cannot be loaded"),
        ("config.json", b'{"model_type": "no-such"}', "cannot be loaded"),
        ("tokenizer.json", b"{}", "cannot be loaded"),
        ("config.json", b"[]", "cannot be loaded"),
        ("config.json", b"\xff\xfe", "cannot be loaded"),
        ("model.safetensors", b"", "cannot be loaded"),
        ("model.safetensors", None, "has no model.safetensors"),
        ("config.json", None, "has no config.json"),
    ],
)
def test_corrupt_model_folder_is_one_error(tmp_path, file, content, message):
    save_tiny(tmp_path)
    (tmp_path / file).unlink()
    if content is not None:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        fit(classifier(tmp_path))
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_truncated_weights_are_one_error(tmp_path, kept):
    save_tiny(tmp_path)
    path = tmp_path / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(DataError, match=r"cannot be loaded \(SafetensorError.*Download it again"):
        fit(classifier(tmp_path))


def test_pickled_weights_are_refused(tmp_path):
    """Pickles run code, so a folder with only pickled weights counts as one without weights."""
    save_tiny(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))
    with pytest.raises(DataError, match=r"has no model\.safetensors"):
        fit(classifier(tmp_path))
    assert not (tmp_path / "exploded").exists()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_weights_missing_a_layer_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    save_tiny(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"do not match its config.json.*encoder\.layer\.1"):
        fit(classifier(tmp_path))


def test_model_without_pooler_uses_first_token(tmp_path):
    save_tiny(tmp_path, add_pooling_layer=False)
    first_token = fit(classifier(tmp_path, pooling="cls"))
    np.testing.assert_array_equal(logits(fit(classifier(tmp_path))), logits(first_token))
    assert not np.allclose(logits(fit(classifier(tmp_path, pooling="mean"))), logits(first_token))
    with pytest.raises(ConfigurationError, match="pooling=cls or pooling=mean"):
        fit(classifier(tmp_path, pooling="pooler"))


# Memory


def exhaust(monkeypatch, rows, when=lambda encoder: True):
    """Let the encoder find memory for `rows` texts at once; return how many it is given, growing.

    This is where a GPU runs out of memory: deep in transformers' code, not in ours.
    """
    forward, given = transformers.BertModel.forward, []

    def limited(self, input_ids, *arguments, **options):
        given.append(len(input_ids))
        if len(input_ids) > rows and when(self):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return forward(self, input_ids, *arguments, **options)

    monkeypatch.setattr(transformers.BertModel, "forward", limited)
    return given


def test_out_of_memory_in_training_halves_batch_once_and_notes_it(tiny, monkeypatch):
    expected = logits(fit(classifier(tiny, batch_size=32, accumulation=2)))
    exhaust(monkeypatch, rows=16)
    fitted = fit(classifier(tiny, batch_size=32))
    assert fitted.notes == [
        "out of memory on cpu with 32 texts at once: each batch of 32 was computed in 2 pieces"
    ]
    np.testing.assert_array_equal(logits(fitted), expected)
    exhaust(monkeypatch, rows=4)
    with pytest.raises(ConfigurationError, match="set accumulation=4 or more"):
        fit(classifier(tiny, batch_size=32))


MANY = [f"{sky} {word}" for sky in WORDS for word in WORDS]


@pytest.mark.parametrize("dropping", [False, True], ids=["plain", "stochastic"])
def test_out_of_memory_in_prediction_halves_batches_once(tiny, monkeypatch, dropping):
    fitted = fit(classifier(tiny, passes=2))
    outputs = frozenset({"features", "stochastic_logits"} if dropping else {"features"})
    with monkeypatch.context() as patch:
        given = exhaust(patch, rows=10**9)
        whole = fitted.predict(MANY, outputs)
    largest = max(given)
    assert fitted.notes == []

    with monkeypatch.context() as patch:
        given = exhaust(patch, largest // 2, when=lambda encoder: encoder.training is dropping)
        halved = fitted.predict(MANY, outputs)
        assert given[0] == largest and max(given[2:]) == largest // 2
        again = fitted.predict(MANY, outputs)
    (note,) = fitted.notes
    assert note.startswith("out of memory on cpu while predicting: texts were classified in batch")
    assert note.endswith("other dropout masks") is dropping
    np.testing.assert_allclose(halved.logits, whole.logits, atol=1e-5)
    np.testing.assert_allclose(halved.features, whole.features, atol=1e-5)
    if dropping:
        np.testing.assert_array_equal(halved.stochastic_logits, again.stochastic_logits)
        means = [each.stochastic_logits.mean(axis=(0, 1)) for each in (halved, whole)]
        np.testing.assert_allclose(*means, atol=0.05)

    exhaust(monkeypatch, largest // 2 - 1)
    with pytest.raises(ConfigurationError, match="even with half the batch size; use a smaller"):
        fitted.predict(MANY, outputs)


def test_early_stopping_uses_smaller_batches_after_out_of_memory(tiny, monkeypatch):
    training = as_training_set(["rain good", "sun bad"] * 900, [0, 1] * 900)
    options = {"early_stopping": 1, "epochs": 1, "batch_size": 32}
    with monkeypatch.context() as patch:
        given = exhaust(patch, 10**9)
        fit(classifier(tiny, **options), training)
    held_out = max(given)
    assert 32 < held_out < 180, "no batch is larger than the first one of the held-out rows"
    exhaust(monkeypatch, held_out // 2)
    (note,) = fit(classifier(tiny, **options), training).notes
    assert "computed in 2 pieces" in note


def test_missing_device_is_refused(tiny):
    for device in {"cuda", "mps"}:
        if not getattr(torch, device).is_available():
            with pytest.raises(
                ConfigurationError, match=f"device={device}: not available to torch"
            ):
                fit(classifier(tiny, device=device))
