"""From a job to a lip-synced video and its manifest. START HERE: render.py."""
