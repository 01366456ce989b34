"""The command line, `dfi …`: a thin layer over `dfi_jax`, whose names and defaults it uses."""
