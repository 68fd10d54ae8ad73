"""What producer and worker agree on: jobs, manifests, keys, errors. Light: no torch, no av, no cv2."""
