"""The metrics, one file each, behind one port.

base       the port
"""
