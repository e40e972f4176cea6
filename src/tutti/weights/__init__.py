"""Models on disk and in memory: cards, the store of weights, safe opening, devices, the cache of loaded models.

Nothing is imported here: `cards` and `store` work without a framework, `opening`, `devices` and `loaded` need torch.
"""
