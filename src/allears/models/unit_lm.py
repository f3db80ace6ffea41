"""A decoder-only language model of units, as transformers has it, with its tokenizer: `<u17>` is unit 17.

Imports transformers, which takes seconds: import it where such a model is built.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from tokenizers.processors import TemplateProcessing
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

START, PADDING = "<s>", "<pad>"


class UnitLM(LlamaForCausalLM):  # type: ignore[misc]
    """A Llama over units; `save_pretrained` writes the tokenizer too."""

    def save_pretrained(self, save_directory: Any, *arguments: Any, **options: Any) -> None:
        """Write model and tokenizer as `AutoModelForCausalLM` and `AutoTokenizer` read them."""
        super().save_pretrained(save_directory, *arguments, **options)
        unit_tokenizer(self.config.vocab_size - 2).save_pretrained(Path(save_directory))


def unit_lm(units: int, width: int, blocks: int, heads: int, ffn_width: int, context: int, seed: int) -> UnitLM:
    """Return a new model over `units` units, a start and a padding token; its weights depend on `seed` alone."""
    config = LlamaConfig(
        vocab_size=units + 2, hidden_size=width, num_hidden_layers=blocks, num_attention_heads=heads,
        num_key_value_heads=heads, intermediate_size=ffn_width, max_position_embeddings=context, bos_token_id=units,
        pad_token_id=units + 1, eos_token_id=None, use_cache=True, attn_implementation="sdpa",
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UnitLM(config)


def unit_tokenizer(units: int) -> PreTrainedTokenizerFast:
    """Return the tokenizer of `<u0><u1>…`: one token per unit, a start token first."""
    vocabulary = {f"<u{unit}>": unit for unit in range(units)} | {START: units, PADDING: units + 1}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=PADDING))
    tokenizer.pre_tokenizer = Split(pattern=">", behavior="merged_with_previous")
    tokenizer.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, units)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=START, pad_token=PADDING)
