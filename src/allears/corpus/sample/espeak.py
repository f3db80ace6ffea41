"""One voice of espeak-ng speaks some texts: a program of its own, run by its path, on the standard library alone.

espeak-ng keeps state between utterances and is not reentrant, so each speaker gets a fresh process; what comes out
then depends on the request alone. Request: JSON on stdin {library, data, voice, pitch, rate, range, texts}. Answer on
stdout: for each text its number of bytes (uint32, little-endian) and 16-bit mono samples at 22,050 Hz.
"""

import ctypes
import json
import struct
import sys

SYNCHRONOUS, UTF8 = 2, 1  # espeak_AUDIO_OUTPUT, espeakCHARS
RATE, PITCH, RANGE = 1, 3, 4  # espeak_PARAMETER
SAMPLE_RATE_HZ = 22_050


def main() -> int:
    """Answer one request; exit code 1 and a line on stderr when espeak-ng refuses it."""
    request = json.load(sys.stdin.buffer)
    library = ctypes.CDLL(request["library"])
    if library.espeak_Initialize(SYNCHRONOUS, 0, request["data"].encode(), 0) != SAMPLE_RATE_HZ:
        return _refused(f"espeak-ng does not start with its data in {request['data']}")
    chunks: list[bytes] = []

    def receive(samples: int | None, count: int, _events: int | None) -> int:
        if samples and count:
            chunks.append(ctypes.string_at(samples, count * 2))
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(receive)
    library.espeak_SetSynthCallback(callback)
    if library.espeak_SetVoiceByName(request["voice"].encode()) != 0:
        return _refused(f"espeak-ng has no voice '{request['voice']}'")
    for parameter, name in ((RATE, "rate"), (PITCH, "pitch"), (RANGE, "range")):
        library.espeak_SetParameter(parameter, int(request[name]), 0)
    for text in request["texts"]:
        chunks.clear()
        encoded = text.encode() + b"\0"
        if library.espeak_Synth(encoded, len(encoded), 0, 0, 0, UTF8, None, None) != 0:
            return _refused(f"espeak-ng cannot speak '{text}'")
        audio = b"".join(chunks)
        sys.stdout.buffer.write(struct.pack("<I", len(audio)) + audio)
    return 0


def _refused(sentence: str) -> int:
    sys.stderr.write(sentence + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
