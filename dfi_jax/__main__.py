"""The command line, run as `python -m dfi_jax`."""

from dfi_jax.cli.main import app

if __name__ == "__main__":
    app(prog_name="dfi")
