"""The reader of D4RL-layout files: what it reads, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
from recordings import hopper_arrays, write_hdf5

from decision_minrnn.data import load_dataset
from decision_minrnn.errors import DataError


def test_episodes_end_at_terminals_and_timeouts(tmp_path: Path) -> None:
    arrays = hopper_arrays(lengths=(3, 2, 4))
    data = load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays))
    np.testing.assert_array_equal(data.offsets, [0, 3, 5, 9])
    np.testing.assert_array_equal(data.terminated, [True, False, False])
    np.testing.assert_array_equal(data.truncated, [False, True, True])
    np.testing.assert_array_equal(data.returns, [1 + 2 + 3, 4 + 5, 6 + 7 + 8 + 9])
    np.testing.assert_array_equal(data.observations, arrays["observations"])
    np.testing.assert_array_equal(data.actions, arrays["actions"])


def test_a_trailing_piece_is_left_out_and_counted(tmp_path: Path) -> None:
    data = load_dataset(write_hdf5(tmp_path / "x.hdf5", hopper_arrays(lengths=(3, 2), tail=7)))
    assert (data.steps, data.episodes) == (5, 2)
    assert "without the last 7 steps" in data.source


def test_a_trailing_piece_is_kept_on_request_as_an_episode_of_its_own(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", hopper_arrays(lengths=(3, 2), tail=2))
    data = load_dataset(path, keep_unfinished=True)
    np.testing.assert_array_equal(data.offsets, [0, 3, 5, 7])
    np.testing.assert_array_equal(data.finished, [True, True, False])
    np.testing.assert_array_equal(data.finished_returns, [6, 9])
    np.testing.assert_array_equal(data.returns_to_go, [6, 5, 3, 9, 5, 13, 7])
    assert "the last 2 steps are an unfinished episode, kept" in data.source
    # nothing to keep: the same either way
    whole = write_hdf5(tmp_path / "y.hdf5", hopper_arrays())
    assert load_dataset(whole, keep_unfinished=True).source == load_dataset(whole).source


def test_a_damaged_trailing_piece_matters_only_where_it_is_kept(tmp_path: Path) -> None:
    arrays = hopper_arrays(lengths=(3, 2), tail=2)
    arrays["rewards"][6] = np.nan
    path = write_hdf5(tmp_path / "x.hdf5", arrays)
    assert load_dataset(path).steps == 5
    with pytest.raises(DataError, match="rewards holds NaN in 1 of 7 steps"):
        load_dataset(path, keep_unfinished=True)


def test_episodes_cut_before_the_time_limit_are_counted(tmp_path: Path) -> None:
    # the first terminates at step 3, the second is cut at 2, the third reaches Hopper's limit of 1000
    path = write_hdf5(tmp_path / "hopper_x.hdf5", hopper_arrays(lengths=(3, 2, 1000), tail=1))
    data = load_dataset(path, keep_unfinished=True)
    np.testing.assert_array_equal(data.cut_short, [False, True, False, False])
    assert "1 episodes cut short, before step 1,000" in data.source
    # without an environment nobody knows the limit
    assert not load_dataset(write_hdf5(tmp_path / "x.hdf5", hopper_arrays())).cut_short.any()


def test_ant_of_d4rl_has_its_own_environment_card(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    arrays["observations"], arrays["actions"] = np.zeros((5, 111), np.float32), np.zeros((5, 8), np.float32)
    data = load_dataset(write_hdf5(tmp_path / "ant_mine.hdf5", arrays))
    assert data.env is not None
    assert (data.env.name, data.env_id) == ("ant-d4rl", None)
    assert data.references["d4rl"].max == 3879.7
    assert "no gymnasium id to evaluate in: D4RL recorded 111 observations in Ant-v2" in data.source
    arrays["observations"] = np.zeros((5, 105), np.float32)
    assert load_dataset(write_hdf5(tmp_path / "ant_v5.hdf5", arrays)).env_id == "Ant-v5"


def test_float64_is_read_as_float32(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    doubled = {name: a.astype(np.float64) if a.dtype == np.float32 else a for name, a in arrays.items()}
    data = load_dataset(write_hdf5(tmp_path / "x.hdf5", doubled))
    assert {a.dtype for a in (data.observations, data.actions, data.rewards)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(data.observations, arrays["observations"])


def test_a_value_too_large_for_float32_is_refused(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    arrays["rewards"] = arrays["rewards"].astype(np.float64)
    arrays["rewards"][1] = 1e300
    with pytest.raises(DataError, match=r"rewards holds infinite values in 1 of 5 steps, first at step 1"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays))


@pytest.mark.parametrize("env_id", ["Hopper-v5", b"Hopper-v5"])
def test_stored_environment(tmp_path: Path, env_id: str | bytes) -> None:
    data = load_dataset(write_hdf5(tmp_path / "x.hdf5", hopper_arrays(), env_id))
    assert data.env_id == "Hopper-v5"
    assert data.env is not None
    assert data.env.name == "hopper"
    assert set(data.references) == {"d4rl"}
    np.testing.assert_array_equal(data.action_low, [-1, -1, -1])


def test_environment_without_a_card_is_kept_by_its_id(tmp_path: Path) -> None:
    data = load_dataset(write_hdf5(tmp_path / "x.hdf5", hopper_arrays(), "Swimmer-v5"))
    assert (data.env, data.env_id, dict(data.references)) == (None, "Swimmer-v5", {})


@pytest.mark.parametrize("name", ["hopper-mine.hdf5", "hopper_mine.hdf5"])
def test_environment_guessed_from_the_file_name(tmp_path: Path, name: str) -> None:
    data = load_dataset(write_hdf5(tmp_path / name, hopper_arrays()))
    assert data.env_id == "Hopper-v4"
    assert "guessed from the file name" in data.source


def test_no_environment_is_allowed(tmp_path: Path) -> None:
    data = load_dataset(write_hdf5(tmp_path / "mine.hdf5", hopper_arrays()))
    assert (data.env, data.env_id) == (None, None)
    np.testing.assert_array_equal(data.action_high, [1, 1, 1])


def test_bounds_follow_the_actions_where_nothing_else_is_known(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    arrays["actions"] *= 3
    data = load_dataset(write_hdf5(tmp_path / "mine.hdf5", arrays))
    np.testing.assert_array_equal(data.action_high, arrays["actions"].max(axis=0))
    assert "bounds taken from the recorded actions" in data.source


def test_the_users_environment_wins(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "x.hdf5", hopper_arrays(), "Swimmer-v5")
    assert load_dataset(path, env="hopper").env_id == "Hopper-v4"
    assert load_dataset(path, env="Hopper-v5").env_id == "Hopper-v5"


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminals"])
def test_missing_array(tmp_path: Path, key: str) -> None:
    arrays = hopper_arrays()
    del arrays[key]
    with pytest.raises(DataError, match=rf"{key} missing.*the file holds"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays))


def test_missing_timeouts_is_explained(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    del arrays["timeouts"]
    with pytest.raises(DataError, match=r"timeouts is missing.*time limit"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays))


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "terminals", "timeouts"])
def test_unequal_lengths(tmp_path: Path, key: str) -> None:
    arrays = hopper_arrays()
    arrays[key] = np.concatenate([arrays[key], arrays[key][-1:]])
    with pytest.raises(DataError, match=rf"unequal lengths.*{key} 6"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays))


@pytest.mark.parametrize("key", ["observations", "actions", "rewards"])
@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")])
def test_values_that_are_not_finite(tmp_path: Path, key: str, value: float, word: str) -> None:
    arrays = hopper_arrays()
    arrays[key][[2, 4]] = value
    with pytest.raises(DataError, match=rf"{key} holds {word}.* in 2 of 5 steps, first at step 2"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays))


def test_infinities_of_both_signs_do_not_cancel(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    arrays["rewards"][1:3] = np.inf, -np.inf
    with pytest.raises(DataError, match="2 of 5 steps"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays))


def test_no_complete_episode(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no complete episode"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", hopper_arrays(lengths=(), tail=5)))


def test_no_steps(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no steps"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", hopper_arrays(lengths=())))


def test_wrong_shape_and_type(tmp_path: Path) -> None:
    arrays = hopper_arrays()
    flat = arrays | {"observations": arrays["observations"][:, 0]}
    with pytest.raises(DataError, match=r"observations should have the shape \[steps, observation\], but has \[5\]"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", flat))
    text = arrays | {"rewards": np.array([b"a"] * 5)}
    with pytest.raises(DataError, match="rewards should hold numbers"):
        load_dataset(write_hdf5(tmp_path / "y.hdf5", text))


def test_truncated_file(tmp_path: Path) -> None:
    whole = write_hdf5(tmp_path / "x.hdf5", hopper_arrays(lengths=(500, 500))).read_bytes()
    for part in (2, 3, 50):
        cut = tmp_path / f"cut{part}.hdf5"
        cut.write_bytes(whole[: len(whole) // part])
        with pytest.raises(DataError, match="damaged, incomplete or not an HDF5 file"):
            load_dataset(cut)


def test_damaged_block(tmp_path: Path) -> None:
    path = tmp_path / "x.hdf5"
    with h5py.File(path, "w") as file:
        for name, values in hopper_arrays(lengths=(500, 500)).items():
            file.create_dataset(name, data=values, compression="gzip")
        offset = file["observations"].id.get_chunk_info(0).byte_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        load_dataset(path)


@pytest.mark.parametrize(("content", "message"), [(b"", "empty"), (b"not data at all" * 50, "not an HDF5 file")])
def test_foreign_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.hdf5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_dataset(path)


@pytest.mark.parametrize(("key", "size"), [("observations", 12), ("actions", 4)])
def test_sizes_that_do_not_fit_the_environment(tmp_path: Path, key: str, size: int) -> None:
    arrays = hopper_arrays()
    arrays[key] = np.zeros((5, size), np.float32)
    with pytest.raises(DataError, match=rf"{key} have {size} dimensions, but the environment hopper has"):
        load_dataset(write_hdf5(tmp_path / "x.hdf5", arrays, "Hopper-v5"))
    assert load_dataset(write_hdf5(tmp_path / "y.hdf5", arrays)).env is None


def test_part_of_a_minari_dataset(tmp_path: Path) -> None:
    path = tmp_path / "main_data.hdf5"
    with h5py.File(path, "w") as file:
        file.create_group("episode_0")
    with pytest.raises(DataError, match="give the folder"):
        load_dataset(path)
