"""The bars of a chart as MIDI time: 0 s is the start of the recording, and every beat lies where it was heard."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

from tutti.music.beats import Beats
from tutti.music.timing import Tempo, TempoMap, TimeSignature
from tutti.notation.sheet import Sheet

__all__ = ["Timeline", "timeline_of"]

_AT_ONCE_S = 1e-3
_LEAD_IN_PARTS = 8
"""What comes before the first beat is so many parts of a beat, or whole beats."""
_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Timeline:
    """Where the bars of a sheet are on a tempo map."""

    tempo_map: TempoMap
    time_signatures: tuple[TimeSignature, ...]
    begin: Fraction
    """Where the first bar begins (quarter notes of the map); negative where that is before the recording."""

    def seconds(self, quarters: Fraction) -> float:
        """The time in the recording of a place on the sheet (quarter notes from its first bar); what is before the
        recording is at its start."""
        return self.tempo_map.to_seconds(max(0.0, float(self.begin + quarters)))


def timeline_of(sheet: Sheet, beats: Beats) -> Timeline:
    """The timeline of `sheet`, all bars written out, that was made of `beats`.

    Beats go on before and after those that were heard as they do on the sheet. What is before the first bar becomes
    bars of its metre and a shorter one at the start, at about the first tempo. Without bars the tempo is that of the
    beats throughout, 120 without beats.
    """
    if not sheet.bars:
        quarters_bpm = beats.bpm * float(beats.beat_quarters) if len(beats.grid) > 1 else 120.0
        return Timeline(TempoMap.constant(quarters_bpm), (TimeSignature(),), Fraction(0))
    worth = beats.beat_quarters
    times_s = _beats_from(sheet.bars[0].start_s, beats)
    first = next((row for row, time_s in enumerate(times_s) if time_s >= -_AT_ONCE_S), len(times_s) - 2)
    lead_in = Fraction(0)
    if times_s[first] > _AT_ONCE_S:
        heard = times_s[first] / (times_s[first + 1] - times_s[first])
        parts = 1 if heard >= 1 else _LEAD_IN_PARTS
        lead_in = Fraction(max(1, round(heard * parts)), parts) * worth
    begin = lead_in - first * worth
    knots = [(Fraction(0), 0.0)] if lead_in else []
    knots += [(begin + row * worth, times_s[row]) for row in range(first, len(times_s))]
    return Timeline(_tempo_map(knots), _signatures(sheet, begin), begin)


def _beats_from(start_s: float, beats: Beats) -> list[float]:
    """The beats heard, and before them more at the first distance, from the one at `start_s` on."""
    times_s = beats.grid.times_s
    apart_s = times_s[1] - times_s[0]
    before = round((times_s[0] - start_s) / apart_s)
    return [times_s[0] - apart_s * row for row in range(before, 0, -1)] + list(times_s)


def _tempo_map(knots: list[tuple[Fraction, float]]) -> TempoMap:
    """Tempi of whole microseconds a quarter note, as MIDI has them, so chosen that their rounding does not add up."""
    tempi = []
    now_s = 0.0
    for (begin, _), (end, end_s) in pairwise(knots):
        length = float(end - begin)
        microseconds = max(1, round((end_s - now_s) * 1e6 / length))
        tempi.append(Tempo(float(begin), _MINUTE_US / microseconds))
        now_s += microseconds * length / 1e6
    return TempoMap(tuple(tempi))


def _signatures(sheet: Sheet, begin: Fraction) -> tuple[TimeSignature, ...]:
    """The metre of every bar where it changes, after what fills the time before the first whole one."""
    lines = list(accumulate((bar.quarters for bar in sheet.bars), initial=begin))
    whole = next((row for row, line in enumerate(lines) if line >= 0), len(lines) - 1)
    opening = sheet.bars[min(whole, len(sheet.bars) - 1)]
    short = lines[whole] % opening.quarters
    found = [_of_length(short, opening.denominator)] if short else []
    metre = None
    for line, bar in zip([short, *lines[whole + 1 :]], sheet.bars[whole:] or [opening], strict=False):
        if metre != (bar.numerator, bar.denominator):
            metre = bar.numerator, bar.denominator
            found.append(TimeSignature(*metre, float(line)))
    return tuple(found)


def _of_length(quarters: Fraction, denominator: int) -> TimeSignature:
    """A bar of `quarters`, counted in `denominator`-th notes where that is fine enough."""
    share = quarters / 4
    unit = max(denominator, share.denominator)
    return TimeSignature(int(share * unit), unit)
