"""What every program needs and none of it is about motion."""
