"""The networks as data: what the published weight files must hold."""

import hashlib
import json
import math

import pytest

from contract.errors import ConfigurationError
from worker.engines.musetalk.architecture import PARTS, UNET, VAE, WHISPER


def parameters(shapes):
    return sum(math.prod(shape) for shape in shapes.values())


def test_the_unet_has_the_686_tensors_of_musetalks_weight_files():
    shapes = UNET.shapes()
    listing = "\n".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in sorted(shapes.items()))
    assert (len(shapes), parameters(shapes)) == (686, 849_947_844)
    assert shapes["conv_in.weight"] == (320, 8, 3, 3)
    attention = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    assert shapes[attention] == (320, 384)
    # of all names and shapes in upstream's checkpoint
    assert hashlib.sha256(listing.encode()).hexdigest() == (
        "8548b000190de1b470f23236e5bace9dd8338d0493ee4bb6e00ff986998f6c39"
    )


def test_the_unet_has_eight_heads_whatever_its_config_calls_them():
    attention = UNET.network().mid_block.attentions[0].transformer_blocks[0].attn2
    assert (attention.heads, attention.to_q.out_features) == (8, 1280)


def test_the_vae_is_sd_vae_ft_mse():
    shapes = VAE.shapes()
    assert (len(shapes), parameters(shapes)) == (248, 83_653_863)
    assert VAE.network().config.scaling_factor == 0.18215
    assert shapes["encoder.mid_block.attentions.0.to_q.weight"] == (512, 512)


def test_whisper_is_the_encoder_of_whisper_tiny():
    shapes = WHISPER.shapes()
    assert (len(shapes), parameters(shapes)) == (67, 8_208_384)
    assert shapes["embed_positions.weight"] == (1500, 384)
    assert shapes["layers.3.fc1.weight"] == (1536, 384)


@pytest.mark.parametrize("part", PARTS)
def test_a_network_takes_no_memory_until_it_gets_its_tensors(part):
    network = PARTS[part].network()
    assert all(tensor.is_meta for tensor in (*network.parameters(), *network.buffers()))
    assert not network.training
    assert not any(each.requires_grad for each in network.parameters())


@pytest.mark.parametrize("part", PARTS)
def test_an_architecture_survives_the_metadata_of_a_file(part):
    architecture = PARTS[part]
    assert architecture.of(json.dumps(architecture.config)).shapes() == architecture.shapes()


def test_a_file_without_an_architecture_has_the_published_one():
    assert UNET.of(None) is UNET


@pytest.mark.parametrize("text", ["{", "[]", "8"])
def test_metadata_that_is_no_architecture_is_refused(text):
    with pytest.raises(ConfigurationError, match="metadata"):
        UNET.of(text)


@pytest.mark.parametrize(
    ("part", "config"),
    [
        ("unet", {"block_out_channels": [4]}),
        ("unet", {"no_such_setting": 1}),
        ("unet", {"block_out_channels": None}),
        ("unet", {"down_block_types": ["NoSuchBlock"], "up_block_types": ["NoSuchBlock"]}),
        ("vae", {"norm_num_groups": 7}),
        ("vae", {"norm_num_groups": 0}),
        ("whisper", {"d_model": 7, "encoder_attention_heads": 2}),
        ("whisper", {"d_model": "wide"}),
    ],
)
def test_an_architecture_that_makes_no_sense_is_refused(part, config):
    with pytest.raises(ConfigurationError, match="does not describe"):
        PARTS[part].of(json.dumps(config)).network()
