"""How good a result is, measured on the finished video."""
