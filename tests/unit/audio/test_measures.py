from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from allears.audio.highpass import Highpassed
from allears.audio.measures import (
    CEILING_DB,
    WADA_G,
    WADA_LOWEST_DB,
    MeasureSpec,
    SampleMeasures,
    SoundMeasures,
    bandwidth_hz,
    frame_powers,
    frame_samples,
    measure_samples,
    measure_sound,
    silence_share,
    spectrum,
    spectrum_blocks,
    wada_snr_db,
)
from allears.errors import AudioError
from tests.reference import measures as oracle
from tests.reference.wada import wada_statistic

SPEC = MeasureSpec(
        clip_level=0.99, silence_dbfs=-50.0, silence_below_loud_db=40.0, bandwidth_drop_db=50.0,
    speech_probability=0.5, speech_stride=1,
    )  # fmt: skip


def sound_of(audio: np.ndarray, rate_hz: int = 16_000) -> Highpassed:
    return Highpassed(audio.astype(np.float32), rate_hz)


def facts(audio: np.ndarray, rate_hz: int = 16_000) -> SampleMeasures:
    return measure_samples(audio.astype(np.float32), rate_hz, SPEC.clip_level)


def measured(audio: np.ndarray, rate_hz: int = 16_000) -> SoundMeasures:
    sound = sound_of(audio, rate_hz)
    power_K = np.concatenate([block.power_FK for block in spectrum_blocks(sound)]).mean(axis=0, dtype=np.float64)
    return measure_sound(sound, SPEC, frame_powers(sound), power_K, facts(audio, rate_hz).zero_share)


def speech_like(snr_db: float, seconds: float = 20.0, seed: int = 0, shape: float = 0.4) -> np.ndarray:
    """Gamma-distributed amplitudes of either sign (WADA's model of speech) in Gaussian noise."""
    rng = np.random.default_rng(seed)
    count = int(8_000 * seconds)
    speech = rng.gamma(shape, size=count) * rng.choice([-1, 1], size=count)
    noise = rng.normal(size=count) * np.sqrt(shape * (shape + 1) * 10 ** (-snr_db / 10))
    return without_low(0.05 * (speech + noise))


def without_low(audio: np.ndarray) -> np.ndarray:
    """Each sample followed by its negative: the same amplitudes, and hardly any power at low frequencies."""
    return np.stack((audio, -audio), axis=1).ravel().astype(np.float32)


def test_table_of_wada_is_its_model_integrated() -> None:
    for index in range(0, len(WADA_G), 10):
        assert WADA_G[index] == pytest.approx(wada_statistic(WADA_LOWEST_DB + index), abs=2e-4)


def test_table_of_wada_agrees_with_the_published_one() -> None:
    published = {-20: 0.40974774, -10: 0.41231718, 0: 0.46221153, 10: 0.66750818, 20: 0.95655449, 30: 1.19703503}
    for decibel, value in published.items():
        assert WADA_G[decibel - WADA_LOWEST_DB] == pytest.approx(value, abs=4e-3)  # 0.2 dB


@pytest.mark.parametrize("snr_db", [0, 5, 10, 20, 30])
def test_wada_reads_the_ratio_of_its_own_model(snr_db: float) -> None:
    assert wada_snr_db(sound_of(speech_like(snr_db))) == pytest.approx(snr_db, abs=1.0)


def test_digital_silence_does_not_change_the_ratio() -> None:
    audio = speech_like(15)
    padded = np.concatenate([np.zeros(80_000, np.float32), audio])
    alone, with_silence = measured(audio).snr_db, measured(padded).snr_db
    assert with_silence == pytest.approx(alone, abs=0.3)


@pytest.mark.parametrize("level", [0.3, 0.1, 0.01])
def test_the_steps_of_a_16_bit_file_do_not_make_a_quiet_voice_noisy(level: float) -> None:
    audio = speech_like(25)
    quiet = np.round(audio * level * 32_768) / 32_768
    assert measured(quiet).snr_db == pytest.approx(measured(audio).snr_db, abs=3.0)


def test_measures_agree_with_loops_over_samples() -> None:
    rng = np.random.default_rng(3)
    audio = np.clip(rng.normal(0, 0.5, 1_700), -1, 1).astype(np.float32)
    audio[600:1_100] *= 1e-4
    audio[1_200:1_300] = 0
    audio += np.where(audio == 0, 0, np.float32(0.02))
    samples = audio.astype(np.float64).tolist()
    values = facts(audio, 8_000)
    assert values.clipped_share == oracle.clipped_share(samples, 0.99) > 0
    assert values.dc_offset == pytest.approx(oracle.dc_offset([x for x in samples if x]), abs=1e-6)
    assert values.zero_share == pytest.approx(100 / 1_700)
    assert values.decoded_duration_s == pytest.approx(1_700 / 8_000)
    sound = sound_of(audio, 8_000)
    heard = sound.part(0, len(audio)).astype(np.float64).tolist()
    assert measured(audio, 8_000).rms_dbfs == pytest.approx(oracle.rms_dbfs(heard), abs=1e-4)
    for cuts in ((-50.0, 40.0), (-30.0, 40.0), (-30.0, 10.0), (-5.0, 1.0)):
        assert silence_share(frame_powers(sound), *cuts) == pytest.approx(oracle.silence_share(heard, 8_000, *cuts))


def test_spectrum_and_bandwidth_agree_with_the_definition_of_the_dft() -> None:
    rate, count = 4_000, 400
    time = np.arange(count) / rate
    rng = np.random.default_rng(0)
    audio = 0.5 * np.sin(2 * np.pi * 500 * time) + 0.01 * np.sin(2 * np.pi * 1_250 * time) + rng.normal(0, 1e-5, count)
    power = spectrum(audio.astype(np.float32), rate).power_FK.mean(axis=0)
    slow = oracle.mean_power(audio.tolist(), rate)
    np.testing.assert_allclose(power, slow, rtol=1e-3, atol=1e-9)
    bin_hz = rate / frame_samples(rate)
    for drop in (20.0, 50.0):
        assert bandwidth_hz(power.astype(np.float64), bin_hz, drop) == oracle.bandwidth_hz(slow, bin_hz, drop)
    assert power.max() == pytest.approx(0.25, rel=0.05)  # a sine of amplitude 0.5


def test_blocks_are_the_same_frames_however_many() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 16_000 * 40).astype(np.float32)
    sound = sound_of(audio)
    whole = np.concatenate([block.power_FK for block in spectrum_blocks(sound)])
    assert len(whole) == 1 + (len(audio) - 512) // 256
    one = spectrum(sound.part(256 * 2_300, 256 * 2_300 + 512), 16_000)
    np.testing.assert_array_equal(whole[2_300], one.power_FK[0])


def test_upsampled_audio_has_the_bandwidth_of_its_source() -> None:
    import soxr

    narrow = np.random.default_rng(0).normal(0, 0.1, 8_000 * 3).astype(np.float32)
    bandwidth = measured(soxr.resample(narrow, 8_000, 48_000), 48_000).bandwidth_hz
    assert bandwidth is not None
    assert 3_600 < bandwidth < 4_400


def test_a_quiet_voice_is_no_silence_but_a_quiet_room_is() -> None:
    voice = np.repeat(np.random.default_rng(0).normal(0, [[0.01], [0.001]], (2, 16_000)), 2, axis=0).ravel()
    for level in (1.0, 0.5):  # -40 and -60 dBFS: half of it is under -50; then -46 and -66
        assert measured(level * voice).silence_share == 0
    assert measured(np.concatenate((voice, np.zeros(64_000)))).silence_share == pytest.approx(0.5, abs=0.01)
    assert measured(0.1 * voice).silence_share == pytest.approx(0.5, abs=0.01)  # at -60 dBFS, with a room at -80
    assert measured(0.1 * voice[:32_000]).silence_share == 1  # as soft, and nobody speaks
    click = 0.03 * voice
    click[8_000:8_500] = 0.03
    assert measured(click).silence_share > 0.95


@pytest.mark.parametrize("voice_db", [-26.0, -40.0, -48.0, -58.0])
@pytest.mark.parametrize("room_db", [-120.0, -90.0, -80.0, -70.0])
def test_the_room_around_a_voice_is_silent_however_soft_the_voice(voice_db: float, room_db: float) -> None:
    noise = np.random.default_rng(0).standard_normal(160_000)
    level_db = np.repeat([room_db, voice_db, room_db], [64_000, 32_000, 64_000])
    assert measured((noise * 10 ** (level_db / 20)).astype(np.float32)).silence_share == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize("room_db", [-52.0, -60.0, -70.0, -90.0])
def test_a_room_alone_is_silent(room_db: float) -> None:
    room = np.random.default_rng(0).normal(0, 10 ** (room_db / 20), 48_000).astype(np.float32)
    assert measured(room).silence_share == 1


def test_silence_has_no_ratio_and_no_bandwidth() -> None:
    values, samples = measured(np.zeros(1_000)), facts(np.zeros(1_000))
    assert (values.snr_db, values.bandwidth_hz, values.rms_dbfs, values.rumble_db) == (None, None, None, None)
    assert (values.silence_share, samples.zero_share, samples.peak, samples.dc_offset) == (1.0, 1.0, 0.0, 0.0)


@pytest.mark.parametrize("samples", [1, 3, 300])
def test_a_few_samples_are_measured(samples: int) -> None:
    assert facts(np.full(samples, 0.5)).decoded_duration_s == samples / 16_000
    assert measured(np.full(samples, 0.5)).rms_dbfs is None  # nothing but an offset


@pytest.mark.parametrize(
    ("audio", "reason"),
    [([], "empty"), ([0.1, np.nan], "not_finite"), ([np.inf], "not_finite"), ([0.1, 1e19], "not_finite")],
)
def test_no_samples_and_no_numbers_are_errors(audio: list[float], reason: str) -> None:
    with pytest.raises(AudioError) as caught:
        facts(np.array(audio))
    assert caught.value.reason == reason


@pytest.mark.parametrize("snr_db", [40, 60, 300])
def test_over_its_ceiling_the_estimate_of_noise_gives_the_ceiling(snr_db: float) -> None:
    assert wada_snr_db(sound_of(speech_like(snr_db))) == CEILING_DB


@pytest.mark.parametrize(("shape", "snr_db"), [(0.4, 30), (0.5, 25), (0.5, 20), (0.5, 15), (0.45, 25)])
def test_under_its_ceiling_the_estimate_tells_noise_whatever_the_shape_of_speech(shape: float, snr_db: float) -> None:
    found = wada_snr_db(sound_of(speech_like(snr_db, shape=shape)))
    assert found == pytest.approx(snr_db, abs=6.0)
    assert found < CEILING_DB


def test_the_ceiling_is_what_speech_without_noise_reads_at_the_shape_one_half() -> None:
    assert np.interp(np.log(0.5) - special.digamma(0.5), WADA_G, WADA_LOWEST_DB + np.arange(len(WADA_G))) == (
        pytest.approx(CEILING_DB, abs=0.3)
    )
    loud = np.float32(1_000)  # so that hardly any sample is one that a 16-bit file stores as zero
    clean = [wada_snr_db(sound_of(loud * speech_like(300, shape=0.5, seed=seed), 192_000)) for seed in range(4)]
    assert np.mean(clean) == pytest.approx(CEILING_DB, abs=0.7)
