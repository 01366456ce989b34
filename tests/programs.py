"""The experiments and the benchmarks."""

NEEDS = {
    "benchmarks/accelerator": [],
    "benchmarks/editing": [],
    "benchmarks/scaling": ["dlib", "skimage"],
    "benchmarks/selection_speed": [],
    "benchmarks/throughput": [],
    "benchmarks/weights_cost": ["h5py", "scipy", "torch"],
    "experiments/alignment": ["dlib", "skimage"],
    "experiments/counterfactuals": [],
    "experiments/demo": ["skimage"],
    "experiments/directions": [],
    "experiments/fitted_vectors": [],
    "experiments/gan": [],
    "experiments/genders": [],
    "experiments/identity": ["dlib"],
    "experiments/precision": [],
    "experiments/preconditioner": [],
    "experiments/smile_sweep": [],
    "experiments/solver": ["skimage"],
    "experiments/starter_vectors": [],
    "experiments/train_vae_gan": [],
    "experiments/vectors": [],
    "experiments/warping": ["dlib"],
}
"""The packages of extras that each program needs."""
