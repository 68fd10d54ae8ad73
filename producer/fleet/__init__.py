"""Keeps workers for the queue: containers on any number of hosts, one for each free GPU.

cli        `dubline fleet`, and the loop until Ctrl-C; report: what it tells a person or a script
fleet      START HERE: one look at everything, and what follows from it
policy     how many workers there should be, and which of them go; a pure function
load       what there is to do, and how long it takes
crew       a container and what its worker says of itself, as one; draining: how one of them goes without a job lost
crashes    workers that end by themselves, and when they are tried again
host       the port to a container engine, its slots and its containers; dockerhost: the same by the SDK of Docker
order      what a worker's container is told: image, network, settings, limits

State lies in Docker and in Redis: a fleet that is interrupted finds its workers again by their labels.
"""
