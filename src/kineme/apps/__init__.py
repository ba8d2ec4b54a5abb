"""Programs on top of the library; nothing imports them."""
