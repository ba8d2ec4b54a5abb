"""Layers and losses, as in ``torch.nn``: tensors in, tensors out; nothing here knows of clips."""
