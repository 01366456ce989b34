import jax
import pytest

from dfi_jax import InputError
from dfi_jax.engine.share import LAUNCHERS, Share, joined_share, launched_share


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    """An environment that nothing has launched."""
    for name in (name for launcher in LAUNCHERS for name in launcher if name):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(monkeypatch):
    """The settings of JAX that were changed."""
    changed = {}
    monkeypatch.setattr(jax.config, "update", changed.__setitem__)
    return changed


def set_all(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def test_the_shares_of_the_work_are_all_of_it_once():
    assert [Share(i, 3).of(range(8)) for i in range(3)] == [[0, 3, 6], [1, 4, 7], [2, 5]]
    assert [Share(i, 3).of([7]) for i in range(3)] == [[7], [], []]


def test_processes_that_jax_has_joined_share_the_work(monkeypatch):
    monkeypatch.setattr("jax.process_index", lambda: 2)
    monkeypatch.setattr("jax.process_count", lambda: 5)
    assert joined_share() == Share(2, 5)


def test_the_environment_states_the_share(monkeypatch, settings):
    set_all(monkeypatch, OMPI_COMM_WORLD_RANK="1", OMPI_COMM_WORLD_SIZE="2")
    assert launched_share() == Share(1, 2)
    set_all(monkeypatch, SLURM_PROCID="6", SLURM_NTASKS="8")
    assert launched_share() == Share(6, 8)
    # A user's own settings come first.
    set_all(monkeypatch, JAX_PROCESS_ID="3", JAX_NUM_PROCESSES="4")
    assert launched_share() == Share(3, 4)
    assert settings == {}


def test_processes_that_a_launcher_starts_on_one_machine_take_one_gpu_each(monkeypatch, settings):
    set_all(monkeypatch, SLURM_PROCID="6", SLURM_NTASKS="8", SLURM_LOCALID="2")
    assert launched_share() == Share(6, 8)
    assert settings == {"jax_cuda_visible_devices": "2", "jax_rocm_visible_devices": "2"}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "set JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start"),
        ({"JAX_PROCESS_ID": "0"}, "set JAX_NUM_PROCESSES and JAX_PROCESS_ID, or start"),
        ({"JAX_PROCESS_ID": "one", "JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID is 'one'"),
        ({"JAX_PROCESS_ID": "-1", "JAX_NUM_PROCESSES": "2"}, "JAX_PROCESS_ID is '-1'"),
        ({"JAX_PROCESS_ID": "0", "JAX_NUM_PROCESSES": ""}, "JAX_NUM_PROCESSES is ''"),
        ({"JAX_PROCESS_ID": "2", "JAX_NUM_PROCESSES": "2"}, "number the processes from 0"),
        ({"JAX_PROCESS_ID": "9" * 5000, "JAX_NUM_PROCESSES": "2"}, "set it to a number"),
        ({"JAX_PROCESS_ID": "0", "JAX_NUM_PROCESSES": "0"}, "number the processes from 0"),
    ],
)
def test_a_share_that_cannot_be_is_one_sentence(monkeypatch, variables, sentence):
    set_all(monkeypatch, **variables)
    with pytest.raises(InputError, match=sentence):
        launched_share()
