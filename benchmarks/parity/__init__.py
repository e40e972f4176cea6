"""Equality with upstream code and speed beside it: MT3, MT3-PyTorch, MR-MT3 and YourMT3 on shared random weights."""
