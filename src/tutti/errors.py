"""Every error tutti raises on purpose, as one tree.

    TuttiError
    ├── UsageError                what was asked for makes no sense            exit 2   HTTP 422
    │   ├── OptionError           an option is out of range or contradicts another
    │   ├── UnknownModelError     no card of that name (HTTP 404)
    │   ├── UnknownStyleError     no drum style of that name (HTTP 404)
    │   ├── UnknownFormatError    no writer for that suffix
    │   └── CorrectionError       a correction cannot be made to this chart
    ├── InputError                a file or stream that was given              exit 1
    │   ├── InputNotFoundError    is not there (HTTP 404)
    │   ├── InputAccessError      may not be read, or is a directory (HTTP 403)
    │   ├── AudioFormatError      holds no audio tutti can decode (HTTP 415)
    │   ├── AudioEmptyError       holds no samples (HTTP 422)
    │   ├── AudioLimitError       is longer, wider or faster than the limits (HTTP 413)
    │   ├── DecoderError          broke or outran its decoder process (HTTP 422)
    │   ├── MidiError             is not readable MIDI or JSON notes (HTTP 415)
    │   ├── ChartFileError        is not a chart that tutti wrote (HTTP 415)
    │   └── LinkError             a link that cannot be fetched
    │       ├── LinkRefusedError  leads where tutti does not go, or where one must log in (HTTP 403)
    │       ├── LinkGoneError     leads nowhere any more (HTTP 404)
    │       ├── LinkLimitError    leads to more bytes, sound or waiting than allowed (HTTP 413)
    │       └── LinkNotAudioError leads to something that holds no sound (HTTP 415)
    ├── StyleError                a file that describes a drum style is malformed  exit 1   HTTP 500
    ├── OutputError               a result could not be written (disk, rights)  exit 1   HTTP 507
    │   └── EngravingError        a program that prints a score broke or outran its time (HTTP 500)
    ├── WeightsError              a model cannot be used                        exit 1   HTTP 503
    │   ├── CardError             its card is malformed
    │   ├── WeightsMissingError   its file is not on this machine
    │   ├── HashMismatchError     its file is not the file the card names
    │   ├── DownloadError         its file could not be fetched
    │   └── StrictLoadingError    keys or shapes differ from the network's
    ├── DeviceError               no such device here                           exit 2   HTTP 422
    ├── MissingExtraError         an optional package is not installed          exit 1   HTTP 501
    ├── TrainingError             a recipe lacks its material                   exit 1   HTTP 500
    └── Cancelled                 the caller asked to stop                      exit 130 HTTP 499

Every message says what happened and what to do next. `code` is the stable machine-readable name.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "AudioEmptyError",
    "AudioFormatError",
    "AudioLimitError",
    "Cancelled",
    "CardError",
    "ChartFileError",
    "CorrectionError",
    "DecoderError",
    "DeviceError",
    "DownloadError",
    "EngravingError",
    "HashMismatchError",
    "InputAccessError",
    "InputError",
    "InputNotFoundError",
    "LinkError",
    "LinkGoneError",
    "LinkLimitError",
    "LinkNotAudioError",
    "LinkRefusedError",
    "MidiError",
    "MissingExtraError",
    "OptionError",
    "OutputError",
    "StrictLoadingError",
    "StyleError",
    "TrainingError",
    "TuttiError",
    "UnknownFormatError",
    "UnknownModelError",
    "UnknownStyleError",
    "UsageError",
    "WeightsError",
    "WeightsMissingError",
    "printable",
]


def printable(text: str) -> str:
    """`text` on one line that any terminal or log can show: what it would not show as itself is escaped."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class TuttiError(Exception):
    """Root of the tree. `str(error)` is one plain sentence or two, safe to show to a user."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500


class UsageError(TuttiError):
    code = "usage"
    exit_code = 2
    http_status = 422


class OptionError(UsageError):
    code = "bad_option"


class UnknownModelError(UsageError):
    code = "unknown_model"
    http_status = 404


class UnknownStyleError(UsageError):
    code = "unknown_style"
    http_status = 404


class UnknownFormatError(UsageError):
    code = "unknown_format"


class CorrectionError(UsageError):
    code = "bad_correction"


class InputError(TuttiError):
    code = "bad_input"
    http_status = 422


class InputNotFoundError(InputError):
    code = "input_not_found"
    http_status = 404


class InputAccessError(InputError):
    code = "input_access"
    http_status = 403


class AudioFormatError(InputError):
    code = "not_audio"
    http_status = 415


class AudioEmptyError(InputError):
    code = "empty_audio"


class AudioLimitError(InputError):
    code = "audio_limit"
    http_status = 413


class DecoderError(InputError):
    code = "decoder_failed"


class MidiError(InputError):
    code = "bad_notes_file"
    http_status = 415


class ChartFileError(InputError):
    code = "bad_chart_file"
    http_status = 415


class LinkError(InputError):
    code = "bad_link"


class LinkRefusedError(LinkError):
    code = "link_refused"
    http_status = 403


class LinkGoneError(LinkError):
    code = "link_gone"
    http_status = 404


class LinkLimitError(LinkError):
    code = "link_limit"
    http_status = 413


class LinkNotAudioError(LinkError):
    code = "link_not_audio"
    http_status = 415


class StyleError(TuttiError):
    code = "bad_style"


class OutputError(TuttiError):
    code = "output"
    http_status = 507


class EngravingError(OutputError):
    code = "engraving_failed"
    http_status = 500


class WeightsError(TuttiError):
    code = "weights"
    http_status = 503


class CardError(WeightsError):
    code = "bad_card"


class WeightsMissingError(WeightsError):
    code = "weights_missing"


class HashMismatchError(WeightsError):
    code = "hash_mismatch"


class DownloadError(WeightsError):
    code = "download_failed"


class StrictLoadingError(WeightsError):
    code = "strict_loading"


class DeviceError(TuttiError):
    code = "device"
    exit_code = 2
    http_status = 422


class MissingExtraError(TuttiError):
    code = "missing_extra"
    http_status = 501


class TrainingError(TuttiError):
    code = "training"


class Cancelled(TuttiError):  # noqa: N818 - not a fault; the caller asked for it
    code = "cancelled"
    exit_code = 130
    http_status = 499
