"""The networks that judge, rebuilt so that only checked weights are loaded: no library fetches or unpickles any."""
