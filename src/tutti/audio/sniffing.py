"""Which container a file is, by what it holds and never by its name. Standard library only.

What is not listed here is not decoded: the list is what keeps playlists, image sequences and other
containers that open further files or addresses away from the decoders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["ACCEPTED", "Container", "sniff"]

ReadAt = Callable[[int, int], bytes]
"""(offset, size) → at most `size` bytes."""

ACCEPTED: Final = "Give WAV, FLAC, MP3, OGG/Opus, AIFF, M4A/AAC, or a video (MP4, MOV, MKV, WebM) with sound."
"""The next step in every message about a file that is something else."""

_ADTS_RATES: Final = 13
_MAX_PADDING_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Container:
    """A container and who opens it: libsndfile first when `by_libsndfile`, then FFmpeg's `demuxer`."""

    name: str
    by_libsndfile: bool
    demuxer: str
    estimates_duration: bool = False
    """True when the container states no length and FFmpeg would guess one from the bit rate."""


_WAV: Final = Container("WAV", True, "wav")
_FLAC: Final = Container("FLAC", True, "flac")
_MP4: Final = Container("MP4/M4A", False, "mov")
_MP3_COUNTED: Final = Container("MP3", True, "mp3")
# libsndfile guesses the length of an MP3 without a frame count from its first frames and reads no further
# than its guess: variable bit rates lose most of the recording. FFmpeg reads to the end.
_MP3_UNCOUNTED: Final = Container("MP3", False, "mp3", estimates_duration=True)
_ADTS: Final = Container("AAC", False, "aac", estimates_duration=True)

_MAGIC: Final[tuple[tuple[bytes, Container], ...]] = (
    (b"RF64", Container("RF64", True, "wav")),
    (b"riff\x2e\x91\xcf\x11", Container("W64", True, "w64")),
    (b"fLaC", _FLAC),
    (b"OggS", Container("OGG", True, "ogg")),
    (b"caff", Container("CAF", True, "caf")),
    (b".snd", Container("AU", True, "au")),
    (b"\x1a\x45\xdf\xa3", Container("Matroska/WebM", False, "matroska")),
)
_CHUNKED: Final[dict[tuple[bytes, bytes], Container]] = {
    (b"RIFF", b"WAVE"): _WAV,
    (b"RIFF", b"AVI "): Container("AVI", False, "avi"),
    (b"FORM", b"AIFF"): Container("AIFF", True, "aiff"),
    (b"FORM", b"AIFC"): Container("AIFF-C", True, "aiff"),
}
_MP4_ATOMS: Final = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})


def sniff(read_at: ReadAt) -> Container | None:
    """The container whose bytes `read_at` gives, or None when it is none that tutti decodes."""
    head = read_at(0, 16)
    for magic, container in _MAGIC:
        if head.startswith(magic):
            return container
    if (chunked := _CHUNKED.get((head[:4], head[8:12]))) is not None:
        return chunked
    if head[4:8] in _MP4_ATOMS:
        return _MP4
    return _sniff_frames(read_at, _skip_tags(read_at))


def _skip_tags(read_at: ReadAt) -> int:
    """Offset behind any ID3v2 tags and zero padding."""
    offset = 0
    while (tag := read_at(offset, 10)).startswith(b"ID3") and len(tag) == 10:
        footer = 10 if tag[5] & 0x10 else 0
        offset += 10 + footer + sum((byte & 0x7F) << shift for byte, shift in zip(tag[6:], (21, 14, 7, 0), strict=True))
    padded = read_at(offset, _MAX_PADDING_BYTES)
    return offset + len(padded) - len(padded.lstrip(b"\0"))


def _sniff_frames(read_at: ReadAt, offset: int) -> Container | None:
    """MPEG audio frames have no container: their first header must make sense."""
    frame = read_at(offset, 64)
    if frame.startswith(b"fLaC"):
        return _FLAC
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    if frame[1] & 0xF6 == 0xF0:
        return _ADTS if (frame[2] >> 2) & 0xF < _ADTS_RATES else None
    version, layer, bit_rate, rate = (frame[1] >> 3) & 3, (frame[1] >> 1) & 3, frame[2] >> 4, (frame[2] >> 2) & 3
    if version == 1 or layer == 0 or bit_rate == 15 or rate == 3:
        return None
    return _MP3_COUNTED if _has_frame_count(frame, version) else _MP3_UNCOUNTED


def _has_frame_count(frame: bytes, version: int) -> bool:
    """Whether the first MP3 frame is a Xing/Info header that states the number of frames."""
    is_mono = frame[3] >> 6 == 3
    is_mpeg1 = version == 3
    start = 4 + ((17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17))
    xing = frame[start : start + 8]
    return xing[:4] in (b"Xing", b"Info") and len(xing) == 8 and bool(xing[7] & 1)
