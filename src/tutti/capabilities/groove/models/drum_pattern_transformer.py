"""`DrumPatternTransformer` checkpoints: GPT-2 (Radford et al., 2019) with a style added to every token.

Our own code of the network of fabiendostie/MidiDrumiGen's checkpoints: `{"model_state_dict": …, "metadata": …}` in a
`.pt` file, with `vocab_size`, `n_styles`, `n_positions`, `n_embd`, `n_layer` and `n_head` in the metadata. Only tensors
and plain containers are read. Tokens are those of the tokenizer it was trained with, which the user brings.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tutti.capabilities.groove.stepping import stepping_dtype
from tutti.errors import OptionError, WeightsError, WeightsMissingError
from tutti.nets.causal import Cache, CausalBlocks, Stepper
from tutti.nets.packing import Linear, packed_linear
from tutti.weights.opening import Form, compare

__all__ = ["DrumPatternTransformer", "DrumPatternTransformerConfig", "open_checkpoint"]

_STYLE_WIDTH = 128


@dataclass(frozen=True, slots=True)
class DrumPatternTransformerConfig:
    vocab_size: int
    n_styles: int
    n_positions: int = 2048
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12

    @property
    def max_length(self) -> int:
        """Tokens that one pass sees."""
        return self.n_positions


class NothingRecalled:
    """Contexts for a network that takes none."""

    def advance(self, token: int) -> tuple[int, ...]:  # noqa: ARG002
        return (0,)


class DrumPatternTransformer(nn.Module):
    """Token ids (batch, tokens) to logits (batch, tokens, vocabulary), in the style `style_id`."""

    def __init__(self, config: DrumPatternTransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.style_id = 0
        self._packed: tuple[Stepper, Linear] | None = None
        forget = self.register_load_state_dict_post_hook
        forget(lambda network, _keys: setattr(network, "_packed", None))  # type: ignore[no-untyped-call]
        self.embedding = nn.Embedding(config.vocab_size, config.n_embd)
        self.position = nn.Embedding(config.n_positions, config.n_embd)
        self.style = nn.Embedding(config.n_styles, _STYLE_WIDTH)
        self.style_projection = nn.Linear(_STYLE_WIDTH, config.n_embd)
        self.layers = CausalBlocks(
            config.n_layer, config.n_embd, config.n_head, 4 * config.n_embd, dropout=0.1, rotary=False
        )
        self.ends = np.ones(config.vocab_size, bool)

    def forward(self, ids: Tensor, contexts: Tensor | None = None, cache: Cache | None = None) -> Tensor:  # noqa: ARG002
        """`contexts` say nothing to this network."""
        positions = torch.arange(ids.shape[1], device=ids.device)
        return F.linear(self.layers(self._told(ids, positions), cache), self.embedding.weight)

    def step(self, events: Tensor, contexts: Tensor, cache: Cache) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """The same for one more token of each row, an event of its own: (rows, 1) to logits (rows, vocabulary), and
        what was heard (rows, width)."""
        stepper, head = self._ready(events.device)
        heard = stepper.step(self._told(events[:, 0], torch.tensor(cache.used, device=events.device)), cache)
        return head(heard), heard

    def in_style(self, style_id: int) -> DrumPatternTransformer:
        """The same weights in another style; this network may be in use in its own. Raises OptionError."""
        if not 0 <= style_id < self.config.n_styles:
            raise OptionError(f"style_id is 0-{self.config.n_styles - 1}; got {style_id}.")
        self._ready(self.embedding.weight.device)  # once for all styles
        other = copy(self)
        other.style_id = style_id
        return other

    def _ready(self, device: torch.device) -> tuple[Stepper, Linear]:
        if self._packed is None or self._packed[0].device != device:  # of the weights as they are now
            stepper = Stepper(self.layers, self.config.max_length, stepping_dtype(device))
            self._packed = stepper, packed_linear(self.embedding.weight)
        return self._packed

    def _told(self, ids: Tensor, positions: Tensor) -> Tensor:
        style: Tensor = self.style_projection(self.style.weight[self.style_id])
        return self.embedding(ids) + style + self.position(positions)  # type: ignore[no-any-return]

    def recall(self) -> NothingRecalled:
        """What gives the contexts of one row."""
        return NothingRecalled()


_NAMES = {
    "transformer.transformer.wte.weight": "embedding.weight",
    "transformer.transformer.wpe.weight": "position.weight",
    "transformer.transformer.ln_f": "layers.norm",
    "style_embeddings.weight": "style.weight",
    "style_projection": "style_projection",
}
_PARTS = {
    "ln_1": "attention_norm",
    "attn.c_attn": "attention_in",
    "attn.c_proj": "attention_out",
    "ln_2": "dense_norm",
    "mlp.c_fc": "dense_in",
    "mlp.c_proj": "dense_out",
}
_IN_BLOCK = re.compile(
    r"transformer\.transformer\.h\.(\d+)\.(ln_1|ln_2|attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.(\w+)"
)


def open_checkpoint(path: Path) -> tuple[DrumPatternTransformer, dict[str, Any]]:
    """The network, on the CPU, and its metadata, among them `vocab_size` and `max_length`.

    Raises WeightsMissingError, WeightsError when it is no such file, StrictLoadingError naming what is missing, extra
    or of another shape.
    """
    if not path.is_file():
        raise WeightsMissingError(f"There is no checkpoint at {path}. Check the path; nothing stands in for it.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the unpickler trips over
        raise WeightsError(f"{path} holds no weights that can be read safely ({type(error).__name__}).") from error
    metadata = content.get("metadata") if isinstance(content, dict) else None
    tensors = content.get("model_state_dict") if isinstance(content, dict) else None
    if (
        not isinstance(metadata, dict)
        or not isinstance(tensors, dict)
        or not all(isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items())
    ):
        raise WeightsError(f"{path} is no DrumPatternTransformer checkpoint: it lacks model_state_dict or metadata.")
    known = DrumPatternTransformerConfig.__dataclass_fields__
    try:
        config = DrumPatternTransformerConfig(**{name: int(metadata[name]) for name in known if name in metadata})
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise WeightsError(f"The metadata of {path} do not say what network it is: {error}.") from error
    is_odd = min(getattr(config, name) for name in known) < 1 or config.n_embd % (2 * config.n_head)
    if is_odd or config.n_layer > len(tensors):
        raise WeightsError(f"The metadata of {path} describe no network that can be built: {config}.")
    head: Tensor | None = tensors.get("transformer.lm_head.weight")
    tokens: Tensor | None = tensors.get("transformer.transformer.wte.weight")
    if head is not None and tokens is not None and not torch.equal(head, tokens):
        raise WeightsError(f"{path} has a head that is not its table of tokens; this network has none of its own.")
    named = dict(_named(name, tensor) for name, tensor in tensors.items() if not _is_buffer(name))
    table = named.get("embedding.weight")
    if table is None or tuple(table.shape) != (config.vocab_size, config.n_embd):
        raise WeightsError(f"{path} says vocab_size={config.vocab_size}, but has no table of so many tokens.")
    with torch.device("meta"):
        network = DrumPatternTransformer(config)
    forms = {
        name: Form(tuple(tensor.shape), "float" if tensor.is_floating_point() else "integer")
        for name, tensor in named.items()
    }
    compare(network, forms, path.name)  # before there is memory for it
    network.to_empty(device="cpu").load_state_dict(named)
    return network.eval(), {**metadata, "vocab_size": config.vocab_size, "max_length": config.max_length}


def _is_buffer(name: str) -> bool:
    """Masks, which older files hold, and the head, which is the table of tokens."""
    return name.endswith((".attn.bias", ".attn.masked_bias")) or name == "transformer.lm_head.weight"


def _named(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    if found := _IN_BLOCK.fullmatch(name):
        layer, part, kind = found.groups()
        # what GPT-2 calls Conv1D keeps its weights the other way round
        turned = tensor.T.contiguous() if tensor.ndim == 2 else tensor
        return f"layers.blocks.{layer}.{_PARTS[part]}.{kind}", turned
    for theirs, ours in _NAMES.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs), tensor
    return name, tensor
