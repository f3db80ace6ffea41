"""Batches for the trainer, from shards: reader threads decode, prepare and pin them ahead of the step."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import IterableDataset

from allears.errors import DamageError, StaleError
from allears.objectives.base import Objective
from allears.params.model import EncoderConfig
from allears.params.spec_pretrain import PretrainSpec
from allears.shards.batches import Cursor, HostBatch, iterate_as
from allears.shards.corpora import CorporaReader, Places
from allears.shards.remote import Remote, Traffic
from allears.training.frame_labels import FrameLabels
from allears.training.plan import TrainingData
from allears.training.ranks import Ranks
from allears.types import Batch, Padded


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """The micro-batches of one update on this rank. `length` and `clips` are those that all ranks should read.

    `skipped` names each damaged clip of this rank and its fault; `counted` float64 [3]: 0, and the clips and length
    that this rank skipped. `after` is where the data stand once the update is done; `capacity`: of a micro-batch.
    """

    micros: list[Batch]
    length: int
    clips: int
    skipped: tuple[str, ...]
    counted: Tensor
    after: Cursor
    capacity: int


@dataclass(frozen=True, kw_only=True)
class Maker:
    """Turns what was read into a batch: only the inputs of the objective, and what it prepares. Runs in threads.

    `filled`: a micro-batch without clips is a batch of empty rows, not None. Several ranks need it: each must run as
    many forward and backward passes as the others, which wait for its gradients (and under FSDP its weights).
    """

    data: TrainingData
    labels: FrameLabels | None
    objective: Objective
    encoder: EncoderConfig
    pinned: bool = False
    filled: bool = False

    def __call__(self, host: HostBatch) -> tuple[HostBatch, Batch | None]:
        """Return the batch with its origin; None where it only pads the last step."""
        if not host.keys:
            return host, self.empty() if self.filled else None
        spec, inputs = self.data.plan, self.objective.config.inputs
        N = int(host.lengths_B.max())
        more = spec.capacity // N - len(host.keys) if spec.buckets else 0
        lengths_B = torch.from_numpy(np.pad(host.lengths_B, (0, more)))
        full = bool((host.lengths_B == N).all())
        batch = Batch(
            keys=host.keys + ("",) * more,
            starts=(*host.starts_B.tolist(), *(0,) * more),
            before=(*host.before_B.tolist(), *(0,) * more),
            epoch=host.epoch,
            step=host.step,
            micro=host.micro,
            audio=None if host.audio_BT is None else Padded(_filled(host.audio_BT, more, 0.0), lengths_B, full),
            units=self._units(self.labels, host, more, N) if self.labels and "units" in inputs else None,
            texts=self._texts(host, more) if "text" in inputs else None,
            labels=self._column(host, "labels", more) if "labels" in inputs else None,
        )
        return host, self._ready(batch)

    def empty(self) -> Batch:
        """Return a batch whose rows are all empty, in the smallest shape of the plan: its loss and count are 0."""
        spec, inputs = self.data.plan, self.objective.config.inputs
        N, rows = spec.min_length, spec.capacity // spec.min_length if spec.buckets else 1
        none_B, columns = torch.zeros(rows, dtype=torch.int64), ("",) * rows
        F = max(1, self.encoder.frames(N)) if self.objective.config.cost == "samples" else N
        units_BF = torch.full((rows, F), -1)
        batch = Batch(
            keys=columns, starts=(0,) * rows, before=(0,) * rows, epoch=0, step=0,
            audio=Padded(torch.zeros(rows, N), none_B, bool(spec.buckets)) if "audio" in inputs else None,
            units=Padded(units_BF, none_B) if "units" in inputs else None,
            texts=columns if "text" in inputs else None, labels=columns if "labels" in inputs else None,
        )  # fmt: skip
        return self._ready(batch)

    def _ready(self, batch: Batch) -> Batch:
        batch = replace(batch, prepared=self.objective.prepare(batch))
        return moved(batch, Tensor.pin_memory) if self.pinned else batch

    def _texts(self, host: HostBatch, more: int) -> tuple[str, ...]:
        """Texts of the clips; their crops, where the plan counts tokens."""
        texts = self._column(host, "texts", more)
        if self.objective.config.cost != "tokens":
            return texts
        crops = zip(texts, host.starts_B.tolist(), host.lengths_B.tolist(), strict=False)
        return (*(text[start : start + length] for text, start, length in crops), *("",) * more)

    def _units(self, labels: FrameLabels, host: HostBatch, more: int, N: int) -> Padded:
        if self.objective.config.cost == "samples":
            first_B, F = host.starts_B // self.encoder.hop_samples, max(1, self.encoder.frames(N))
            lengths = [self.encoder.frames(length) for length in host.lengths_B.tolist()]
        else:
            first_B, F, lengths = host.starts_B, N, host.lengths_B.tolist()
        units_BF = labels.of(host.place_B, first_B, F)
        lengths_B = torch.tensor(lengths + [0] * more)
        return Padded(_filled(units_BF, more, -1), lengths_B, full=min(lengths) == F)

    def _column(self, host: HostBatch, name: str, more: int) -> tuple[str, ...]:
        places = Places([len(one.index.clips) for one in self.data.corpora])
        found = (places.of(place) for place in host.place_B.tolist())
        return (*(getattr(self.data.corpora[corpus], name)[inner] for corpus, inner in found), *("",) * more)


class Updates(IterableDataset[Update]):
    """This rank's updates from `begin` to update `last`.

    `waited_s`: how long the model waited for them; `traffic`: requests to `remotes`, the copies that the clips are read
    from, one per corpus, if any. A damaged clip is a DamageError, or, with `skip_damaged`, left out.
    """

    def __init__(
        self, make: Maker, begin: Cursor, last: int, ranks: Ranks, threads: int, remotes: Sequence[Remote] = (), *,
        skip_damaged: bool = False,
    ) -> None:  # fmt: skip
        self.make = make
        self.begin = begin
        self.last = last
        self.ranks = ranks
        self.threads = threads
        self.remotes = remotes
        self.skip_damaged = skip_damaged
        self.traffic = Traffic()
        self.waited_s = 0.0

    def __iter__(self) -> Iterator[Update]:
        data, ranks = self.make.data, self.ranks
        corpora = data.corpora
        with CorporaReader([one.shard_set for one in corpora], [one.index for one in corpora], self.remotes) as reader:
            batches = iterate_as(
                self.make, reader, data.plan, data.clips.weights_N, begin=self.begin, last_step=self.last,
                rank=ranks.rank, world=ranks.world, threads=self.threads, skip_damaged=self.skip_damaged,
                lengths_N=data.lengths, audio="audio" in self.make.objective.config.inputs,
            )  # fmt: skip
            for _ in range(self.last - self.begin.step):
                began = time.perf_counter()
                found = _next(batches, data.plan.group // ranks.world)
                self.waited_s += time.perf_counter() - began
                self.traffic = reader.traffic()
                hosts = [host for host, _ in found]
                skipped = tuple(sentence for host in hosts for sentence in host.skipped)
                lost = [0.0, len(skipped), sum(host.skipped_length for host in hosts)]
                yield Update(
                    micros=[batch for _, batch in found if batch is not None], length=hosts[-1].step_length,
                    clips=hosts[-1].step_clips, skipped=skipped, counted=torch.tensor(lost, dtype=torch.float64),
                    after=hosts[-1].after, capacity=data.plan.capacity,
                )  # fmt: skip


class PretrainData(LightningDataModule):
    """Training updates, and the same few batches of dev speakers every time. Its state is where the data stand.

    `cursor`: where training is; `length` samples (or units, tokens) and `clips_skipped` crops of damaged clips since
    the weights were new. They are counted by the trainer, not by the readers, which are ahead.
    """

    def __init__(self, make: Maker, spec: PretrainSpec, ranks: Ranks, remotes: Sequence[Remote] = ()) -> None:
        super().__init__()
        self.make = make
        self.spec = spec
        self.ranks = ranks
        self.remotes = remotes
        self.cursor = Cursor()
        self.length = 0
        self.clips_skipped = 0
        self.dev_skipped = 0
        self.updates: Updates | None = None

    @property
    def hours(self) -> float:
        """Hours of audio processed since the weights were new, without padding."""
        return self.make.data.hours(self.length)

    def train_dataloader(self) -> Updates:
        """Return the updates that are left (called by Lightning)."""
        params = self.spec.pretrain
        self.updates = Updates(
            self.make, self.cursor, self.spec.last_update, self.ranks, params.reader_threads, self.remotes,
            skip_damaged=params.on_damage == "skip",
        )  # fmt: skip
        return self.updates

    def val_dataloader(self) -> DevBatches:
        """Return this rank's batches of dev speakers (called by Lightning)."""
        return DevBatches(self)

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """Send an update, or a batch of dev speakers, without waiting (called by Lightning)."""
        del dataloader_idx
        send = partial(Tensor.to, device=device, non_blocking=True)
        if isinstance(batch, Update):
            return replace(batch, micros=[moved(micro, send) for micro in batch.micros], counted=send(batch.counted))
        return moved(batch, send)

    def state_dict(self) -> dict[str, Any]:
        """Return where the data stand (called by Lightning for a checkpoint)."""
        data = self.make.data
        return {"length": self.length, "clips_skipped": self.clips_skipped} | self.cursor.state(data.plan, data.facts)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where a checkpoint stands (called by Lightning).

        StaleError when it was counted in other batches: a run goes on in others only at an epoch that a person names,
        and under a name of its own.
        """
        spec, data, step = self.spec, self.make.data, int(state_dict["step"])
        self.length, self.clips_skipped = int(state_dict["length"]), int(state_dict["clips_skipped"])
        begins = spec.extends is not None and step == spec.first_update
        if begins and spec.pretrain.from_epoch is not None:
            self.cursor = Cursor(step=step, epoch=spec.pretrain.from_epoch)
            return
        try:
            self.cursor = Cursor.resume(state_dict, data.plan, data.facts)
        except StaleError as error:
            run = spec.extends.run if begins and spec.extends else spec.folder.name
            raise StaleError(
                f"run {run}: {error}. Set that back and run the same command again; or go on deliberately, in a run of "
                f"its own, with these weights and an epoch of the new batches: kedro run --pipeline pretrain --params "
                f"corpus=NAME,pretrain.extend={run},pretrain.from_epoch={int(state_dict['epoch']) + 1}"
            ) from error


class DevBatches(IterableDataset[Batch]):
    """At most `pretrain.validate_batches` micro-batches of dev speakers of the run's own corpus, each with the crops of
    epoch 0, shared out to the ranks; none without dev speakers.
    """

    def __init__(self, data: PretrainData) -> None:
        self.data = data

    def __iter__(self) -> Iterator[Batch]:
        make, ranks, params = self.data.make, self.data.ranks, self.data.spec.pretrain
        main, spec = make.data.main, replace(make.data.plan, group=1)
        self.data.dev_skipped = 0
        weights_N = main.dev_weights_N
        if not ((weights_N > 0) & (main.lengths_N >= spec.min_length)).any():
            return
        with CorporaReader([main.shard_set], [main.index], self.data.remotes[:1]) as reader:
            batches = iterate_as(
                make, reader, spec, weights_N, begin=Cursor(), last_step=params.validate_batches,
                threads=params.reader_threads, skip_damaged=params.on_damage == "skip", lengths_N=main.lengths_N,
                audio="audio" in make.objective.config.inputs,
            )  # fmt: skip
            read = 0
            for host, batch in batches:
                if host.epoch:
                    break
                self.data.dev_skipped += len(host.skipped)
                if batch is not None and read % ranks.world == ranks.rank:
                    yield batch
                read += 1
            if make.filled and ranks.rank >= read % ranks.world > 0:
                yield make.empty()


def moved(batch: Batch, move: Callable[[Tensor], Tensor]) -> Batch:
    """Return a batch whose tensors are `move` of its own."""

    def padded(value: Padded | None) -> Padded | None:
        return None if value is None else replace(value, data=move(value.data), lengths_B=move(value.lengths_B))

    prepared = {name: move(value) for name, value in batch.prepared.items()}
    return replace(batch, audio=padded(batch.audio), units=padded(batch.units), prepared=prepared)


def _filled(rows_BN: np.ndarray[Any, Any], more: int, value: float) -> Tensor:
    if not more:
        return torch.from_numpy(rows_BN)
    return torch.from_numpy(np.pad(rows_BN, ((0, more), (0, 0)), constant_values=value))


def _next(batches: Iterator[tuple[HostBatch, Batch | None]], count: int) -> list[tuple[HostBatch, Batch | None]]:
    try:
        return list(itertools.islice(batches, count))
    except DamageError as error:
        raise DamageError(
            f"{error}. Or let the training go on without such clips, and count them: pretrain.on_damage=skip"
        ) from error
