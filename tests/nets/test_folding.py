import torch
from torch import nn

from tutti.capabilities.drums.models.tutti_drums import DrumsNet, DrumsNetConfig
from tutti.nets.folding import fold_batch_norms


def _stirred(network: nn.Module) -> nn.Module:
    """With batch norms that have seen something."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean):
                values.data.normal_(0.3, 1.0, generator=generator)
            module.running_var.uniform_(0.2, 3.0, generator=generator)  # type: ignore[union-attr]
    return network.eval()


def test_the_drums_network_answers_the_same_without_batch_norms() -> None:
    torch.manual_seed(0)
    network = _stirred(DrumsNet(DrumsNetConfig(stem=2, column=2, width=4, dilations=(1, 2), kernel=3)))
    levels = torch.rand(2, 2, 40, 85) * 2
    with torch.inference_mode():
        before = network(levels)
        after = fold_batch_norms(network)(levels)
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in network.modules())
    assert float(before.onset.std()) > 1e-3
    for one, other in zip(before, after, strict=True):
        assert torch.allclose(one, other, atol=1e-4, rtol=1e-4)


def test_a_batch_norm_with_no_convolution_before_it_stays() -> None:
    network = nn.Sequential(nn.BatchNorm1d(3), nn.ReLU(), nn.Conv1d(3, 3, 1), nn.ReLU(), nn.BatchNorm1d(3))
    fold_batch_norms(_stirred(network))
    assert [type(module).__name__ for module in network] == ["BatchNorm1d", "ReLU", "Conv1d", "ReLU", "BatchNorm1d"]
    assert not network.training
