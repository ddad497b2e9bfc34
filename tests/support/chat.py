"""A chat model for tests: answers by rule, fails by script, and counts what it is sent."""

from collections import Counter

from fgbench import ChatAnswer, ChatModel, ChatRequest, Message, Price, Sampling, Usage


def request(text, *, draw=0, seed=0, **sampling):
    return ChatRequest(
        messages=(Message("system", "You answer."), Message("user", text)),
        sampling=Sampling(**sampling),
        seed=seed,
        draw=draw,
    )


def requests(count, prefix="text"):
    return [request(f"{prefix} {number}") for number in range(count)]


class Echo(ChatModel):
    """Answers "re: " and the last message; `script` maps texts to answers, taken one by one."""

    price = Price(prompt=1.0, completion=2.0)

    def __init__(self, script=None, name="echo"):
        self.name = name
        self.sent = Counter()
        self.calls = 0
        self.script = script or {}

    @property
    def identity(self):
        return {"engine": "probe", "model": self.name}

    def answer(self, requests, spending, deliver):
        self.calls += 1
        for item in requests:
            receipt = spending.reserve(10, item.sampling.max_tokens)
            text = item.messages[-1].content
            self.sent[text] += 1
            answer = self.reply(item)
            spending.settle(receipt, answer.usage.prompt_tokens, answer.usage.completion_tokens)
            deliver(item, answer)

    def reply(self, item):
        text = item.messages[-1].content
        if self.script.get(text):
            return self.script[text].pop(0)
        return said(f"re: {text}")


def said(text, **fields):
    return ChatAnswer(text=text, usage=Usage(1, 10, 5), **fields)


def failed(reason, *, transient=False):
    return ChatAnswer(text=None, failure=reason, transient=transient, usage=Usage(1, 10, 0))
