"""The ledger: caps hold for all processes together, and unused reservations are released."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fgbench import Answers, BudgetError, Price
from fgbench.errors import ConfigurationError
from fgbench.llm.answers import AnswerStore
from fgbench.llm.budget import Caps, Ledger, Spent
from support.chat import Echo, request, requests


@pytest.fixture
def path(tmp_path):
    return tmp_path / "answers.sqlite"


@pytest.fixture
def store(path):
    store = AnswerStore(path)
    yield store
    store.close()


def answers(store, run="r", **caps):
    ledger = Ledger(store, run, Caps(**caps))
    return Answers(store, ledger=ledger), ledger


def test_usage_is_counted_without_caps(store):
    some, ledger = answers(store)
    list(some.ask(Echo(), requests(4)))
    assert ledger.total() == Spent(4, 40, 20, pytest.approx(4 * 20e-6))
    list(some.ask(Echo(), requests(4)))
    assert ledger.total().requests == 4, "what is stored costs nothing"
    assert Ledger(store, "another run").total() == Spent()


def test_request_cap_is_exact_and_can_be_raised(store):
    some, ledger = answers(store, requests=7)
    model = Echo()
    with pytest.raises(BudgetError) as caught:
        some.ask(model, requests(10))
    for words in ("run r reached --max-requests 7", "7 sent", "Raise the limit"):
        assert words in str(caught.value)
    assert sum(model.sent.values()) == len(store) == 7
    more, _ = answers(store, requests=10)
    assert len(list(more.ask(model, requests(10)))) == 10
    assert max(model.sent.values()) == 1
    assert ledger.total().requests == 10


def test_unused_reservation_is_returned(store):
    """Each request uses 15 tokens and could use 60: 10 fit into 195, and 11 could pass it."""
    some, ledger = answers(store, tokens=195)
    model = Echo()
    with pytest.raises(BudgetError, match=r"reached --max-tokens 195 \(150 used"):
        some.ask(model, [request(f"{n}", max_tokens=50) for n in range(20)])
    assert sum(model.sent.values()) == 10
    assert ledger.total() == Spent(10, 100, 50, pytest.approx(10 * 20e-6))


def test_engine_is_called_again_while_budget_remains(store):
    """Reservations of an endpoint's requests in flight block further ones only for a while."""

    class Concurrent(Echo):
        def answer(self, requests, spending, deliver):
            self.calls += 1
            in_flight = []
            try:
                while item := next(requests, None):
                    in_flight.append((item, spending.reserve(10, 50)))
            finally:
                for item, receipt in in_flight:
                    self.sent[item.messages[-1].content] += 1
                    spending.settle(receipt, 10, 5)
                    deliver(item, self.reply(item))

    some, ledger = answers(store, tokens=195)
    model = Concurrent()
    with pytest.raises(BudgetError):
        some.ask(model, requests(20))
    assert sum(model.sent.values()) == 10, "as many as one after the other"
    assert model.calls > 2
    assert ledger.total().tokens == 150


def test_cost_cap_is_respected(store):
    some, ledger = answers(store, cost_usd=50e-6)
    model = Echo()  # at most 10 + 2 · 5 and really 20 millionths of a dollar each
    with pytest.raises(BudgetError, match=r"reached --max-cost \$0\.00"):
        some.ask(model, [request(f"{n}", max_tokens=5) for n in range(9)])
    assert sum(model.sent.values()) == 2
    assert ledger.total().cost_usd == pytest.approx(40e-6)


def test_failed_request_counts_without_tokens(store):
    _, ledger = answers(store, requests=5)
    account = ledger.account(Price(1, 1))
    account.settle(account.reserve(10, 10), 0, 0)
    ledger.flush()
    assert ledger.total() == Spent(requests=1)


def test_reservation_of_killed_process_stays_spent(path, store):
    _, ledger = answers(store, tokens=100)
    ledger.account(Price(1, 1)).reserve(30, 30)
    later, books = answers(AnswerStore(path), tokens=100)
    assert books.total().reserved_tokens == 60
    books.count_lost()
    assert books.total() == Spent(1, 0, 60, pytest.approx(60e-6))
    with pytest.raises(BudgetError):
        later.ask(Echo(), [request("a", max_tokens=50)])
    later.close()


def test_processes_share_one_cap(path):
    """Four at once, a connection each: together they send as many as one alone would."""

    def work(number):
        store = AnswerStore(path)
        some, _ = answers(store, requests=50)
        model = Echo()
        with pytest.raises(BudgetError):
            some.ask(model, requests(60, prefix=f"worker {number}"))
        store.close()
        return sum(model.sent.values())

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(work, range(4))) == 50


def test_reservation_waits_for_other_process(path):
    """Its reservation exhausts the budget now, but not once it is settled."""
    other = AnswerStore(path)
    _, books = answers(other, tokens=100)
    account = books.account(Price(1, 1))
    receipt = account.reserve(40, 40)

    def settle():
        account.settle(receipt, 1, 1)
        books.flush()

    mine = AnswerStore(path)
    some, _ = answers(mine, tokens=100)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: list(some.ask(Echo(), [request("a", max_tokens=50)])))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        settle()
        assert waiting.result(timeout=10)[0].ok
    mine.close()
    other.close()


@pytest.mark.parametrize("cap", [-1, float("nan"), float("inf")])
def test_cap_must_be_a_number(cap):
    with pytest.raises(ConfigurationError, match="cap on cost_usd"):
        Caps(cost_usd=cap)


def test_zero_cap_sends_nothing(store):
    some, _ = answers(store, requests=0)
    model = Echo()
    with pytest.raises(BudgetError):
        some.ask(model, requests(2))
    assert not model.sent
