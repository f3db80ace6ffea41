"""Characters by connectionist temporal classification (Graves et al. 2006), decoded greedily."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from allears.downstream.task import TaskModel
from allears.evaluation.error_rates import character_errors
from allears.models.audio_encoder import AudioEncoder
from allears.models.heads import CTCHead
from allears.params.task import CTCConfig
from allears.text.characters import BLANK, CharacterTokenizer
from allears.text.ctc import greedy_collapse


class CTC(TaskModel):
    """Log-probabilities of characters a frame; the loss is summed over clips and counted in characters."""

    def __init__(self, config: CTCConfig, width: int, encoder: AudioEncoder | None = None, seed: int = 0) -> None:
        super().__init__(encoder)
        self.config = config
        self.tokenizer = CharacterTokenizer(config.alphabet)
        self.head = CTCHead(width, self.tokenizer.size, config.head, config.hidden, seed)

    def encode_target(self, reference: str) -> list[int]:
        """One id a character."""
        return self.tokenizer.encode(reference)

    def loss(self, inputs_BFC: Tensor, frames_B: Tensor, targets: list[list[int]]) -> tuple[Tensor, int]:
        """Summed negative log-likelihood and characters; a clip too short for its text adds nothing."""
        scores_BFV = self(inputs_BFC, frames_B)
        lengths = torch.tensor([len(target) for target in targets])
        labels = torch.tensor([label for target in targets for label in target])
        loss = functional.ctc_loss(
            scores_BFV.transpose(0, 1),
            labels.to(scores_BFV.device),
            frames_B.cpu(),
            lengths,
            blank=BLANK,
            reduction="sum",
            zero_infinity=True,
        )
        return loss, int(lengths.sum())

    @torch.inference_mode()
    def predict(self, inputs_BFC: Tensor, frames_B: Tensor) -> list[str]:
        """The text of each clip's best path."""
        return self.read(self(inputs_BFC, frames_B), frames_B)

    def read(self, scores_BFV: Tensor, frames_B: Tensor) -> list[str]:
        """The text of the best path through scores [B, F, V]."""
        best_BF = scores_BFV.argmax(-1).tolist()
        return [
            self.tokenizer.decode(greedy_collapse(path[:frames]))
            for path, frames in zip(best_BF, frames_B.tolist(), strict=True)
        ]

    def errors(self, reference: str, prediction: str) -> tuple[int, int]:
        """Edits and length, in characters."""
        return character_errors(reference, prediction)
