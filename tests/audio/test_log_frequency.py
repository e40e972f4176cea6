from dataclasses import replace

import numpy as np
import pytest
import torch

from tutti.audio.log_frequency import NOTES_FRONT_END as FRONT_END

RATE_HZ = FRONT_END.sample_rate_hz


def tone(frequency_hz: float, amplitude: float = 0.5, frames: int = 40) -> torch.Tensor:
    count = 2 * FRONT_END.reach + (frames - 1) * FRONT_END.hop
    return (amplitude * torch.sin(2 * torch.pi * frequency_hz * torch.arange(count) / RATE_HZ))[None]


def test_shape_range_and_floor() -> None:
    frames = FRONT_END(tone(440.0))
    assert frames.shape == (1, 2, 40, FRONT_END.bins)
    assert float(frames.min()) >= 0
    assert float(frames.max()) <= 2
    assert not FRONT_END(torch.zeros(1, 2 * FRONT_END.reach)).any()


@pytest.mark.parametrize("pitch", [33, 45, 57, 69, 81, 93, 105])
def test_a_tone_peaks_in_its_own_bin_at_its_own_level(pitch: int) -> None:
    frames = FRONT_END(tone(440 * 2 ** ((pitch - 69) / 12)))[0, 0]
    heard = FRONT_END.pitches()[frames.mean(dim=0).argmax()]
    assert heard == pytest.approx(pitch, abs=0.34 if pitch >= 45 else 1.1)
    if pitch <= 81:  # higher triangles span several transform bins and average a tone with its quiet neighbours
        level_db = float(frames.max()) * 50 - 100
        assert level_db == pytest.approx(20 * np.log10(0.5), abs=2.0)


def test_halving_the_level_takes_6_db_everywhere() -> None:
    loud, soft = FRONT_END(tone(440.0, 0.5))[0, 0, :, 140:150], FRONT_END(tone(440.0, 0.25))[0, 0, :, 140:150]
    assert torch.allclose((loud - soft) * 50, torch.full_like(loud, 6.02), atol=0.05)


def test_an_attack_is_seen_in_its_own_frame() -> None:
    samples = torch.zeros(1, 2 * FRONT_END.reach + 60 * FRONT_END.hop)
    samples[0, FRONT_END.reach + 30 * FRONT_END.hop] = 1.0
    energy = FRONT_END(samples)[0, 1].sum(dim=-1)
    assert int(energy.argmax()) == 30


def test_frames_depend_only_on_samples_within_reach() -> None:
    samples = torch.randn(1, 4 * FRONT_END.reach, generator=torch.Generator().manual_seed(0)) * 0.1
    shifted = FRONT_END(samples[:, FRONT_END.hop :])
    assert torch.allclose(FRONT_END(samples)[:, :, 1 : 1 + shifted.shape[2]], shifted, atol=1e-4)


def test_use_in_inference_mode_first_does_not_forbid_training() -> None:
    from tutti.audio import log_frequency

    log_frequency._TRIANGLES.clear()
    with torch.inference_mode():
        FRONT_END(tone(440.0))
    samples = tone(440.0).requires_grad_()
    FRONT_END(samples).sum().backward()
    assert samples.grad is not None


def test_decimation_changes_no_bin_audibly() -> None:
    undecimated = tuple(replace(resolution, decimation=1) for resolution in FRONT_END.pitch_channel)
    plain = replace(FRONT_END, pitch_channel=undecimated)
    extra = FRONT_END.reach - plain.reach
    samples = torch.randn(1, 2 * FRONT_END.reach + 30 * FRONT_END.hop, generator=torch.Generator().manual_seed(1)) * 0.1
    difference_db = (FRONT_END(samples) - plain(samples[:, extra:-extra])).abs() * 50
    assert float(difference_db.max()) < 0.05


def test_what_decimation_would_fold_down_is_not_heard() -> None:
    folds_onto_a4 = tone(RATE_HZ / 8 - 440.0)
    heard = FRONT_END(folds_onto_a4)[0, 0].max(dim=0).values[: (80 - 21) * 3]
    assert float(heard.max()) * 50 < 10.0  # dB above the floor of -100 dB
