"""Bad input to the installed console script: exact exit status, code and message, and nothing half-written."""

import json
import os
import re
import resource
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

import tutti as tutti_package
from tutti.cli.inputs import AUDIO_SUFFIXES

Run = Callable[..., subprocess.CompletedProcess[str]]

RATE_HZ = 16_000


def wav_header(channels: int, sample_rate_hz: int, data: bytes = b"") -> bytes:
    """A WAV of 16-bit samples whose header says what it is told to."""
    frame = 2 * channels
    form = struct.pack("<HHIIHH", 1, channels, sample_rate_hz, sample_rate_hz * frame % 2**32, frame % 2**16, 16)
    chunks = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def sine(seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def samples(path: Path, values: np.ndarray, **how: str) -> None:
    soundfile.write(path, values, RATE_HZ, **how)


def truncated_mp3(path: Path) -> None:
    samples(path, sine(4.0), format="MP3")
    path.write_bytes(path.read_bytes()[:40])


def not_a_number(path: Path) -> None:
    values = sine()
    values[100:200] = np.nan
    values[300] = np.inf
    samples(path, values, subtype="FLOAT")


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[Path], object]
    code: str
    """Empty when the input is good enough to be transcribed."""
    message: str


CASES = (
    Case("empty.wav", lambda p: p.touch(), "empty_audio", "empty.wav: is empty (0 bytes). Record or export it again."),
    Case(
        "header_only.wav",
        lambda p: p.write_bytes(wav_header(1, RATE_HZ)),
        "empty_audio",
        "header_only.wav: holds no samples. Record or export it again.",
    ),
    Case(
        "cut.mp3",
        truncated_mp3,
        "not_audio",
        "cut.mp3: cannot be decoded as MP3 (its frames make no sense). Export it again.",
    ),
    Case(
        "text.wav",
        lambda p: p.write_text("this is a text\n" * 50),
        "not_audio",
        "text.wav: holds no sound that tutti can decode (it looks like text). Give WAV, FLAC, MP3, OGG/Opus, AIFF, "
        "M4A/AAC, or a video (MP4, MOV, MKV, WebM) with sound.",
    ),
    Case(
        "nan.wav",
        not_a_number,
        "",
        "101 samples were not finite numbers or absurdly loud; they were replaced by silence.",
    ),
    Case(
        "none.wav",
        lambda p: p.write_bytes(wav_header(0, RATE_HZ, bytes(64))),
        "not_audio",
        "none.wav: cannot be decoded as WAV (Channel count is zero). Export it again.",
    ),
    Case(
        "wide.wav",
        lambda p: p.write_bytes(wav_header(64, RATE_HZ, bytes(12800))),
        "audio_limit",
        "wide.wav: has 64 channels, more than the limit of 32. Mix it down first.",
    ),
    Case(
        "slow.wav",
        lambda p: p.write_bytes(wav_header(1, 1, bytes(64))),
        "audio_limit",
        "slow.wav: has a sample rate of 1 Hz, below the limit of 2000 Hz. Check its header, or resample it.",
    ),
    Case(
        "fast.wav",
        lambda p: p.write_bytes(wav_header(1, 768_000, bytes(64))),
        "audio_limit",
        "fast.wav: has a sample rate of 768000 Hz, above the limit of 384000 Hz. Check its header, or resample it.",
    ),
    Case("silence.wav", lambda p: samples(p, np.zeros(RATE_HZ, np.float32)), "", ""),
    Case("a b — ünï 歌\n.wav", lambda p: samples(p, sine()), "", ""),
    Case("gone.wav", lambda _: None, "input_not_found", "gone.wav: is not there. Check the path."),
    Case(
        "empty_folder",
        lambda p: p.mkdir(),
        "input_not_found",
        f"The folder 'empty_folder' holds no recordings (files ending in {', '.join(sorted(AUDIO_SUFFIXES))}). "
        "To open a file whatever its ending, name the file itself.",
    ),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_told_by_code_and_message_and_leaves_nothing(case: Case, tutti: Run, tmp_path: Path) -> None:
    case.make(tmp_path / case.name)
    answer = tutti("transcribe", case.name, "-o", "out/", "--json")
    (line,) = map(json.loads, answer.stdout.splitlines())
    assert line["input"] == case.name
    assert "Traceback" not in answer.stderr
    if case.code:
        assert answer.returncode == 1
        assert (line["status"], line["error"]["code"], line["outputs"]) == ("failed", case.code, [])
        assert line["error"]["message"] == case.message
        assert len(answer.stderr.splitlines()) == 1
        assert not (tmp_path / "out").exists()
    else:
        assert answer.returncode == 0, answer.stderr
        assert not case.message or case.message in line["warnings"]
        assert [str(path.relative_to(tmp_path)) for path in (tmp_path / "out").iterdir()] == line["outputs"]


def test_a_flac_that_unpacks_to_hours_is_refused(tutti: Run, tmp_path: Path) -> None:
    """Five hours of silence in a file of a few hundred kilobytes."""
    with soundfile.SoundFile(tmp_path / "bomb.flac", "w", 8000, 1, format="FLAC") as file:
        for _ in range(5 * 60):
            file.write(np.zeros(60 * 8000, np.int16))
    answer = tutti("transcribe", "bomb.flac", "--json")
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["error"]["code"] == "audio_limit"
    assert "is longer than the limit" in answer.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.flac"]


def as_nobody(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The script without the rights of root, who may read everything."""
    script = Path(sys.executable).with_name("tutti")
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=0", "--clear-groups"]
    prefix = command if os.geteuid() == 0 else []
    return subprocess.run([*prefix, script, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_a_file_that_may_not_be_read_is_said_to_be_so(tmp_path: Path) -> None:
    samples(tmp_path / "locked.wav", sine())
    (tmp_path / "locked.wav").chmod(0)
    answer = as_nobody("transcribe", "locked.wav", "--json", cwd=tmp_path)
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["error"]["code"] == "input_access"
    assert [path.name for path in tmp_path.iterdir()] == ["locked.wav"]


def test_a_folder_that_may_not_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    samples(tmp_path / "song.wav", sine())
    (tmp_path / "out").mkdir(mode=0o500)
    answer = as_nobody("transcribe", "song.wav", "-o", "out/", "--json", cwd=tmp_path)
    assert answer.returncode == 1
    assert json.loads(answer.stdout)["error"]["code"] == "output"
    assert list((tmp_path / "out").iterdir()) == []


def test_a_full_disk_is_said_to_be_full_and_nothing_half_written_is_left(recording: Path, tmp_path: Path) -> None:
    """No file of this process may grow past 4,096 bytes: the picture does not fit, the MIDI does."""
    limit = 4096
    script = Path(sys.executable).with_name("tutti")
    shutil.copy(recording, tmp_path / "song.flac")
    answer = subprocess.run(
        [script, "transcribe", "song.flac", "-o", "out/", "--format", "png", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MPLCONFIGDIR": str(tmp_path / "matplotlib")},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert answer.returncode == 1
    line = json.loads(answer.stdout)
    assert (line["error"]["code"], line["outputs"]) == ("output", [])
    assert list((tmp_path / "out").iterdir()) == []


@pytest.fixture
def far_model(tutti: Run, tmp_path: Path) -> tuple[Path, bytes, dict[str, str]]:
    """A card `far` that is not in the package: where its file belongs, what it should hold, and the environment."""
    whole = Path(tutti("models", "path", "tutti-notes").stdout.strip())
    package = Path(tutti_package.__file__ or "").parent
    card = (package / "weights/cards/tutti-notes.toml").read_text()
    card = re.sub(r"^name = .*$", 'name = "far"', card, count=1, flags=re.MULTILINE)
    card = re.sub(r"^locations = .*$", 'locations = ["file:///nowhere/far"]', card, count=1, flags=re.MULTILINE)
    (tmp_path / "cards").mkdir()
    (tmp_path / "cards/far.toml").write_text(card)
    environment = {"TUTTI_CARDS_DIR": str(tmp_path / "cards"), "TUTTI_CACHE_DIR": str(tmp_path / "cache")}
    place = Path(tutti("models", "path", "far", **environment).stdout.strip())
    place.parent.mkdir(parents=True)
    return place, whole.read_bytes(), environment


def test_a_half_downloaded_model_is_not_used(
    tutti: Run, recording: Path, tmp_path: Path, far_model: tuple[Path, bytes, dict[str, str]]
) -> None:
    place, whole, environment = far_model
    place.with_name(place.name + ".part").write_bytes(whole[:1000])
    answer = tutti("transcribe", recording, "-o", "x.mid", "--model", "far", **environment)
    assert answer.returncode == 1
    assert answer.stderr == f"tutti: The weights of far are not at {place}. Fetch it: tutti models pull far.\n"
    assert not (tmp_path / "x.mid").exists()


def test_a_model_with_a_wrong_hash_is_not_used(
    tutti: Run, recording: Path, tmp_path: Path, far_model: tuple[Path, bytes, dict[str, str]]
) -> None:
    place, whole, environment = far_model
    place.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    answer = tutti("transcribe", recording, "-o", "x.mid", "--model", "far", **environment)
    assert answer.returncode == 1
    advice = "Delete it, then: tutti models pull far."
    assert answer.stderr == f"tutti: {place} is not the file that the card of far names. {advice}\n"
    assert not (tmp_path / "x.mid").exists()
