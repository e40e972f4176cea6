"""MIDI to audio with a sound font that no training of tutti ever saw."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile as sf  # type: ignore[import-untyped]

from benchmarks.transcription.folders import CACHE

Samples = npt.NDArray[np.float32]

FONT = Path("/usr/share/sounds/sf3/MuseScore_General.sf3")
SAMPLE_RATE_HZ = 44_100
GAIN = 0.6
PEAK = 0.7
"""Full-scale fraction every rendering is brought to, about the level of a mastered recording."""
TAIL_S = 1.5
"""What is kept of the reverberation after the last note."""


def render(midi: bytes, name: str, end_s: float, font: Path | None = None) -> Path:
    """A 16-bit stereo FLAC of `midi`, cut `TAIL_S` after `end_s`; kept in the cache.

    By `font`, else by FONT, with the default reverb and chorus.
    """
    font = font or FONT
    recipe = f"{font.resolve().name} {SAMPLE_RATE_HZ} {GAIN} {PEAK} {TAIL_S} {end_s:.3f}".encode()
    key = hashlib.sha256(recipe + midi).hexdigest()[:8]
    target = CACHE / "rendered" / f"{name}-{key}.flac"
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        samples = _synthesise(midi, font)[: round((end_s + TAIL_S) * SAMPLE_RATE_HZ)]
        _write(samples, name, target)
    return target


def _synthesise(midi: bytes, font: Path) -> Samples:
    """The font's rendering of `midi`, float32 (n, 2)."""
    if shutil.which("fluidsynth") is None or not font.is_file():
        raise SystemExit("Install the renderer and its font: apt-get install fluidsynth musescore-general-soundfont")
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder) / "piece.mid", Path(folder) / "piece.wav"
        source.write_bytes(midi)
        command = ["fluidsynth", "-ni", "-q", "-g", str(GAIN), "-r", str(SAMPLE_RATE_HZ), "-O", "float"]
        command += ["-o", "synth.dynamic-sample-loading=1", "-F", str(output), str(font), str(source)]
        subprocess.run(command, check=True, capture_output=True)
        samples: Samples = sf.read(output, dtype="float32", always_2d=True)[0]
    return samples


def _write(samples: Samples, name: str, target: Path) -> None:
    peak = float(np.abs(samples).max(initial=0.0))
    if not 0.0 < peak < 1.0:
        raise SystemExit(f"The rendering of {name} is silent or clipped (peak {peak:.3f}); change GAIN in {__file__}.")
    unfinished = target.with_suffix(".part")
    sf.write(unfinished, samples * (PEAK / peak), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")
    unfinished.replace(target)
