"""A tiny Llama chat model with random weights, built in a second without access to a hub.

What it says is noise, but its tokenizer, chat template, engine, seeds and log-probabilities are as
real as any. Its shape is what vLLM takes on a CPU (heads of 32).
"""

from __future__ import annotations

import random
import string
from pathlib import Path

# Llama 2's format, rewritten: the system prompt is part of the first user message.
CHAT_TEMPLATE = """\
{%- set instructions = "" -%}
{%- if messages[0].role == "system" -%}
{%- set instructions = "<<SYS>>\\n" + messages[0].content + "\\n<</SYS>>\\n\\n" -%}
{%- set messages = messages[1:] -%}
{%- endif -%}
{%- for message in messages -%}
{%- if (message.role == "user") != (loop.index0 % 2 == 0) -%}
{{- raise_exception("Roles must alternate: user, assistant, user, …") -}}
{%- endif -%}
{%- if message.role == "user" -%}
{{- bos_token + "[INST] " + (instructions if loop.first else "") + message.content + " [/INST]" -}}
{%- else -%}
{{- " " + message.content + " " + eos_token -}}
{%- endif -%}
{%- endfor -%}
"""
WITHOUT_SYSTEM = """\
{%- for message in messages -%}
{%- if message.role == "system" -%}
{{- raise_exception("System role not supported") -}}
{%- endif -%}
{{- bos_token + "[INST] " + message.content + " [/INST]" -}}
{%- endfor -%}
"""
_WORDS = (
    "the a my your text texts label class probability positive negative please write short "
    "diverse invoice printer password order refund screen account late broken charged lost "
    "cannot open help thanks good bad very quite never always what which is are was of to and"
)


def save_tiny_llama(
    folder: Path, *, chat_template: str | None = CHAT_TEMPLATE, max_length: int = 4096
) -> Path:
    """Write the model with its tokenizer as `save_pretrained` does; always the same one."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=1024,
        special_tokens=["<unk>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_sentences(), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = chat_template
    wrapped.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=max_length,
        bos_token_id=wrapped.bos_token_id,
        eos_token_id=wrapped.eos_token_id,
        dtype="float32",
        initializer_range=0.3,  # wide enough that one token differs from the next
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _sentences() -> list[str]:
    """Return made-up sentences, for a vocabulary with whole words, JSON and digits in it."""
    rng = random.Random(0)
    words = _WORDS.split()
    sentences = []
    for _ in range(400):
        line = " ".join(rng.choice(words) for _ in range(rng.randint(4, 12)))
        sentences.append(f"{line.capitalize()}{rng.choice('.!?')}")
        sentences.append(f'{{"texts": ["{line}"], "label": {rng.randint(0, 100)}}}')
        sentences.append("".join(rng.choice(string.printable) for _ in range(12)))
    return sentences


class NoCaps:
    """A budget that is never used up.

    `open` counts the reservations that were not settled; `overdrawn` says whether one of them was
    too small for what was used, which is no mistake where tokens are estimated.
    """

    def __init__(self, reservations: int | None = None) -> None:
        self.left = reservations
        self.open = 0
        self.overdrawn = False

    def reserve(self, prompt_tokens: int, completion_tokens: int) -> int:
        """Refuse after as many reservations as it was made for."""
        from fgbench import BudgetError

        if self.left == 0:
            raise BudgetError("the cap is reached")
        self.left = None if self.left is None else self.left - 1
        self.open += 1
        return prompt_tokens + completion_tokens

    def settle(self, receipt: int, prompt_tokens: int, completion_tokens: int) -> None:
        """Compare what was used to what was set aside."""
        self.overdrawn |= prompt_tokens + completion_tokens > receipt
        self.open -= 1


def ask(model, requests, spending=None):
    """Return the answer of each request, in their order; None for one that got none.

    Without `spending`, the model must count its tokens exactly, as one in this process can.
    """
    answers = {}
    exact = spending is None

    def deliver(request, answer):
        assert id(request) not in answers, "answered twice"
        answers[id(request)] = answer

    spending = spending or NoCaps()
    try:
        model.answer(iter(requests), spending, deliver)
    except Exception as error:
        error.delivered = [answers.get(id(request)) for request in requests]
        raise
    assert spending.open == 0
    assert not (exact and spending.overdrawn)
    return [answers.get(id(request)) for request in requests]


def chat(text, *, system="Write short texts.", seed=0, draw=0, **sampling):
    """Return a request with one system and one user message."""
    from fgbench import ChatRequest, Message, Sampling

    messages = (Message("system", system), Message("user", text))
    return ChatRequest(messages=messages, sampling=Sampling(**sampling), seed=seed, draw=draw)
