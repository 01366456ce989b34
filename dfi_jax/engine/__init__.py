"""Features to images: problems, their objective, the solver, and the queue through the devices.

The functions here take and return pytrees. None of them reads a file, a photo or a clock.
"""
