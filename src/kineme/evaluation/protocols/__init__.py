"""One file per protocol: how the field scores an encoder."""
