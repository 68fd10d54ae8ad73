"""The weight-free engine: warps the mouth by the audio, on the CPU."""
