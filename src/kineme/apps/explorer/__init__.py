"""The page on which a set of movements is looked at, served to one's own machine: map, player, neighbours."""
