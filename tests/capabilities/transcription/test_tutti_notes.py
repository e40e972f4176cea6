import pytest
import torch

from tutti.audio.log_frequency import NOTES_FRONT_END
from tutti.capabilities.transcription.families import FAMILIES
from tutti.capabilities.transcription.models.tutti_notes import NotesNet, NotesNetConfig
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.nets.folding import fold_batch_norms

SMALL = NotesNetConfig(stem=4, column=4, width=8, blocks=2, spectrum_width=8, spectrum_blocks=1)


@pytest.fixture
def network() -> NotesNet:
    torch.manual_seed(0)
    network = NotesNet(SMALL)
    for module in network.modules():  # as if trained, so that folding has something to fold
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


def test_shapes(network: NotesNet) -> None:
    out = network(torch.rand(2, 2, 20, NOTES_FRONT_END.bins))
    assert out.onset.shape == out.frame.shape == out.offset.shape == (2, 20, 88)
    assert out.velocity.shape == (2, 10, 88)
    assert out.family.shape == (2, len(FAMILIES), 10, 88)
    assert out.drum_onset.shape == out.drum_velocity.shape == (2, 20, len(DRUM_CLASSES))


def test_folding_batch_norms_changes_no_answer(network: NotesNet) -> None:
    frames = torch.rand(1, 2, 40, NOTES_FRONT_END.bins)
    with torch.no_grad():
        before = network(frames)
        after = fold_batch_norms(network)(frames)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    for one, other in zip(before, after, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_no_answer_depends_on_more_than_the_stated_reach(network: NotesNet) -> None:
    reach = SMALL.reach_frames
    frames = torch.rand(1, 2, 4 * reach, NOTES_FRONT_END.bins)
    changed = frames.clone()
    changed[:, :, 3 * reach :] = 0.0
    before, after = network(frames), network(changed)
    safe = 2 * reach
    torch.testing.assert_close(before.onset[:, :safe], after.onset[:, :safe], atol=1e-6, rtol=0)
    torch.testing.assert_close(before.drum_onset[:, :safe], after.drum_onset[:, :safe], atol=1e-6, rtol=0)
    assert not torch.allclose(before.onset[:, 3 * reach - 2], after.onset[:, 3 * reach - 2], atol=1e-6)


def test_an_untrained_network_hears_next_to_nothing() -> None:
    torch.manual_seed(0)
    out = NotesNet(NotesNetConfig())(torch.rand(1, 2, 64, NOTES_FRONT_END.bins))
    for logits in (out.onset, out.offset, out.drum_onset):
        assert float(logits.detach().sigmoid().mean(dim=(0, 1)).max()) < 0.2
