"""Measurements of tutti beside its peers.

The test command leaves them out: they take minutes and need a quiet machine.
"""
