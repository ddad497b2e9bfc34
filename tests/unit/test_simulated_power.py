"""Power by simulation: what a pilot is, and what it promises."""

import numpy as np
import pytest

from fgbench.data import Predictions
from fgbench.inference import simulated_power
from fgbench.inference.simulated_power import Pilot, default_pilot, detection, pilot_of
from support.planned import World

WORLD = World(ece=0.05, seed_deviation=0.02, row_noise=0.5)


def known(world):
    """Return the pilot of somebody who knows the world."""
    scores = world.spread * np.random.default_rng(5).normal(size=20_000)
    return Pilot(scores, 2, world.ece, world.seed_deviation**2, world.row_noise, "known")


@pytest.mark.parametrize("seeds", [3, 5])
def test_promised_difference_is_found_in_four_fifths_of_fresh_boards(seeds):
    """Larger: tests/benchmarks/test_power_simulation.py."""
    difference = detection(known(WORLD), 345, seeds).difference
    found = WORLD.power(difference, 345, seeds, boards=250)
    assert 0.72 <= found <= 0.88  # .75 to .85, and one standard error


def test_half_the_promised_difference_is_rarely_found():
    """The simulation can fail: power depends on the difference."""
    difference = detection(known(WORLD), 345, 3).difference
    assert WORLD.power(difference / 2, 345, 3, boards=100) < 0.6


def test_more_rows_and_more_seeds_detect_less():
    few, many = (detection(default_pilot(2), n, 3) for n in (345, 2000))
    assert many.difference < few.difference
    assert few.further < few.difference
    assert few.further_seeds == 10
    assert detection(default_pilot(2), 345, 8).further_seeds == 16


def test_seed_deviation_matters():
    steady, unsteady = (
        detection(known(World(0.05, deviation, 0.5)), 2000, 3).difference
        for deviation in (0.005, 0.02)
    )
    assert 2 * steady < unsteady


def test_one_seed_and_few_rows_detect_nothing():
    one = detection(default_pilot(2), 345, 1)
    assert one.difference is None
    assert one.further > 0
    few = detection(default_pilot(2), 9, 3)
    assert few.difference is None
    assert few.further is None


def test_default_pilot_has_the_stated_accuracy():
    binary, several = default_pilot(2), default_pilot(5)
    accuracy = 1 / (1 + np.exp(-np.abs(binary.scores)))
    assert accuracy.mean() == pytest.approx(0.85, abs=0.002)
    assert (1 / (1 + np.exp(-several.scores))).mean() == pytest.approx(0.85, abs=0.002)
    assert detection(several, 2000, 5).difference > 0


def test_pilot_recovers_what_it_was_drawn_from():
    world = World(ece=0.10, seed_deviation=0.02, row_noise=0.5)
    pilots = [
        pilot_of([world.pilot(np.random.default_rng([1, k]), 3000, 5)], "drawn") for k in range(12)
    ]
    assert np.mean([pilot.ece for pilot in pilots]) == pytest.approx(0.10, abs=0.015)
    assert np.mean([pilot.row_noise for pilot in pilots]) == pytest.approx(0.5, abs=0.1)
    beyond = np.mean([pilot.seed_variance - pilot.own_variance for pilot in pilots])
    assert np.sqrt(beyond) == pytest.approx(0.02, rel=0.35)
    spreads = [pilot.scores.std() for pilot in pilots]
    assert np.mean(spreads) == pytest.approx(world.spread, rel=0.1)
    assert all(pilot.overconfident for pilot in pilots)
    assert {pilot.degrees_of_freedom for pilot in pilots} == {4}


def test_underconfident_pilot():
    rng = np.random.default_rng(2)
    t, y = WORLD.rows(rng, 2000)
    arm = []
    for _ in range(3):
        z = 0.4 * (t + 0.3 * rng.normal(size=2000))
        logits = np.stack([np.zeros(2000), z], axis=1)
        arm.append(Predictions(logits.astype(np.float32), y.astype(np.int64)))
    pilot = pilot_of([arm], "underconfident")
    assert not pilot.overconfident
    assert 0 < detection(pilot, 2000, 3).difference < 0.2


def test_what_seeds_do_to_all_arms_alike_cancels():
    """Arms whose seeds share their effect are compared more precisely than arms that do not."""
    world, rng = World(ece=0.10, seed_deviation=0.03, row_noise=0.3), np.random.default_rng(3)
    t, y = world.rows(rng, 3000)

    def arm(offsets):
        return [
            Predictions(
                np.stack(
                    [np.zeros(3000), np.exp(0.7 + o) * (t + 0.1 * rng.normal(size=3000))], axis=1
                ).astype(np.float32),
                y.astype(np.int64),
            )
            for o in offsets
        ]

    shared = 0.4 * rng.normal(size=5)
    alike = pilot_of([arm(shared) for _ in range(3)], "")
    different = pilot_of([arm(0.4 * rng.normal(size=5)) for _ in range(3)], "")
    assert alike.degrees_of_freedom == 8
    assert alike.seed_variance < different.seed_variance / 10


@pytest.mark.parametrize("classes", [2, 4])
def test_seeds_that_do_not_vary_are_not_taken_for_certain(classes):
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(200, classes)).astype(np.float32)
    same = Predictions(logits, logits.argmax(axis=1))  # and separable
    for seeds in ([same], [same, same, same]):
        pilot = pilot_of([seeds], "stored")
        assert pilot.seed_variance == simulated_power.DEFAULT_SEED_DEVIATION**2
        assert "assumed" in pilot.source
        assert np.isfinite(pilot.scores).all()
        assert detection(pilot, 200, 3).seeds == 3


def test_few_pilot_seeds_promise_less():
    pilots = [
        Pilot(known(WORLD).scores, 2, 0.05, 0.02**2, 0.5, "", degrees_of_freedom=degrees)
        for degrees in (2, 14, None)
    ]
    deviations = [pilot.seed_deviation(3) for pilot in pilots]
    assert deviations[0] > deviations[1] > deviations[2] == pytest.approx(0.02)
