"""The networks of the golden numbers, as files that carry their architectures."""

import json

from safetensors.torch import save_file

from benchmarks.golden import signal
from worker.engines.musetalk import architecture


def write(folder):
    """Write the three files; their paths by `unet`, `vae` and `whisper`, as `Networks.load` takes them."""
    networks = {"unet": signal.unet(), "vae": signal.vae(), "whisper": signal.whisper()}
    files = {}
    for part, network in networks.items():
        config = {name: getattr(network.config, name) for name in architecture.PARTS[part].config}
        files[part] = folder / f"{part}.safetensors"
        save_file(network.state_dict(), files[part], metadata={"config": json.dumps(config)})
    return files
