"""The three networks from their files."""

import torch


def test_the_networks_run_end_to_end(networks):
    with torch.inference_mode():
        mel = torch.randn(1, 80, 3000)
        hidden = networks.whisper(mel, output_hidden_states=True).hidden_states
        latents = networks.vae.encode(torch.randn(2, 3, 256, 256)).latent_dist.mode()
        out = networks.unet(torch.cat([latents, latents], 1), torch.randn(2, 50, 32))
        pictures = networks.vae.decode(out).sample
    assert [each.shape for each in hidden] == [(1, 1500, 32)] * 5
    assert latents.shape == out.shape == (2, 4, 32, 32)
    assert pictures.shape == (2, 3, 256, 256)
    assert all(torch.isfinite(each).all() and each.std() > 0.1 for each in (*hidden, latents, out, pictures))
