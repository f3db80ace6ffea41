"""Targets of `masked_units`: k-means, fitted on training clips, then a streaming pass that labels clips.

HuBERT's first iteration (arXiv 2106.07447, section 3.1) clusters MFCCs: with deltas, averaged over the 10 ms windows of
a frame of the encoder. Its second one clusters a layer of an encoder. Labels go into the shards' sidecar; features are
never written. Free of torch, but for layers.

Legend: `N` clips, `F` frames, `C` features (39 of MFCCs), `V` units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from allears.audio.features import mfcc, stack_mean
from allears.engine.mapping import forget, map_items
from allears.errors import ConfigError, TrainingError
from allears.frames import encoder_frames
from allears.params.pretrain import PretrainParams, UnitParams
from allears.params.spec_pretrain import UnitSource
from allears.shards.handle import ShardSet
from allears.shards.index import Index
from allears.shards.reader import ShardReader
from allears.shards.sidecar import is_labelled, write_labels
from allears.storage.digest import file_digest, identity, value_digest
from allears.storage.files import atomic_path, sweep
from allears.storage.receipt import read_receipt, write_receipt
from allears.training.plan import CorpusData, TrainingData

VERSION = 2
WINDOW_HOP = 160  # samples between two windows of the MFCCs at 16 kHz
MODEL_FILE = "units.npy"
JOURNAL = "labelled.jsonl"
BATCH_FRAMES = 10_000  # of k-means, and n_init below: HuBERT's dump_km.py has 10,000 and 20
STARTS = 5
SLOWEST = 20.0  # seconds for a second of audio, after which a worker counts as stuck: a large encoder on a busy core

Features = NDArray[np.float32]
MFCCS = UnitSource()


def units_handle(
    data: TrainingData, params: PretrainParams, *features: Path, source: UnitSource = MFCCS
) -> dict[str, Any]:
    """Return the handle on the unit model and the labels, before there are any.

    The labels of each corpus lie with it: `features` are the folders for those, one per corpus; the first one's holds
    the unit model.
    """
    units, hop = params.chosen.unit_classes, params.chosen_encoder.hop_samples
    stack, rest = divmod(hop, WINDOW_HOP)
    if rest and source.folder is None:
        raise ConfigError(
            f"pretrain.objective={params.objective} learns units of frames of whole 10 ms windows, and a frame of "
            f"pretrain.encoder={params.encoder} is {hop} samples long; make that a multiple of {WINDOW_HOP}"
        )
    asked = {"units": units, "stack": stack, "settings": params.units.model_dump(mode="json")}
    main, *others = data.corpora
    inputs = {"audio": main.index.audio_digest, "heard": main.labelled_digest}  # in whatever tars it lies
    if source.folder is not None:
        inputs["layer"] = f"{source.digest}:{source.layer}"
    if source.centres is not None:
        inputs["centres"] = file_digest(source.centres)
    if others:
        inputs["others"] = value_digest([[one.labelled_digest, round(one.share, 6)] for one in others])
    name = identity("units", VERSION, inputs, asked)
    folder, *elsewhere = (str(each / "units" / name[:12]) for each in features)
    handle = {"kind": "units", "folder": folder, "digest": name, "units": units, "source": source.words}
    handle["features"] = "mfcc" if source.folder is None else f"{source.digest}:{source.layer}"
    if source.folder is not None:
        handle |= {"encoder": str(source.folder), "layer": source.layer}
    return handle | ({"others": elsewhere} if elsewhere else {})


def prepare_units(
    data: TrainingData, params: PretrainParams, *features: Path, source: UnitSource = MFCCS
) -> dict[str, Any]:
    """Fit the unit model on training clips (or take that of `source`), label the clips of train and dev speakers, and
    return the handle on both, in `features` (see `units_handle`), with the digest of the centres.

    Of several corpora each one gives as many frames to k-means as its share of the audio.

    What is up to date is not done again; a killed pass goes on after its last shard, and a shard whose labels are
    missing or damaged is labelled anew.
    """
    handle = units_handle(data, params, *features, source=source)
    name, units = handle["digest"], handle["units"]
    extraction = Extraction(params.chosen_encoder.hop_samples, params.units.normalise, source.folder, source.layer)
    folder, *_ = folders = [Path(each) for each in (handle["folder"], *handle.get("others", ()))]
    notes = read_receipt(folder, name)
    if notes is not None and not _is_whole(folder / MODEL_FILE, notes["centres"]):
        (folder / MODEL_FILE).unlink(missing_ok=True)
        notes = None
    lost = [_lost(one, each, name) for one, each in zip(data.corpora, folders, strict=True)]
    if notes is None or any(lost):
        for each, shards in zip(folders, lost, strict=True):
            forget(each / JOURNAL, shards)
        centres_VC = _centres(folder / MODEL_FILE, data, units, extraction, params.units, source.centres)
        work = partial(label_tar, model=folder / MODEL_FILE, digest=name, extraction=extraction)
        pairs = zip(data.corpora, folders, strict=True)
        counts_V = np.sum([_label(one, each, len(centres_VC), work) for one, each in pairs], axis=0)
        notes = {
            "clips": sum(int(_wanted(one).sum()) for one in data.corpora),
            "frames": int(counts_V.sum()),
            "used_share": float((counts_V > 0).mean()),
            "centres": file_digest(folder / MODEL_FILE),
        }
        write_receipt(folder, name, notes)
    return handle | notes


def _is_whole(model: Path, digest: str) -> bool:
    return model.exists() and file_digest(model) == digest


def unit_features(audio_T: NDArray[np.float32], rate_hz: int, stack: int, normalise: str) -> Features:
    """What k-means sees of a clip, [F, C]: MFCCs with deltas, averaged over each encoder frame."""
    features_FC = stack_mean(mfcc(audio_T, rate_hz), stack)
    if normalise != "none" and len(features_FC):
        features_FC = features_FC - features_FC.mean(0)
    if normalise == "variance" and len(features_FC):
        features_FC = features_FC / (features_FC.std(0) + 1e-5)
    return features_FC.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Extraction:
    """Features of a clip for k-means: MFCCs (`normalise`), or a layer of the encoder in `folder`."""

    hop_samples: int
    normalise: str = "mean"
    folder: Path | None = None
    layer: int = 0

    def open(self) -> Callable[[NDArray[np.float32], int], Features]:
        """Return the function of samples [T] and their rate that gives features [F, C]."""
        if self.folder is None:
            stack = self.hop_samples // WINDOW_HOP
            return lambda audio_T, rate_hz: unit_features(audio_T, rate_hz, stack, self.normalise)
        from allears.training.layer import layer_features

        return layer_features(self.folder, self.layer)


def assign(features_FC: Features, centres_VC: Features) -> NDArray[np.int32]:
    """The nearest centre of each frame [F] (of equals the first): ‖x‖² is the same for all, so it is left out."""
    distance_FV = (centres_VC**2).sum(1) - 2.0 * (features_FC @ centres_VC.T)
    return np.asarray(distance_FV.argmin(1), dtype=np.int32)


def fit_units(features_FC: Features, units: int, seed: int) -> Features:
    """k-means centres [V, C]. TrainingError when there are too few frames for so many units."""
    if len(features_FC) < 10 * units:
        raise TrainingError(
            f"{units} units cannot be fitted on {len(features_FC)} frames of training clips, they need {10 * units}; "
            "add recordings or lower pretrain.objectives.NAME.units"
        )
    from sklearn.cluster import MiniBatchKMeans

    model = MiniBatchKMeans(
        units, batch_size=BATCH_FRAMES, n_init=STARTS, max_iter=100, random_state=seed, compute_labels=False
    )
    return np.asarray(model.fit(features_FC).cluster_centers_, dtype=np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Tar:
    """A tar to label: its own index, and which of its clips are wanted [n]."""

    index: Index
    wanted_n: NDArray[np.bool_]

    @property
    def name(self) -> str:
        """Its file's."""
        return self.index.shards[0]


def label_tar(
    tar: Tar, *, shard_set: ShardSet, folder: Path, model: Path, digest: str, extraction: Extraction
) -> list[int]:
    """Label the wanted clips of one tar; returns how often each unit occurs [V]. Runs in a worker."""
    if extraction.folder is not None:
        from allears.training.layer import use_one_thread

        use_one_thread()  # workers run side by side
    centres_VC = np.load(model, allow_pickle=False)
    labels: dict[str, NDArray[np.int32]] = {}
    counts_V = np.zeros(len(centres_VC), dtype=np.int64)
    features_of = extraction.open()
    with ShardReader(shard_set, index=tar.index) as reader:
        for place in np.flatnonzero(tar.wanted_n).tolist():
            features_FC = features_of(reader.read(place), shard_set.sample_rate_hz)
            labels[tar.index.clips[place]] = units_F = assign(features_FC, centres_VC)
            counts_V += np.bincount(units_F, minlength=len(centres_VC))
    write_labels(folder, digest, tar.name, labels, tar.index)
    return [int(count) for count in counts_V]


def _centres(
    path: Path, data: TrainingData, units: int, extraction: Extraction, params: UnitParams, given: Path | None
) -> Features:
    if path.exists():
        return np.asarray(np.load(path, allow_pickle=False), dtype=np.float32)
    if given is not None:
        centres_VC = np.asarray(np.load(given, allow_pickle=False), dtype=np.float32)
    else:
        frames = [features_FC for one in data.corpora for features_FC in _sample(one, extraction, params)]
        centres_VC = fit_units(np.concatenate(frames), units, params.seed)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, centres_VC, allow_pickle=False)
    return centres_VC


def _sample(one: CorpusData, extraction: Extraction, params: UnitParams) -> Iterator[Features]:
    """Features of training clips in random order, until there are enough frames for the corpus's share."""
    rate_hz = one.shard_set.sample_rate_hz
    rows = np.random.default_rng(params.seed).permutation(np.flatnonzero(one.weights_N > 0))
    frames = np.cumsum([_frames(int(one.index.samples_N[row]), extraction, rate_hz) for row in rows])
    chosen = rows[: int(np.searchsorted(frames, params.fit_frames * round(one.share, 6))) + 1]
    with ShardReader(one.shard_set) as reader, ThreadPoolExecutor(2) as pool:
        features_of = extraction.open()
        yield from pool.map(lambda row: features_of(reader.read(int(row)), rate_hz), chosen.tolist())


def _frames(samples: int, extraction: Extraction, rate_hz: int) -> int:
    """About how many frames a clip has, exactly for MFCCs: how much is read for k-means depends on it alone."""
    if extraction.folder is not None:
        return samples // extraction.hop_samples
    return encoder_frames(samples, extraction.hop_samples // WINDOW_HOP, rate_hz)


def _wanted(one: CorpusData) -> NDArray[np.bool_]:
    """Clips that training or its validation hears [N]."""
    return (one.weights_N > 0) | (one.dev_weights_N > 0)


def _tars(one: CorpusData) -> list[Tar]:
    wanted_N, index = _wanted(one), one.index
    return [Tar(index.of_tar(shard), wanted_N[index.places_of(shard)]) for shard in range(len(index.shards))]


def _lost(one: CorpusData, folder: Path, digest: str) -> list[str]:
    """Tars whose labels are missing or damaged."""
    return [tar.name for tar in _tars(one) if not is_labelled(folder, digest, tar.index, tar.wanted_n)]


def _label(one: CorpusData, folder: Path, units: int, work: Callable[..., list[int]]) -> NDArray[np.int64]:
    """Label one corpus; how often each unit occurs [V]. `work` is `label_tar` that knows the unit model."""
    mine = partial(work, shard_set=one.shard_set, folder=folder)
    longest_s = max((tar.index.samples_N.sum() for tar in _tars(one)), default=0) / one.shard_set.sample_rate_hz
    counts_V = np.zeros(units, dtype=np.int64)
    outcomes = map_items(
        mine,
        _tars(one),
        key=lambda tar: tar.name,
        journal=folder / JOURNAL,
        title="Labelling",
        timeout_s=max(3600.0, SLOWEST * float(longest_s)),
    )
    for outcome in outcomes:
        if outcome.reason is not None:
            raise TrainingError(
                f"{outcome.item.name} cannot be labelled: {outcome.message}. Run the same command again; if it stays "
                "so, delete that tar: the shard pipeline writes it anew"
            )
        counts_V += np.array(outcome.result, dtype=np.int64)
    sweep(folder)  # a worker may have died whose shard another one labelled
    return counts_V
