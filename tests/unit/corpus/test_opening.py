"""Clips of archives, of long files and of short ones, taken together: the same samples as each alone."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

from allears.audio import ffmpeg
from allears.audio.decode import BLOCK_S
from allears.corpus.clips import ClipRef
from allears.corpus.opening import MOST_TOGETHER, batches, decoded_clips
from allears.errors import AudioError
from allears.storage.containers import parquet_member


def sound(seed: int, seconds: float = 0.2) -> bytes:
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).normal(0, 0.1, round(8000 * seconds))
    soundfile.write(stream, noise, 8000, format="FLAC")
    return stream.getvalue()


def ref(file: Path, name: str, start_s: float = 0.0, end_s: float | None = None, member: str | None = None) -> ClipRef:
    return ClipRef(name, str(file), "0" * 64, None, start_s, end_s, member)


def test_members_are_decoded_as_files_are(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for i in range(3):
            (tmp_path / f"{i}.flac").write_bytes(sound(i))
            tar.add(tmp_path / f"{i}.flac", f"deep/er/{i}.flac")
    refs = [ref(tmp_path / "x.tar", f"c{i}", member=f"deep/er/{i}.flac") for i in (2, 0, 1)]
    refs += [ref(tmp_path / "x.tar", "half", 0.1, None, "deep/er/0.flac"), ref(tmp_path / "x.tar", "gone", member="no")]
    found = {clip.clip: decoded for clip, decoded in decoded_clips(refs)}
    assert isinstance(found.pop("gone"), AudioError)
    for i in range(3):
        audio, rate = soundfile.read(tmp_path / f"{i}.flac", dtype="float32")
        decoded = found[f"c{i}"]
        assert not isinstance(decoded, AudioError)
        np.testing.assert_array_equal(decoded[0][:, 0], audio)
        assert decoded[1] == rate
    half = found["half"]
    assert not isinstance(half, AudioError)
    assert len(half[0]) == 800


def test_files_that_share_a_process_give_what_each_gives_alone(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / f"{i}.flac").write_bytes(sound(i, 0.2 + 0.1 * i))
        ffmpeg.convert(tmp_path / f"{i}.flac", tmp_path / f"{i}.m4a", {"acodec": "aac"})
    (tmp_path / "bad.m4a").write_bytes((tmp_path / "0.m4a").read_bytes()[:-300])  # its end, and the index there
    refs = [ref(tmp_path / f"{name}.m4a", name) for name in ("1", "bad", "0", "2")]
    refs += [ref(tmp_path / "1.m4a", "part", 0.1, 0.2), ref(tmp_path / "0.m4a", "again")]
    refs.append(refs[0]._replace(clip="channel", channel=0))
    together = {clip.clip: found for clip, found in decoded_clips(refs)}
    assert sorted(together) == sorted(clip.clip for clip in refs)
    for clip in refs:
        [(_, alone)] = decoded_clips([clip])
        found = together[clip.clip]
        if isinstance(alone, AudioError):
            assert isinstance(found, AudioError)
            assert str(found) == str(alone)
        else:
            assert not isinstance(found, AudioError)
            np.testing.assert_array_equal(found[0], alone[0])
            assert found[1] == alone[1]
    assert isinstance(together["bad"], AudioError)


def test_each_clip_is_in_one_batch_and_neighbours_are_together() -> None:
    short = [ref(Path(f"/{i}.wav"), f"s{i}") for i in range(40)]
    long = [ref(Path("/long.mp3"), f"l{i}", 20.0 * i, 20.0 * i + 20.0) for i in range(60)]
    packed = [ref(Path("/x.tar.gz"), f"m{i}", member=f"{i}.wav") for i in range(500)]
    packed += [ref(Path(f"/{i}.tar"), f"o{i}", member="one.wav") for i in range(3)]  # never with files of their own
    found = batches([*short, *packed, *long])
    assert all(len({clip.file for clip in batch}) == 1 for batch in found if batch[0].member is not None)
    assert sorted(clip.clip for batch in found for clip in batch) == sorted(
        clip.clip for clip in [*short, *long, *packed]
    )
    assert [len(batch) for batch in found if batch[0].file.startswith("/x")] == [500]
    stretches = [batch for batch in found if batch[0].file == "/long.mp3"]
    assert len(stretches) == 1200 / BLOCK_S
    assert all(len(batch) <= MOST_TOGETHER for batch in found if batch[0] in short)


def test_a_row_group_is_one_batch_in_its_own_order(tmp_path: Path) -> None:
    recordings = [{"bytes": sound(i), "path": None} for i in range(250)]
    pq.write_table(pa.table({"audio": recordings, "other": recordings}), tmp_path / "x.parquet", row_group_size=100)
    file = tmp_path / "x.parquet"
    members = [parquet_member("audio", number // 100, number % 100) for number in range(250)]
    refs = [ref(file, name, member=name) for name in [*members, "other:0:7"]]
    found = batches(refs[::-1])
    assert sorted([clip.member for clip in batch] for batch in found) == sorted(
        [members[:100], members[100:200], members[200:], ["other:0:7"]]
    )
    group = next(batch for batch in found if batch[0].member == "2:0")
    for clip, decoded in decoded_clips(group[:3]):
        audio, _ = soundfile.read(io.BytesIO(sound(200 + int(clip.clip.split(":")[1]))), dtype="float32")
        assert not isinstance(decoded, AudioError)
        np.testing.assert_array_equal(decoded[0][:, 0], audio)


def test_the_headers_of_a_large_tar_are_read_a_few_times_only() -> None:
    refs = [ref(Path("/x.tar"), f"m{i}", member=f"{i}.wav") for i in range(5000)]
    assert len(batches(refs)) == 16
    assert [len(batch) for batch in batches(refs[:100])] == [64, 36]
