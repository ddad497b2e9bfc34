"""Adding up what chats have cost, each answer once."""

from __future__ import annotations

from hashlib import blake2b

from fgbench import ChatAnswer, ChatRequest, Usage


class UsageCounter:
    """What the answers to one part have cost: equal chats share an answer, and its cost."""

    def __init__(self) -> None:
        self._counted: set[bytes] = set()

    def of(self, chat: ChatRequest, answer: ChatAnswer) -> Usage:
        """Return the usage of an answer; none if it was returned before."""
        asked = repr((chat.messages, chat.draw)).encode("utf-8", "surrogatepass")
        key = blake2b(asked, digest_size=16).digest()
        if key in self._counted:
            return Usage()
        self._counted.add(key)
        return answer.usage
