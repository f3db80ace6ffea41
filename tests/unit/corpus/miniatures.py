"""Corpora of a few short files, one per layout."""

from pathlib import Path

import numpy as np
import soundfile


def tone(path: Path, seconds: float = 0.5, rate_hz: int = 8_000, hz: float = 440.0) -> Path:
    """A recording at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * hz * time), rate_hz)
    return path


def kaldi(root: Path) -> Path:
    """Four utterances of two speakers, with everything that Kaldi can tell of them."""
    for name in ("u1", "u2", "u3", "u4"):
        tone(root / "audio" / f"{name}.wav", hz=300 + 100 * int(name[1]))
    tables = {
        "wav.scp": "".join(f"u{i} audio/u{i}.wav\n" for i in range(1, 5)),
        "text": "u1 GOOD DAY\nu2 HOW ARE YOU\nu3 FINE\n",
        "utt2spk": "u1 s1\nu2 s1\nu3 s2\nu4 s2\n",
        "spk2gender": "s1 f\ns2 m\n",
        "spk2age": "s1 31\n",
        "utt2lang": "u1 en\nu2 en\nu3 de\nu4 de\n",
        "reco2dur": "u1 0.5\n",
        "spk2utt": "s1 u1 u2\ns2 u3 u4\n",
    }
    for name, content in tables.items():
        (root / name).write_text(content)
    return root


def audiofolder(root: Path) -> Path:
    """Four digits of two speakers, in a CSV whose only unknown column is the digit."""
    for i in range(4):
        tone(root / "recordings" / f"{i}.wav", hz=300 + 100 * i)
    lines = [f"recordings/{i}.wav,{i % 2},{'ann' if i < 2 else 'bob'},Female,english" for i in range(4)]
    (root / "metadata.csv").write_text("\n".join(["file_name,digit,speaker,gender,language", *lines]) + "\n")
    return root


def folder_per_label(root: Path) -> Path:
    """Two labels of two files."""
    for i, label in enumerate(("dog", "dog", "rain", "rain")):
        tone(root / label / f"1-{i}-A.wav", hz=300 + 100 * i)
    return root


def plain(root: Path) -> Path:
    """Files in odd places, hidden ones and others that are no audio."""
    tone(root / "a.wav")
    tone(root / "deep" / "er" / "b.flac")
    tone(root / ".trash" / "c.wav")
    (root / "notes.txt").write_text("hello")
    return root
