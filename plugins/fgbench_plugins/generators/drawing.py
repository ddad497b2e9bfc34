"""Random streams that depend on the seed and one request alone, not on its batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from fgbench import GenerationRequest, RelabelRequest, seed_for


def request_rng(generator: str, seed: int, request: GenerationRequest) -> np.random.Generator:
    """Return the random stream of a request.

    The source's label is left out: the text must not depend on the label that it is to get.
    """
    content = [
        request.source,
        request.asked_probabilities,
        request.bin,
        request.source_id,
        request.draw,
    ]
    return np.random.default_rng(seed_for(generator, "generate", seed, content))


def draw_label(
    how: Literal["draw", "argmax"],
    generator: str,
    seed: int,
    request: RelabelRequest,
    probabilities: Sequence[float],
) -> int:
    """Return the most probable class, or a class drawn from `probabilities` (K,).

    The draw depends on the seed, the input, and the request that it was written for.
    """
    if how == "argmax":
        return int(np.argmax(probabilities))
    origin = [request.input, request.request.source_id, request.request.draw]
    uniform = seed_for(generator, "relabel", seed, origin) / 2.0**63
    return int(min((np.cumsum(probabilities) <= uniform).sum(), len(probabilities) - 1))
