"""The experiments and the benchmarks."""

NEEDS = {
    "benchmarks/accelerator": [],
    "benchmarks/editing": [],
    "benchmarks/scaling": ["dlib", "skimage"],
    "benchmarks/selection_speed": [],
    "benchmarks/throughput": [],
    "benchmarks/weights_cost": ["h5py", "scipy", "torch"],
    "experiments/alignment": ["dlib", "skimage"],
    "experiments/alpha_sweep": [],
    "experiments/counterfactuals": [],
    "experiments/demo": ["skimage"],
    "experiments/directions": [],
    "experiments/face_attributes": [],
    "experiments/fitted_vectors": [],
    "experiments/free_parameters": [],
    "experiments/genders": [],
    "experiments/identity": ["dlib"],
    "experiments/normalization": [],
    "experiments/precision": [],
    "experiments/preconditioner": [],
    "experiments/smile_sweep": [],
    "experiments/solver": ["skimage"],
    "experiments/starter_vectors": [],
    "experiments/vectors": [],
    "experiments/warping": ["dlib"],
}
"""The packages of extras that each program needs."""
