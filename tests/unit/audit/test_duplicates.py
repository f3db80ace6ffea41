from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from allears.audit.duplicates import NEEDS, Compare, find
from allears.params.audit import DuplicateParams
from tests.audit_tables import agree, manifest, measures

PARAMS = DuplicateParams()


def print_of(seed: int, flipped: int = 0) -> str:
    """A random fingerprint with `flipped` of its 1024 bits changed."""
    bits = np.random.default_rng(seed).integers(0, 2, 1024, dtype=np.uint8)
    bits[:flipped] ^= 1
    return np.packbits(bits).tobytes().hex()


def pairs(rows: list[dict], values: list[dict], compare: Compare = agree) -> list[tuple[str, str, str]]:
    table = manifest(rows)
    found = find(table, measures(table, values), PARAMS, compare)
    return sorted(found[["clip", "kind", "duplicate_of"]].itertuples(index=False, name=None))


def test_the_first_of_equal_files_stays() -> None:
    same = {"file_sha256": "a" * 64}
    assert pairs([same, {}, same, same], [{}] * 4) == [("c2", "byte", "c0"), ("c3", "byte", "c0")]


def test_two_pieces_or_channels_of_one_file_are_no_duplicates() -> None:
    same = {"file_sha256": "a" * 64}
    rows = [same, same | {"start_s": 2.0, "end_s": 4.0}, same | {"channel": 0}, same | {"channel": 1}]
    assert pairs(rows, [{}] * 4) == []


def test_the_held_out_copy_stays() -> None:
    same = {"file_sha256": "a" * 64}
    rows = [same | {"split": "train"}, same | {"split": "dev"}, same | {"split": "test"}]
    assert pairs(rows, [{}] * 3) == [("c0", "byte", "c2"), ("c1", "byte", "c2")]


def test_equal_samples_in_other_bytes() -> None:
    assert pairs([{}, {}], [{"pcm_sha256": "x"}, {"pcm_sha256": "x"}]) == [("c1", "pcm", "c0")]


def test_undecodable_clips_match_nothing() -> None:
    nothing = {"pcm_sha256": None, "fingerprint": None, "decoded_duration_s": None, "failed_reason": "undecodable"}
    assert pairs([{}, {}], [nothing, nothing]) == []


def test_close_fingerprints_of_equal_length() -> None:
    values = [{"fingerprint": print_of(0)}, {"fingerprint": print_of(1)}, {"fingerprint": print_of(0, flipped=150)}]
    assert pairs([{}, {}, {}], values) == [("c2", "reencoded", "c0")]


def test_far_fingerprints_and_other_lengths_are_other_clips() -> None:
    values = [
        {"fingerprint": print_of(0)},
        {"fingerprint": print_of(0, flipped=270)},
        {"fingerprint": print_of(0), "decoded_duration_s": 2.2},
    ]
    assert pairs([{}, {}, {}], values) == []


def test_copies_of_copies_name_the_one_that_stays() -> None:
    values = [{"fingerprint": print_of(0, flipped=count)} for count in (0, 200, 400)]
    assert pairs([{}, {}, {}], values) == [("c1", "reencoded", "c0"), ("c2", "reencoded", "c0")]


def test_copies_of_copies_of_other_kinds_name_the_one_that_stays() -> None:
    """`c1` has the samples of `c0`, `c2` the bytes of `c1`; `c4` is `c3` encoded again, `c5` samples of `c4`."""
    bytes_, samples = {"file_sha256": "b" * 64}, {"pcm_sha256": "p", "fingerprint": print_of(0)}
    encoded = {"fingerprint": print_of(1, flipped=40), "pcm_sha256": "q"}
    table = manifest([{}, bytes_, bytes_, {}, {}, {}])
    values = [samples] * 3 + [{"fingerprint": print_of(1)}, encoded, encoded]
    copies = find(table, measures(table, values), PARAMS, agree).set_index("clip")
    assert copies["duplicate_of"].to_dict() == {"c1": "c0", "c2": "c0", "c4": "c3", "c5": "c3"}
    assert copies["kind"].to_dict() == {"c1": "pcm", "c2": "byte", "c4": "reencoded", "c5": "pcm"}
    assert copies["bit_error"].to_dict() == {"c1": 0.0, "c2": 0.0, "c4": 40 / 1024, "c5": 40 / 1024}
    assert not set(copies["duplicate_of"]) & set(copies.index), "what is a copy itself does not stay"


def test_a_candidate_is_no_copy_unless_the_waveforms_agree() -> None:
    values = [{"fingerprint": print_of(0, flipped=count)} for count in (0, 40, 80)]
    known = {("c0", "c1"): 0.3, ("c0", "c2"): 0.79, ("c1", "c2"): 0.9}
    asked: list[tuple[str, str]] = []

    def compare(some: Sequence[tuple[str, str]]) -> np.ndarray:
        asked.extend(some)
        return np.array([known[pair] for pair in some])

    assert pairs([{}, {}, {}], values, compare) == [("c2", "reencoded", "c1")]
    assert sorted(asked) == sorted(known)


def test_what_nobody_can_compare_is_no_copy() -> None:
    values = [{"fingerprint": print_of(0)}, {"fingerprint": print_of(0, flipped=40)}]
    assert pairs([{}, {}], values, lambda some: np.full(len(some), np.nan)) == []


def test_only_the_named_columns_are_needed_and_their_order_does_not_matter() -> None:
    table = manifest([{"file_sha256": "a" * 64}, {}, {"file_sha256": "a" * 64, "channel": None}])
    measured = measures(table, [{"fingerprint": print_of(0)}, {"fingerprint": print_of(0, flipped=40)}, {}])
    whole = find(table, measured, PARAMS, agree)
    assert whole.equals(find(table[list(reversed(NEEDS))], measured.iloc[::-1], PARAMS, agree))
    assert whole[["clip", "kind", "bit_error", "correlation"]].to_numpy().tolist() == [
        ["c2", "byte", 0.0, 1.0],
        ["c1", "reencoded", 40 / 1024, 1.0],
    ]


def test_pairs_agree_with_comparing_everything_with_everything() -> None:
    rng = np.random.default_rng(0)
    seeds = rng.integers(0, 12, 60)
    prints = [print_of(int(seed), flipped=int(rng.integers(0, 90))) for seed in seeds]
    lengths = rng.choice([2.0, 2.04, 2.5], 60)
    table = manifest([{}] * 60)
    values = [{"fingerprint": p, "decoded_duration_s": s} for p, s in zip(prints, lengths, strict=True)]
    found = find(table, measures(table, values), PARAMS, agree)
    expected = {
        f"c{j}"
        for j in range(60)
        if any(seeds[i] == seeds[j] and abs(lengths[i] - lengths[j]) <= 0.1 for i in range(j))
    }
    assert set(found["clip"]) == expected
