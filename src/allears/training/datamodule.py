"""Batches for the trainer, from shards: a list of micro-batches for each update, read ahead by a thread."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from pytorch_lightning import LightningDataModule

from allears.errors import DamageError
from allears.shards.batches import Cursor, HostBatch, iterate
from allears.shards.corpora import CorporaReader
from allears.shards.plan import PlanSpec
from allears.shards.remote import Remote, Traffic
from allears.training.frame_labels import FrameLabels
from allears.training.plan import TrainingData
from allears.training.ranks import Ranks
from allears.types import AudioBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The micro-batches of one update that this rank hears; `samples` and `clips` are those that all ranks should hear.

    `skipped` says of each damaged clip of this rank what is wrong with it, `skipped_samples` how long the crops were.
    """

    micros: list[AudioBatch]
    samples: int
    clips: int
    skipped: tuple[str, ...]
    skipped_samples: int


class Updates:
    """This rank's updates from where `begin` stands to `last`: iterable and sized, as Lightning likes it.

    `cursor` is where training stands after the update that was handed out last, `waited_s` what the model waited,
    `traffic` what was asked of `remotes`, the copies from which the clips are read: one a corpus, if any. A damaged
    clip is a DamageError, or, with `skip_damaged`, left out.
    """

    def __init__(
        self, data: TrainingData, labels: FrameLabels | None, begin: Cursor, last: int, ranks: Ranks, threads: int,
        remotes: Sequence[Remote] = (), *, skip_damaged: bool = False,
    ) -> None:  # fmt: skip
        self.data = data
        self.labels = labels
        self.begin = begin
        self.last = last
        self.ranks = ranks
        self.threads = threads
        self.remotes = remotes
        self.traffic = Traffic()
        self.skip_damaged = skip_damaged
        self.cursor = begin
        self.waited_s = 0.0

    def __len__(self) -> int:
        return self.last - self.begin.step

    def __iter__(self) -> Iterator[Update]:
        spec = self.data.plan
        corpora = self.data.corpora
        indexes = [one.index for one in corpora]
        with CorporaReader([one.shard_set for one in corpora], indexes, self.remotes) as reader:
            batches = iterate(
                reader, spec, self.data.clips.weights_N, begin=self.begin, last_step=self.last,
                rank=self.ranks.rank, world=self.ranks.world, threads=self.threads,
                skip_damaged=self.skip_damaged,
            )  # fmt: skip
            for _ in range(len(self)):
                began = time.perf_counter()
                hosts = _next(batches, spec.group // self.ranks.world)
                micros = [to_audio_batch(host, self.labels, spec) for host in hosts if host.keys]
                self.waited_s += time.perf_counter() - began
                self.traffic = reader.traffic()
                self.cursor = hosts[-1].after
                yield Update(
                    micros=micros, samples=hosts[-1].step_samples, clips=hosts[-1].step_clips,
                    skipped=tuple(sentence for host in hosts for sentence in host.skipped),
                    skipped_samples=sum(host.skipped_samples for host in hosts),
                )  # fmt: skip


class PretrainData(LightningDataModule):
    """Training updates, and the same few batches of dev speakers every time."""

    def __init__(self, updates: Updates, dev_batches: int) -> None:
        super().__init__()
        self.data = updates.data
        self.labels = updates.labels
        self.updates = updates
        self.dev_batches = dev_batches
        self.dev_skipped: tuple[str, ...] = ()  # when they were read last

    def train_dataloader(self) -> Updates:
        """The updates that are left."""
        return self.updates

    def dev(self) -> Iterator[AudioBatch]:
        """At most `dev_batches` micro-batches of dev speakers of the run's own corpus, each with the crops of epoch 0;
        none without them.
        """
        self.dev_skipped = ()
        main = self.data.main
        weights_N = main.dev_weights_N
        spec = replace(self.data.plan, group=1)
        if not self.dev_batches or not ((weights_N > 0) & (main.index.samples_N >= spec.min_samples)).any():
            return
        with CorporaReader([main.shard_set], [main.index], self.updates.remotes[:1]) as reader:
            batches = iterate(
                reader, spec, weights_N, begin=Cursor(), last_step=self.dev_batches,
                skip_damaged=self.updates.skip_damaged,
            )  # fmt: skip
            for batch in batches:
                if batch.epoch:
                    return
                self.dev_skipped += batch.skipped
                if batch.keys:
                    yield to_audio_batch(batch, self.labels, spec)

    def transfer_batch_to_device(self, batch: Update, device: torch.device, dataloader_idx: int) -> Update:
        """All micro-batches of an update (called by Lightning)."""
        del dataloader_idx
        return replace(batch, micros=[to_device(micro, device) for micro in batch.micros])


def _next(batches: Iterator[HostBatch], count: int) -> list[HostBatch]:
    try:
        return list(itertools.islice(batches, count))
    except DamageError as error:
        raise DamageError(
            f"{error}. Or let the training go on without such clips, and count them: pretrain.on_damage=skip"
        ) from error


def to_audio_batch(batch: HostBatch, labels: FrameLabels | None, spec: PlanSpec) -> AudioBatch:
    """Tensors of a micro-batch, with the frame labels of its crops where there are any."""
    units = None
    if labels is not None:
        units = torch.from_numpy(
            labels.of(batch.place_B, batch.starts_B // spec.start_multiple, batch.audio_BT.shape[1])
        )
    return AudioBatch(
        keys=batch.keys,
        audio_BT=torch.from_numpy(batch.audio_BT),
        samples_B=torch.from_numpy(batch.samples_B),
        starts_B=torch.from_numpy(batch.starts_B),
        before=tuple(batch.before_B.tolist()),
        epoch=batch.epoch,
        step=batch.step,
        micro=batch.micro,
        units_BU=units,
    )


def to_device(batch: AudioBatch, device: torch.device) -> AudioBatch:
    """The same batch on `device`; copies to a GPU do not wait."""
    if device.type == "cpu":
        return batch
    return replace(
        batch,
        audio_BT=batch.audio_BT.pin_memory().to(device, non_blocking=True),
        samples_B=batch.samples_B.to(device, non_blocking=True),
        starts_B=batch.starts_B.to(device, non_blocking=True),
        units_BU=None if batch.units_BU is None else batch.units_BU.to(device, non_blocking=True),
    )
