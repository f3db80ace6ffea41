"""Digests of decoded audio alone, of clips that the audit has not decoded yet: what a tombstone refuses them by."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from allears.audio.decode import DECODERS, mixed
from allears.audit.clip import pcm_digest
from allears.corpus.clips import ClipRef
from allears.corpus.opening import batches, decoded_clips, fetch_clips
from allears.engine.mapping import map_batches
from allears.errors import AllearsError, AudioError
from allears.storage.digest import value_digest


def pcm_digests(refs: Sequence[ClipRef], journal: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Clip → digest of its decoded audio, as the audit notes it, and clip → why it cannot be decoded.

    Decoded in workers; `journal` is left to the caller to delete. Nothing that is wrong with a recording is raised.
    """
    if not refs:
        return {}, {}
    with contextlib.suppress(AllearsError):  # a bucket that does not answer: each clip says that it was not fetched
        fetch_clips(refs)
    digests, failed = {}, {}
    for outcome in map_batches(_digest, refs, key=_key, journal=journal, title="decoding", batches=batches):
        if outcome.reason is None:
            digests[outcome.item.clip] = str(outcome.result)
        else:
            failed[outcome.item.clip] = outcome.message or outcome.reason
    return digests, {clip: why for clip, why in failed.items() if clip not in digests}


def _digest(refs: Sequence[ClipRef]) -> Iterator[tuple[ClipRef, str | AudioError]]:
    for ref, decoded in decoded_clips(refs):
        yield ref, decoded if isinstance(decoded, AudioError) else pcm_digest(mixed(decoded[0]), decoded[1])


def _key(ref: ClipRef) -> str:
    return value_digest([list(ref._replace(clip="")), DECODERS])[:32]
