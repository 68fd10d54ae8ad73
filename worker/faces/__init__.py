"""Find a face, follow it, and say where its mouth is."""
