"""Recordings to notes: tutti beside Basic Pitch, the same files in the same run.

`python -m benchmarks.transcription` measures accuracy and speed, `python -m benchmarks.transcription.startup` what a
cold start and a three-hour file cost. Both print Markdown tables and can keep them in docs/benchmarks/transcription.md.
"""
