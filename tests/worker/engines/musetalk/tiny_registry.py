"""Tiny networks as files where the cache folder of weights has the real ones, and the registry that lets them in.

Imports no torch before it writes: a worker's parent process imports this, too.
"""

import hashlib

from worker.weights import registry

PLACES = {
    "unet-v15": ("tiny-v15", "unet.safetensors"),
    "unet-v1": ("tiny-v1", "unet.safetensors"),
    "vae": ("tiny", "vae.safetensors"),
    "whisper-tiny": ("tiny", "whisper.safetensors"),
}
"""Each one's revision and file, as `<folder>/<revision>/<file>`."""


def write_weights(folder):
    """The variants' UNets differ."""
    from tests.worker.engines.musetalk import tiny

    for seed, revision in enumerate(("tiny-v1", "tiny-v15", "tiny")):
        tiny.write(folder / revision, seed=seed)


def of(folder):
    """The registry with the folder's files in place of the real ones: as they are now, and no others."""
    return tuple(_entry(each.name, folder) if each.name in PLACES else each for each in registry.REGISTRY)


def _entry(name, folder):
    revision, file = PLACES[name]
    content = (folder / revision / file).read_bytes()
    source = registry.Url(f"http://nowhere.invalid/{file}")
    return registry.Weight(name, revision, source, hashlib.sha256(content).hexdigest(), len(content), "none")
