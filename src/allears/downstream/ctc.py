"""Characters by connectionist temporal classification (Graves et al. 2006), decoded greedily."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from allears.downstream.task import TaskModel
from allears.evaluation.error_rates import character_errors
from allears.models.heads import CTCHead
from allears.params.task import CTCConfig, CTCHeadKind
from allears.text.characters import BLANK, CharacterTokenizer
from allears.text.ctc import greedy_collapse
from allears.types import Padded


class CTC(TaskModel[str]):
    """Log-probabilities of characters per frame; the loss is summed over clips and counted in characters."""

    config: CTCConfig

    @cached_property
    def tokenizer(self) -> CharacterTokenizer:
        """Characters to numbers and back."""
        return CharacterTokenizer(self.config.alphabet)

    def new_head(self, width: int, seed: int) -> CTCHead:
        """Return the head that the settings name."""
        return CTCHead(width, self.tokenizer.size, self.config.head, self.config.hidden, seed)

    @classmethod
    def configure(cls, target: str, classes: Sequence[str], references: Sequence[str], head: str) -> CTCConfig:
        """Return the settings with the characters of the training texts."""
        del target, classes
        return CTCConfig(alphabet=CharacterTokenizer.fit(references).alphabet, head=cast("CTCHeadKind", head))

    def card(self) -> str:
        """Return which characters it writes."""
        return f"It writes what is said, in lower case, with these characters: `{''.join(self.config.alphabet)}`."

    def encode_target(self, reference: str) -> list[int]:
        """Return one id per character."""
        return self.tokenizer.encode(reference)

    def loss(self, inputs: Padded, targets: list[list[int]]) -> tuple[Tensor, int]:
        """Return summed negative log-likelihood and characters; a clip too short for its text adds nothing."""
        scores_BFV, frames_B = self.outputs(inputs)
        lengths = torch.tensor([len(target) for target in targets])
        labels = torch.tensor([label for target in targets for label in target])
        known = inputs.host_lengths if self.encoder is None or self.encoder.stride == 1 else None
        loss = functional.ctc_loss(
            scores_BFV.transpose(0, 1),
            labels.to(scores_BFV.device, non_blocking=True),
            frames_B.cpu() if known is None else torch.tensor(known),
            lengths,
            blank=BLANK,
            reduction="sum",
            zero_infinity=True,
        )
        return loss, int(lengths.sum())

    @torch.inference_mode()
    def predict(self, inputs: Padded) -> list[str]:
        """Return the text of each clip's best path."""
        return self.read(*self.outputs(inputs))

    def read(self, scores_BFV: Tensor, frames_B: Tensor) -> list[str]:
        """Return the text of the best path through scores [B, F, V]."""
        best_BF = scores_BFV.argmax(-1).tolist()
        return [
            self.tokenizer.decode(greedy_collapse(path[:frames]))
            for path, frames in zip(best_BF, frames_B.tolist(), strict=True)
        ]

    def errors(self, reference: str, prediction: str) -> tuple[int, int]:
        """Return edits and length, in characters."""
        return character_errors(reference, prediction)
