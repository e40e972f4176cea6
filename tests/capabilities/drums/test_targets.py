import numpy as np
import pytest
import torch

from tutti.capabilities.drums.decode import FAMILIES, Answers, Thresholds, decode_hits
from tutti.capabilities.drums.models.tutti_drums import DrumsPredictions
from tutti.capabilities.drums.targets import INAUDIBLE_DB, MASKED_DB, losses, targets_of
from tutti.datasets import drum_scenes
from tutti.music.drum_kit import DRUM_CLASSES

KICK, CRASH = DRUM_CLASSES.index("kick"), DRUM_CLASSES.index("crash")


def hit(time_s: float, instrument: str, velocity: int, level_db: float, audible_db: float = 0.0) -> drum_scenes.Hit:
    return drum_scenes.Hit(time_s, instrument, velocity, level_db, (-60.0, audible_db, -60.0))


def test_a_stroke_is_asked_for_where_it_lies() -> None:
    targets = targets_of([hit(0.2, "kick", 64, 0.0)], 40, 0.01)
    assert targets.onset[19:22, KICK] == pytest.approx([2 / 3, 1.0, 2 / 3])
    assert targets.onset.sum() == pytest.approx(1 + 4 / 3)
    assert targets.velocity[20, KICK] == pytest.approx(64 / 127)
    assert np.count_nonzero(targets.velocity) == 1
    assert targets.counts.all()


def test_decoding_targets_gives_the_strokes_back() -> None:
    rng = np.random.default_rng(0)
    times_s = 0.05 + np.arange(30) * 0.1 + rng.uniform(0, 0.02, 30)
    hits = [hit(float(t), DRUM_CLASSES[i % 14], 20 + 3 * i, 0.0) for i, t in enumerate(times_s)]
    targets = targets_of(hits, 320, 0.01)
    found = decode_hits(Answers(targets.onset, targets.velocity), Thresholds(*[0.5] * 5), 0.01)
    assert [(h.instrument, h.velocity) for h in found] == [(h.instrument, h.velocity) for h in hits]
    assert [h.time_s for h in found] == pytest.approx(times_s, abs=0.005)


def test_what_cannot_be_heard_neither_counts_nor_is_asked_for() -> None:
    targets = targets_of([hit(0.2, "kick", 20, INAUDIBLE_DB - 1)], 40, 0.01)
    assert not targets.onset.any()
    assert np.flatnonzero(targets.counts[:, KICK] == 0).tolist() == list(range(17, 24))
    loud = targets_of([hit(0.2, "kick", 20, INAUDIBLE_DB - 1), hit(0.21, "kick", 90, 0.0)], 40, 0.01)
    assert loud.counts[21, KICK] == 1
    assert loud.onset[21, KICK] == 1


def test_a_covered_stroke_is_not_asked_for_of_its_family_or_is_not_there_at_all() -> None:
    covered = targets_of([hit(0.2, "crash", 90, 0.0, MASKED_DB - 1)], 40, 0.01)
    assert not covered.onset.any()
    uncounted = covered.counts[20] == 0
    assert {name for name, is_out in zip(DRUM_CLASSES, uncounted, strict=True) if is_out} == set(FAMILIES["cymbal"])
    ride = hit(0.2, "ride", 90, 0.0)
    for hits in ([hit(0.2, "crash", 90, 0.0, MASKED_DB - 1), ride], [ride, hit(0.2, "crash", 90, 0.0, MASKED_DB - 1)]):
        beside = targets_of(hits, 40, 0.01)
        assert beside.onset[20, DRUM_CLASSES.index("ride")] == beside.counts[20, DRUM_CLASSES.index("ride")] == 1
    gone = targets_of([hit(0.2, "crash", 90, 0.0, -30.0)], 40, 0.01)
    assert not gone.onset.any()
    assert gone.counts.all()


def test_strokes_beyond_the_ends_teach_only_what_reaches_in() -> None:
    targets = targets_of(
        [hit(-0.01, "kick", 90, 0.0), hit(0.4, "crash", 90, 0.0), hit(5.0, "crash", 90, -50.0)], 40, 0.01
    )
    assert targets.onset[0, KICK] == pytest.approx(2 / 3)
    assert targets.onset[39, CRASH] == pytest.approx(2 / 3)
    assert not targets.velocity.any()
    assert targets.counts.all()


def test_right_answers_cost_less_and_the_edges_nothing() -> None:
    targets = targets_of([hit(0.2, "kick", 64, 0.0), hit(0.01, "crash", 64, 0.0)], 40, 0.01)
    batch = {name: torch.from_numpy(getattr(targets, name))[None] for name in ("onset", "velocity", "counts")}

    def cost(onset: torch.Tensor, velocity: torch.Tensor) -> float:
        return float(sum(losses(DrumsPredictions(onset, velocity), batch, 5).values()))

    right = torch.logit(batch["onset"].clamp(0.01, 0.99))
    exact = cost(right, batch["velocity"])
    assert cost(torch.full_like(right, -5.0), batch["velocity"]) > 2 * exact
    assert cost(right, batch["velocity"] + 0.3) > exact
    early = right.clone()
    early[:, :4] = 8.0
    assert cost(early, batch["velocity"]) == pytest.approx(exact)


def test_a_batch_without_strokes_has_a_cost_too() -> None:
    empty = targets_of([], 40, 0.01)
    batch = {name: torch.from_numpy(getattr(empty, name))[None] for name in ("onset", "velocity", "counts")}
    parts = losses(DrumsPredictions(torch.zeros(1, 40, 14), torch.zeros(1, 40, 14)), batch, 5)
    assert torch.isfinite(parts["onset"])
    assert float(parts["velocity"]) == 0
