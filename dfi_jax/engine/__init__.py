"""Features to images: problems, their objective, the solver, and the queue through the devices.

Everything here is functions on pytrees. No file, photo or clock is known in this folder.
"""
