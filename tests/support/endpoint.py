"""Requests to a test server through `OpenAIChat`, and a budget that keeps count."""

from fgbench import BudgetError, ChatRequest, Message, Sampling
from fgbench_plugins.language_models.openai_endpoint import OpenAIChat


class Ledger:
    """A budget that keeps count, and ends after `most` requests."""

    def __init__(self, most=10**9):
        self.most, self.requests, self.open, self.tokens = most, 0, {}, 0

    def reserve(self, prompt_tokens, completion_tokens):
        if self.requests >= self.most:
            raise BudgetError(f"The cap of {self.most} requests is reached.")
        self.requests += 1
        self.open[self.requests] = prompt_tokens, completion_tokens
        return self.requests

    def settle(self, receipt, prompt_tokens, completion_tokens):
        del self.open[receipt]
        self.tokens += prompt_tokens + completion_tokens


def chats(count, draws=1, **sampling):
    return [
        ChatRequest(
            messages=(Message("system", "Be brief."), Message("user", f"Question {number}")),
            sampling=Sampling(**sampling),
            seed=7,
            draw=draw,
        )
        for number in range(count)
        for draw in range(draws)
    ]


def ask(server, requests, ledger=None, **options):
    """Return the answers in the order of the requests; each is delivered exactly once."""
    options = {"concurrency": 8, "backoff": 0.01, "timeout": 5.0} | options
    model = OpenAIChat(options.pop("model", "tiny"), base_url=server.url, **options)
    return collect(model, requests, ledger or Ledger())


def collect(model, requests, ledger):
    answers = {}

    def deliver(request, answer):
        key = (request.messages, request.draw)
        assert key not in answers
        answers[key] = answer

    try:
        model.answer(iter(requests), ledger, deliver)
    finally:
        assert ledger.open == {}, "a reservation was never settled"
        model.close()
        collect.answers = answers
    return [answers[request.messages, request.draw] for request in requests]
