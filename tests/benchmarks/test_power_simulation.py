"""Whether the difference that a plan promises is found in 80 % of fresh boards: docs/metrics.md.

FGBENCH_DRAWS sets the boards per cell (1,000).
"""

import os

import numpy as np
import pytest

from fgbench.inference.simulated_power import Pilot, detection, pilot_of
from support.planned import World

pytestmark = pytest.mark.slow

DRAWS = int(os.environ.get("FGBENCH_DRAWS", "1000"))
WORLDS = [
    World(ece=0.05, seed_deviation=0.02, row_noise=0.5),
    World(ece=0.05, seed_deviation=0.005, row_noise=0.3),
    World(ece=0.01, seed_deviation=0.01, row_noise=0.5),
    World(ece=0.10, seed_deviation=0.03, row_noise=0.8),
]


def test_promised_difference_is_found():
    """A pilot that knows the world, so that only the simulation is tested."""
    print("\nECE, sd over seeds | n | S | detects | found in")
    powers = []
    for world in WORLDS:
        scores = world.spread * np.random.default_rng(5).normal(size=20_000)
        pilot = Pilot(scores, 2, world.ece, world.seed_deviation**2, world.row_noise, "known")
        for n in (345, 2000):
            for seeds in (3, 5, 10):
                promised = detection(pilot, n, seeds).difference
                if promised is None:
                    continue
                powers.append(world.power(promised, n, seeds, DRAWS))
                print(
                    f"{world.ece}, {world.seed_deviation} | {n} | {seeds} | {promised:.4f} | "
                    f"{powers[-1]:.3f}",
                    flush=True,
                )
    print(f"mean {np.mean(powers):.3f}, from {min(powers):.3f} to {max(powers):.3f}")
    assert 0.75 <= np.mean(powers) <= 0.85
    assert 0.72 <= min(powers) <= max(powers) <= 0.87


def test_promised_difference_is_found_on_average_over_pilots():
    """Pilots of the run's own size, whose few seeds say little of the variation between seeds."""
    boards, pilots = max(20, DRAWS // 25), 20
    print("\nECE, sd over seeds | n | S | median promise | found in (mean, 10 %, 90 %)")
    for world in WORLDS[:2]:
        for n in (345, 2000):
            for seeds in (3, 5):
                promises, powers = [], []
                for number in range(pilots):
                    drawn = world.pilot(np.random.default_rng([number, n, seeds]), n, seeds)
                    promised = detection(pilot_of([drawn], "drawn"), n, seeds).difference
                    if promised is not None:
                        promises.append(promised)
                        powers.append(world.power(promised, n, seeds, boards, stream=number + 1))
                low, high = np.quantile(powers, [0.1, 0.9])
                print(
                    f"{world.ece}, {world.seed_deviation} | {n} | {seeds} | "
                    f"{np.median(promises):.4f} | {np.mean(powers):.2f}, {low:.2f}, {high:.2f} "
                    f"({pilots - len(powers)} without)",
                    flush=True,
                )
                assert 0.65 <= np.mean(powers) <= 0.95
