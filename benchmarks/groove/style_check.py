"""Are styles what they say? Generated patterns told apart by a classifier, swing as asked, the producers' figures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict

from benchmarks.groove.likeness import table_of
from benchmarks.groove.sets import BARS, Window, human
from benchmarks.transcription.report import table
from tutti.capabilities.groove.features import GHOST_VELOCITY, strokes_of, swing_percent
from tutti.capabilities.groove.pattern import Pattern
from tutti.capabilities.groove.run import run
from tutti.capabilities.groove.styles import Lean, Style, find_style
from tutti.capabilities.groove.types import Options
from tutti.music.drum_kit import DRUM_CLASSES, class_of_key

__all__ = ["report"]

STYLES = {"funk": "Funk", "jazz": "Jazz", "hiphop": "Hip Hop", "rock": "Rock", "latin": "Latin"}
"""What drummers were asked for, and the style that should be it."""
PRODUCERS = ("J Dilla", "Questlove", "Metro Boomin")
COUNT = 50
_SEEDS = (21, 22)
_SWUNG_STYLES = ("Funk", "Rock", "Questlove")
_SWINGS = (50.0, 54.0, 58.0, 62.0, 66.7, 70.0)
_SWING_COUNT = 4
_SWINGING = ("hihat_closed", "hihat_open", "ride")
"""By what a producer's swing is measured: they lean least."""
_LEAN_MS, _SWING_POINTS, _SHARE, _VARIATION, _STRAY = 1.5, 2.0, 0.05, 0.03, 0.2
"""How far off a producer's pattern may be: leans beyond their range (ms), swing (points), share of ghosts, velocity
variation, and stray as a share of what is asked."""

Floats = NDArray[np.float64]


def _patterns(style: str, model: str, count: int, bars: int, seed: int, **asked: float | str) -> list[Pattern]:
    options = {"style": style, "bars": bars, "count": count, "seed": seed, "device": "cpu", **asked}
    if model != "tutti-groove":
        options["model"] = model
    return list(run(None, Options.model_validate(options)).patterns)


def _columns(patterns: Sequence[Pattern]) -> Floats:
    features = table_of(patterns)
    return np.stack([features[name] for name in sorted(features)], axis=1)


def _classifier(smallest_leaf: int = 20) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(
        max_iter=150,
        learning_rate=0.06,
        max_depth=4,
        min_samples_leaf=smallest_leaf,
        class_weight="balanced",
        random_state=0,
    )


def _confusion(truth: Sequence[str], said: Sequence[str]) -> str:
    """Rows are what it is, columns what it was taken for, in per cent of the row."""
    pairs, sizes = Counter(zip(truth, said, strict=True)), Counter(truth)
    rows = [
        [name, str(sizes[name]), *(f"{100 * pairs[name, other] / sizes[name]:.0f}" for other in STYLES)]
        for name in STYLES
        if sizes[name]
    ]
    return table(["% taken for", "patterns", *STYLES], rows)


def _agreement(truth: Sequence[str], said: Sequence[str]) -> str:
    right = np.mean(np.array(truth) == np.array(said))
    return f"{100 * right:.0f} % right, {100 * balanced_accuracy_score(truth, said):.0f} % as a mean over styles"


def _styles(model: str, count: int, bars: int) -> str:
    train, validation = (_of_styles(human(split, bars)) for split in ("train", "validation"))
    truth = [str(window.conditions.style) for window in train]
    values, groups = _columns([window.pattern for window in train]), [window.take for window in train]
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    guessed = cross_val_predict(_classifier(), values, truth, groups=groups, cv=folds).tolist()
    judge = _classifier().fit(values, truth)
    held = [str(window.conditions.style) for window in validation]
    held_said = judge.predict(_columns([window.pattern for window in validation])).tolist()
    made, made_said = [], []
    for name, style in STYLES.items():
        patterns = [each for seed in _SEEDS for each in _patterns(style, model, count, bars, seed)]
        made += [name] * len(patterns)
        made_said += judge.predict(_columns(patterns)).tolist()
    takes = len({window.take for window in validation})
    rare = [window.take for window in validation if window.conditions.style == "hiphop"]
    return "\n\n".join(
        [
            f"A classifier (gradient boosting on {values.shape[1]} features) that learnt the styles from windows of "
            f"{bars} bars of the training takes. What it can do at all is what it does with drummers.",
            f"**Training takes, five-fold, no take in two folds**: {_agreement(truth, guessed)}.",
            _confusion(truth, guessed),
            f"**Validation takes** ({takes}; hip-hop are {len(rare)} windows of {len(set(rare))}): "
            f"{_agreement(held, held_said)}.",
            _confusion(held, held_said),
            f"**Generated**: {_agreement(made, made_said)}.",
            _confusion(made, made_said),
        ]
    )


def _of_styles(windows: Sequence[Window]) -> list[Window]:
    return [window for window in windows if window.conditions.style in STYLES]


def _swing(model: str, count: int, bars: int) -> str:
    rows = []
    for style in _SWUNG_STYLES:
        for division, divisions in (("16th", 4), ("8th", 2)):
            found, near = [], []
            for asked in _SWINGS:
                patterns = _patterns(style, model, count, bars, _SEEDS[0], swing_percent=asked, swing_division=division)
                found.append([swing_percent(pattern, divisions) for pattern in patterns])
                near.append([swing_percent(pattern, divisions, lambda _name: True, asked) for pattern in patterns])
            means = [f"{np.nanmean(own):.1f}" if np.isfinite(own).any() else "–" for own in found]
            rows.append([f"{style}, {division}s", *means, *_farthest(found), *_farthest(near)])
    head = ["asked", *(f"{asked:g} %" for asked in _SWINGS), "patterns that tell", "worst deviation, points"]
    return (
        f"Swing as measured, means over {count} patterns of {bars} bars: by hi-hats and rides, as the result says of "
        "itself; in the last two columns by all pieces and near the place that was asked for. A "
        f"pattern with fewer than four second notes does not tell.\n\n{table([*head, *head[-2:]], rows)}"
    )


def _farthest(measured: Sequence[Sequence[float]]) -> list[str]:
    """How many of (asked, patterns) are known, and how far the farthest is from what was asked."""
    away = np.abs(np.array(measured) - np.array(_SWINGS)[:, None])
    known = away[np.isfinite(away)]
    return [f"{len(known)} of {away.size}", f"{known.max():.2f}" if len(known) else "–"]


@dataclass(frozen=True, slots=True)
class Feel:
    """A producer's pattern, measured without its rolls."""

    lean_excess_ms: float
    """How far the mean of a piece on a sixteenth lies outside its range, the farthest of all."""
    leans: tuple[tuple[str, float], ...]
    """(piece and place, mean ms) where the style names the place."""
    swing: float
    stray_ms: float
    ghosts: float
    variation: float


def _felt(pattern: Pattern, style: Style) -> Feel:
    """Of sixteenths that swing, the asked swing is taken out first; a voice that may stay straight is taken for what
    fits better, all of it."""
    pattern, _ = _without_rolls(pattern)
    s = strokes_of(pattern)
    late_ms = ((style.swing_percent or 50.0) / 100 - 0.5) * 0.5 * pattern.beat_ms
    maybe_straight = {places.voice for places in style.straight}
    excess, leans = 0.0, []
    residual = np.zeros(len(s.beat))
    for voice in np.unique(s.voice).tolist():
        name = DRUM_CLASSES[voice]
        tries = []
        for swings in (True, False) if name in maybe_straight else (True,):
            offsets = s.offset_ms - (s.step % 2) * late_ms * swings
            means = {
                step: float(offsets[(s.voice == voice) & (s.step == step)].mean())
                for step in np.unique(s.step[s.voice == voice]).tolist()
            }
            tries.append((max(_outside(mean, _range(style, name, step)) for step, mean in means.items()), means))
        worst, means = min(tries, key=lambda found: found[0])
        excess = max(excess, worst)
        for step, mean in means.items():
            chosen = (s.voice == voice) & (s.step == step)
            residual[chosen] = s.offset_ms[chosen] - s.offset_ms[chosen].mean()
            leans.append((_place_named(style, name, step), mean))
    snare = s.velocity[s.of(("snare",))]
    return Feel(
        excess,
        tuple(leans),
        swing_percent(pattern, 4, _SWINGING.__contains__),
        float(residual.std()),
        float((snare < GHOST_VELOCITY).mean()) if len(snare) else math.nan,
        _variation(s.velocity, (s.voice * s.steps + s.step) * 2 + (s.velocity < GHOST_VELOCITY)),
    )


def _lean_entry(style: Style, name: str, step: int) -> Lean | None:
    own = [lean for lean in style.lean if lean.voice == name]
    named = [lean for lean in own if lean.steps is not None and step in lean.steps]
    return next(iter([*named, *(lean for lean in own if lean.steps is None)]), None)


def _range(style: Style, name: str, step: int) -> tuple[float, float]:
    entry = _lean_entry(style, name, step)
    return (0.0, 0.0) if entry is None else entry.late_ms


def _place_named(style: Style, name: str, step: int) -> str:
    entry = _lean_entry(style, name, step)
    if entry is None:
        return "all others: 0 ms"
    where = "elsewhere" if entry.steps is None else f"on {', '.join(str(place) for place in entry.steps)}"
    return f"{name} {where}: {entry.late_ms[0]:g} to {entry.late_ms[1]:g} ms"


def _outside(value: float, span: tuple[float, float]) -> float:
    return max(span[0] - value, value - span[1], 0.0)


def _variation(velocity: Floats, groups: NDArray[np.int64]) -> float:
    _, index = np.unique(groups, return_inverse=True)
    usual = (np.bincount(index, velocity) / np.bincount(index))[index]
    return float((velocity / usual - 1).std())


def _without_rolls(pattern: Pattern) -> tuple[Pattern, list[int]]:
    """`pattern` without the closed hi-hats of half beats that hold three or more, and how many strokes those hold."""
    closed = [hit for hit in pattern if class_of_key(hit.key) == "hihat_closed"]
    halves = defaultdict(list)
    for hit in closed:
        halves[math.floor(hit.beat * 2 + 0.06)].append(hit)
    rolls = [hits for hits in halves.values() if len(hits) >= 3]
    gone = {id(hit) for hits in rolls for hit in hits}
    return pattern.with_hits(hit for hit in pattern if id(hit) not in gone), [len(hits) for hits in rolls]


def _faults(feel: Feel, style: Style) -> list[str]:
    """In what a pattern is not as its style says; what it does not tell is none."""
    away = {
        "leans": (feel.lean_excess_ms, _LEAN_MS),
        "swing": (abs(feel.swing - (style.swing_percent or 50.0)), _SWING_POINTS),
        "stray": (abs(feel.stray_ms / (style.stray_ms or 1.0) - 1), _STRAY),
        "ghosts": (abs(feel.ghosts - (style.ghost_note_prob or 0.0)), _SHARE),
        "velocity variation": (abs(feel.variation - (style.velocity_variation or 0.0)), _VARIATION),
    }
    return [name for name, (value, most) in away.items() if value > most]


def _producers(model: str, count: int, bars: int) -> str:
    made = {name: _patterns(name, model, count, bars, _SEEDS[0]) for name in PRODUCERS}
    rows, leans, faults = [], [], []
    for name, patterns in made.items():
        style = find_style(name)
        feels = [_felt(pattern, style) for pattern in patterns]
        missed = [_faults(feel, style) for feel in feels]
        asked = (style.swing_percent, style.stray_ms, style.ghost_note_prob, style.velocity_variation)
        found = ([getattr(feel, field) for feel in feels] for field in ("swing", "stray_ms", "ghosts", "variation"))
        inside = np.mean([not each for each in missed])
        excess = [feel.lean_excess_ms for feel in feels]
        rows.append(
            [
                name,
                *(f"{what:g}: {_spread(own)}" for what, own in zip(asked, found, strict=True)),
                f"{np.median(excess):.1f} / {np.max(excess):.1f}",
                f"{100 * inside:.0f} %",
            ]
        )
        by_place: Mapping[str, list[float]] = defaultdict(list)
        for feel in feels:
            for place, mean in feel.leans:
                by_place[place].append(mean)
        leans += [[name, place, str(len(means)), _spread(means)] for place, means in by_place.items()]
        counted = Counter(fault for each in missed for fault in each)
        faults.append(f"{name}: " + (", ".join(f"{what} {times}" for what, times in counted.items()) or "none"))
    head = ["asked: median (range)", "swing %", "stray ms", "ghost share", "velocity variation"]
    head += ["ms outside a lean, median / most", "patterns inside"]
    return "\n\n".join(
        [
            f"{count} patterns of {bars} bars of each producer, rolls left out. Inside is a pattern whose every piece "
            f"leans on every sixteenth as the style's file says, or {_LEAN_MS:g} ms from it, whose swing (of hi-hats "
            f"and ride, in sixteenths) is within {_SWING_POINTS:g} points, stray within {100 * _STRAY:.0f} %, ghosts "
            f"within {_SHARE:g}, velocity variation within {_VARIATION:g} of what is asked. What a pattern has too few "
            "strokes to tell is no fault.",
            table(head, rows),
            f"Patterns that miss something: {'; '.join(faults)}.",
            table(["producer", "piece, sixteenths, range", "measured", "mean ms, median (range)"], leans),
            _rolls(made["Metro Boomin"], find_style("Metro Boomin")),
            _told_apart(made),
        ]
    )


def _spread(values: Sequence[float]) -> str:
    known = np.array(values)[np.isfinite(values)]
    if not len(known):
        return "–"
    digits = 2 if np.abs(known).max() < 1 else 1
    return f"{np.median(known):.{digits}f} ({known.min():.{digits}f} to {known.max():.{digits}f})"


def _rolls(patterns: Sequence[Pattern], style: Style) -> str:
    counts = [_without_rolls(pattern)[1] for pattern in patterns]
    sizes = Counter(2 * size for own in counts for size in own)
    all_halves = max(1, sum(sizes.values()))
    kinds = ", ".join(f"{kind} a beat {100 * times / all_halves:.0f} %" for kind, times in sorted(sizes.items()))
    bars = sum(pattern.bars for pattern in patterns)
    within = np.mean([any(own) for own in counts])
    asked = style.rolls
    return (
        f"Rolls of Metro Boomin: {sum(sizes.values()) / bars:.2f} half beats a bar, in {100 * within:.0f} % of the "
        f"patterns; strokes: {kinds or 'none'}. Asked: a chance of {asked.chance if asked else 0:g} a beat, "
        f"{', '.join(map(str, asked.divisions if asked else ()))} strokes a beat."
    )


def _told_apart(made: Mapping[str, Sequence[Pattern]]) -> str:
    truth = [name for name, patterns in made.items() for _ in patterns]
    values = _columns([pattern for patterns in made.values() for pattern in patterns])
    folds = min(5, *(len(patterns) for patterns in made.values()))
    splits = StratifiedKFold(folds, shuffle=True, random_state=0)
    said = cross_val_predict(_classifier(3), values, truth, cv=splits)
    return (
        f"A classifier on features tells the three apart in {100 * np.mean(said == np.array(truth)):.1f} % of the "
        f"patterns ({folds}-fold cross-validation; goal 95 %)."
    )


def report(
    threads: int,  # noqa: ARG001 - threads are set by the caller
    model: str = "tutti-groove",
    count: int = COUNT,
    bars: int = BARS,
) -> str:
    parts = [_styles(model, count, bars), _swing(model, _SWING_COUNT, bars), _producers(model, count, bars)]
    return f"{__doc__}\n" + "\n\n".join(parts)
