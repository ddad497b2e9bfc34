"""The usage of chats, counting each answer once."""

from __future__ import annotations

from hashlib import blake2b

from fgbench import ChatAnswer, ChatRequest, Usage


class UsageCounter:
    """Counts the usage of the answers to one part; equal chats share one answer."""

    def __init__(self) -> None:
        self._counted: set[bytes] = set()

    def of(self, chat: ChatRequest, answer: ChatAnswer) -> Usage:
        """Return the usage of an answer, or no usage if it was counted before."""
        content = repr((chat.messages, chat.draw)).encode("utf-8", "surrogatepass")
        key = blake2b(content, digest_size=16).digest()
        if key in self._counted:
            return Usage()
        self._counted.add(key)
        return answer.usage
