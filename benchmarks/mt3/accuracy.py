"""`tutti-mt3-tiny` beside `tutti-notes` on the sets of the [transcription benchmark](transcription.md), in one run.

F1 by onset (50 ms) and pitch, and with the end as well; drums by onset of any class. Means over pieces.
"""

from __future__ import annotations

from statistics import fmean

import torch

import tutti
from benchmarks.transcription.folders import DATA
from benchmarks.transcription.report import table
from benchmarks.transcription.scores import PieceScore, score_piece
from benchmarks.transcription.sets import SETS, Piece

MODELS = ("tutti-notes", "tutti-mt3-tiny")


def report(threads: int) -> str:
    torch.set_num_threads(threads)
    models = [tutti.load_model(name, device="cpu") for name in MODELS]
    rows = []
    for entry in SETS:
        pieces = entry.pieces(DATA)
        scores = [[_score(model, piece) for piece in pieces] for model in models]
        theirs, ours = (fmean(score.f1 for score in each) for each in scores)
        ends = ["–" if entry.drums else f"{fmean(score.f1_with_offset for score in each):.3f}" for each in scores]
        rows.append([entry.title, str(len(pieces)), f"{theirs:.3f}", f"{ours:.3f}", f"{ours / theirs:.2f}", *ends])
    head = ["set", "pieces", *MODELS, "ratio", *(f"{name}, with ends" for name in MODELS)]
    return f"{__doc__}\n{table(head, rows)}"


def _score(model: tutti.LoadedModel, piece: Piece) -> PieceScore:
    return score_piece(piece.name, piece.references, model.transcribe(piece.audio).notes, knows_drums=True)
