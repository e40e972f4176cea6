import numpy as np
import pytest
import torch

from tutti.capabilities.drums.decode import Answers, Thresholds, decode_hits
from tutti.capabilities.drums.models.tutti_drums import DrumsPredictions
from tutti.capabilities.drums.targets import INAUDIBLE_DB, losses, targets_of
from tutti.datasets.drum_scenes import Hit
from tutti.music.drum_kit import DRUM_CLASSES

KICK, CRASH = DRUM_CLASSES.index("kick"), DRUM_CLASSES.index("crash")


def test_a_stroke_is_asked_for_where_it_lies() -> None:
    targets = targets_of([Hit(0.2, "kick", 64, 0.0)], 40, 0.01)
    assert targets.onset[19:22, KICK] == pytest.approx([2 / 3, 1.0, 2 / 3])
    assert targets.onset.sum() == pytest.approx(1 + 4 / 3)
    assert targets.velocity[20, KICK] == pytest.approx(64 / 127)
    assert np.count_nonzero(targets.velocity) == 1
    assert targets.counts.all()


def test_decoding_targets_gives_the_strokes_back() -> None:
    rng = np.random.default_rng(0)
    times_s = 0.05 + np.arange(30) * 0.1 + rng.uniform(0, 0.02, 30)
    hits = [Hit(float(t), DRUM_CLASSES[i % 14], 20 + 3 * i, 0.0) for i, t in enumerate(times_s)]
    targets = targets_of(hits, 320, 0.01)
    found = decode_hits(Answers(targets.onset, targets.velocity), Thresholds(*[0.5] * 5), 0.01)
    assert [(hit.instrument, hit.velocity) for hit in found] == [(hit.instrument, hit.velocity) for hit in hits]
    assert [hit.time_s for hit in found] == pytest.approx(times_s, abs=0.005)


def test_what_cannot_be_heard_neither_counts_nor_is_asked_for() -> None:
    targets = targets_of([Hit(0.2, "kick", 20, INAUDIBLE_DB - 1)], 40, 0.01)
    assert not targets.onset.any()
    assert np.flatnonzero(targets.counts[:, KICK] == 0).tolist() == list(range(17, 24))
    loud = targets_of([Hit(0.2, "kick", 20, INAUDIBLE_DB - 1), Hit(0.21, "kick", 90, 0.0)], 40, 0.01)
    assert loud.counts[21, KICK] == 1
    assert loud.onset[21, KICK] == 1


def test_strokes_beyond_the_ends_teach_only_what_reaches_in() -> None:
    targets = targets_of(
        [Hit(-0.01, "kick", 90, 0.0), Hit(0.4, "crash", 90, 0.0), Hit(5.0, "crash", 90, -50.0)], 40, 0.01
    )
    assert targets.onset[0, KICK] == pytest.approx(2 / 3)
    assert targets.onset[39, CRASH] == pytest.approx(2 / 3)
    assert not targets.velocity.any()
    assert targets.counts.all()


def test_right_answers_cost_less_and_the_edges_nothing() -> None:
    targets = targets_of([Hit(0.2, "kick", 64, 0.0), Hit(0.01, "crash", 64, 0.0)], 40, 0.01)
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
