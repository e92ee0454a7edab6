"""The samples of a verification: what each kind excites, in every input form."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnetx.graph.card import ModelCard, Weights
from resnetx.inputs.samples import KINDS, LOUD, generator_of, kind_of
from resnetx.inputs.sampling import MOST_PIXELS, Sampling, batch_sizes, natural_samples, network_inputs
from resnetx.inputs.signature_feeds import signature_feeds
from resnetx.model.preprocessing import CAFFE, IMAGENET, UNIT, Preprocessing
from resnetx.runtime.runner import TensorInfo

NAMES = [kind.name for kind in KINDS]
PREPROCESSINGS = {"imagenet": IMAGENET, "caffe": CAFFE, "unit": UNIT}
FLOAT = np.dtype(np.float32)


def card(preprocessing: Preprocessing = IMAGENET, *, size: int = 64, form: str = "none") -> ModelCard:
    return ModelCard(
        architecture="any", weights=Weights(sha256="0"), image_size=size, preprocessing=preprocessing, input=form
    )


def floats(preprocessing: Preprocessing = IMAGENET, *, size: int = 64, seed: int = 0) -> dict[str, np.ndarray]:
    inputs = network_inputs(card(preprocessing, size=size), Sampling(sizes=(1,), seed=seed))
    assert inputs.shape == (len(NAMES), 3, size, size) and inputs.dtype == np.float32
    return dict(zip(NAMES, inputs, strict=True))


def pixels(*, size: int = 64, seed: int = 0) -> dict[str, np.ndarray]:
    inputs = network_inputs(card(size=size, form="uint8"), Sampling(sizes=(1,), seed=seed))
    assert inputs.shape == (len(NAMES), size, size, 3) and inputs.dtype == np.uint8
    return dict(zip(NAMES, inputs, strict=True))


def high_band(image: np.ndarray) -> float:
    """The share of the energy (without the mean) above half of the highest frequency, of an image (..., H, W)."""
    centred = image - image.mean((-2, -1), keepdims=True)
    energy = np.abs(np.fft.fft2(centred)) ** 2
    vertical, horizontal = (np.abs(np.fft.fftfreq(length)) for length in image.shape[-2:])
    band = np.maximum(vertical[:, None], horizontal[None]) >= 0.25
    return float(energy[..., band].sum() / energy.sum())


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS.values(), ids=PREPROCESSINGS)
@pytest.mark.parametrize("size", [32, 97, 224])
def test_each_kind_of_float_has_its_range(preprocessing: Preprocessing, size: int) -> None:
    samples = floats(preprocessing, size=size)
    largest = max(np.abs(samples[name]).max() for name in ("textured", "smooth", "noise", "stripes"))
    assert not samples["zeros"].any()
    assert np.abs(samples["loud"]).max() > 0.3 * LOUD * largest
    assert np.isfinite(samples["loud"]).all()
    assert 0 < np.abs(samples["quiet"]).max() < 0.2 * largest
    magnitudes = np.abs(samples["quiet"])[np.abs(samples["quiet"]) > 0] / largest
    shares = np.histogram(np.log10(magnitudes), [-9, -6, -5, -4, -3, -2, -1])[0] / magnitudes.size
    assert (shares > 0.03).all(), "values of every magnitude"
    assert 3 <= np.count_nonzero(samples["sparse"]) <= samples["sparse"].size / 100
    assert np.abs(samples["sparse"]).max() > 2 * largest
    assert all((samples[name] > 0).any() and (samples[name] < 0).any() for name in ("loud", "sparse", "quiet"))


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_high_frequencies_are_excited(seed: int) -> None:
    samples = floats(seed=seed)
    assert high_band(samples["smooth"]) < 0.05  # its edges differ
    assert high_band(samples["textured"]) > 0.1
    assert high_band(samples["loud"]) > 0.1
    assert high_band(samples["noise"]) > 0.6
    assert high_band(samples["stripes"]) > 0.6


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_no_filter_of_high_frequency_misses_the_textured_image(seed: int) -> None:
    """Kernels that smooth images hide answer at least a thirtieth as strongly as a kernel that passes everything."""
    samples = floats(seed=seed)
    kernels = {
        "checkerboard": np.array([[1, -1], [-1, 1]]) / 4,
        "vertical stripes": np.array([[1, -1], [1, -1]]) / 4,
        "horizontal stripes": np.array([[1, 1], [-1, -1]]) / 4,
    }
    for name, kernel in kernels.items():
        answers = {
            kind: sum(kernel[y, x] * samples[kind][:, y : 63 + y, x : 63 + x] for y in range(2) for x in range(2))
            for kind in ("textured", "smooth", "stripes")
        }
        strength = {kind: float(np.std(answer)) / float(np.std(samples[kind])) for kind, answer in answers.items()}
        assert strength["textured"] > 1 / 30, name
        assert strength["textured"] > 2 * strength["smooth"], name
        assert strength["stripes"] > 0.15, name


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_stripes_have_phases_of_their_own_for_each_colour(seed: int) -> None:
    image = floats(UNIT, size=64, seed=seed)["stripes"]
    signs = np.sign(image - 0.5)
    tiles = signs.reshape(3, 4, 16, 4, 16).transpose(1, 3, 0, 2, 4).reshape(16, 3, -1)
    colours_differ = [len({tuple(colour) for colour in tile}) > 1 for tile in tiles]
    assert sum(colours_differ) >= 8
    assert len({tile.tobytes() for tile in tiles}) >= 12


def test_kinds_of_pixels() -> None:
    samples = pixels()
    assert not samples["zeros"].any()
    assert set(np.unique(samples["loud"])) == {0, 255}
    assert len({tuple(pixel) for pixel in samples["loud"].reshape(-1, 3)}) == 8
    assert 3 <= np.count_nonzero(samples["sparse"]) <= samples["sparse"].size / 100
    assert 2 < np.ptp(samples["quiet"]) < 40
    assert np.ptp(samples["textured"]) == 255


@pytest.mark.parametrize("form", ["none", "uint8"])
@pytest.mark.parametrize("count", [2, 5, 8, 20])
def test_all_samples_differ_and_follow_the_seed(form: str, count: int) -> None:
    description = card(size=32, form=form)
    sampling = Sampling(sizes=(1,), samples=count, seed=3)
    inputs = network_inputs(description, sampling)
    assert len(inputs) == count == sampling.count
    assert len({sample.tobytes() for sample in inputs}) == count
    assert np.array_equal(inputs, network_inputs(description, sampling))
    other = network_inputs(description, replace(sampling, seed=4))
    changed = {kind_of(index).name for index in range(count) if not np.array_equal(inputs[index], other[index])}
    assert changed == {kind_of(index).name for index in range(count)} - {"zeros"}
    # A sample does not depend on how many others there are.
    assert np.array_equal(inputs[:2], network_inputs(description, replace(sampling, samples=2)))


def test_the_first_two_are_natural_and_loud() -> None:
    assert [kind.name for kind in KINDS[:3]] == ["textured", "loud", "zeros"]
    sampling = Sampling(sizes=(1,))
    assert [NAMES[sample] for sample in natural_samples(sampling)] == ["textured", "smooth"]
    images = np.zeros((5, 8, 8, 3), np.uint8)
    assert natural_samples(replace(sampling, images=images)) == (0, 1, 2, 3, 4)
    assert natural_samples(replace(sampling, samples=2)) == (0,)


def test_images_of_the_user_are_the_only_samples() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    sampling = Sampling(sizes=(2,), images=images, samples=7)
    assert np.array_equal(network_inputs(card(size=16, form="uint8"), sampling), images)
    assert sampling.count == 3 and {sample for batch in sampling.batches() for sample in batch} == {0, 1, 2}


@settings(deadline=None)
@given(st.floats(1, 1e6))
def test_the_loudness_is_the_callers(loudness: float) -> None:
    sampling = Sampling(sizes=(1,), samples=2)
    quiet = network_inputs(card(size=16), sampling, loudness=1)
    loud = network_inputs(card(size=16), sampling, loudness=loudness)
    np.testing.assert_allclose(loud[1], loudness * quiet[1], rtol=1e-6)
    assert np.array_equal(loud[0], quiet[0])


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_the_smallest_images_have_all_kinds_too(size: int) -> None:
    assert all(np.isfinite(sample).all() for sample in floats(size=size).values())
    assert all(sample.any() for name, sample in floats(size=size).items() if name != "zeros")
    pixels(size=size)


@pytest.mark.parametrize(
    ("side", "sizes"),
    [
        (224, (1, 2, 3, 8, 17)),
        (299, (1, 2, 3, 8, 17)),
        (384, (1, 2, 3, 8, 13)),
        (512, (1, 2, 3, 7)),
        (768, (1, 2, 3)),
        (4000, (1, 2)),
    ],
)
def test_batches_of_large_images_are_smaller(side: int, sizes: tuple[int, ...]) -> None:
    assert batch_sizes(None, pixels=side * side) == sizes
    assert sizes == (1, 2) or sizes[-1] * side * side <= MOST_PIXELS
    assert batch_sizes(5, pixels=side * side) == (5,)


class TestSignatures:
    def test_a_sample_has_the_same_value_at_every_place(self) -> None:
        inputs = [
            TensorInfo("image", FLOAT, ("n", 3, "h", "w")),
            TensorInfo("last", FLOAT, ("n", 32, 32, 3)),
            TensorInfo("vector", FLOAT, ("n", 7)),
            TensorInfo("scalar", FLOAT, ("n",)),
            TensorInfo("pixels", np.dtype(np.uint8), ("n", 16, 16, 3)),
            TensorInfo("tokens", np.dtype(np.int64), ("n", 40)),
            TensorInfo("mask", np.dtype(np.bool_), ("n", 40)),
        ]
        sampling = Sampling(sizes=(1, 2, 3, 8), seed=1)
        feeds = signature_feeds(inputs, sampling, free_size=16)
        assert [len(feed["image"]) for feed in feeds] == [len(batch) for batch in sampling.batches()]
        values: dict[tuple[str, int], np.ndarray] = {}
        for batch, feed in zip(sampling.batches(), feeds, strict=True):
            assert {name: array.dtype for name, array in feed.items()} == {info.name: info.dtype for info in inputs}
            for name, array in feed.items():
                for sample, value in zip(batch, array, strict=True):
                    assert np.array_equal(values.setdefault((name, sample), value), value)
        for info in inputs:
            distinct = {values[info.name, sample].tobytes() for sample in range(sampling.count)}
            assert len(distinct) == (2 if info.dtype == np.bool_ and info.name == "scalar" else sampling.count)
        zeros = NAMES.index("zeros")
        assert not values["image", zeros].any() and not values["vector", zeros].any()
        assert values["image", 0].shape == (3, 16, 16) and values["last", 0].shape == (32, 32, 3)
        assert high_band(values["image", 0]) > 0.1 and high_band(values["last", 0].transpose(2, 0, 1)) > 0.1
        assert np.abs(values["image", NAMES.index("loud")]).max() > 100 * np.abs(values["image", 0]).max()

    def test_what_is_no_batch_is_shared(self) -> None:
        inputs = [TensorInfo("x", FLOAT, ("n", 4)), TensorInfo("scale", FLOAT, (4,)), TensorInfo("one", FLOAT, ())]
        feeds = signature_feeds(inputs, Sampling(sizes=(1, 4)))
        assert all(feed["scale"].shape == (4,) and feed["one"].shape == () for feed in feeds)
        assert all(np.array_equal(feed["scale"], feeds[0]["scale"]) for feed in feeds)

    def test_half_precision_stays_finite(self) -> None:
        info = TensorInfo("x", np.dtype(np.float16), ("n", 3, 8, 8))
        for feed in signature_feeds([info], Sampling(sizes=(8,)), loudness=1e9):
            assert np.isfinite(feed["x"]).all() and feed["x"].dtype == np.float16

    def test_signed_bytes_use_their_range_about_zero(self) -> None:
        info = TensorInfo("x", np.dtype(np.int8), ("n", 3, 32, 32))
        feed = signature_feeds([info], Sampling(sizes=(8,)))[0]["x"]
        assert (feed.min(), feed.max()) == (-128, 127)

    @settings(deadline=None)
    @given(st.lists(st.one_of(st.integers(0, 4), st.sampled_from(["n", "h", "w"])), max_size=5), st.integers(0, 3))
    def test_any_shape(self, dims: list[int | str], seed: int) -> None:
        info = TensorInfo("x", FLOAT, tuple(dims))
        sampling = Sampling(sizes=(2,), seed=seed)
        for batch, feed in zip(sampling.batches(), signature_feeds([info], sampling, free_size=3), strict=True):
            free = dict.fromkeys("nhw", 3) | ({str(dims[0]): len(batch)} if dims else {})
            assert feed["x"].shape == tuple(free[dim] if isinstance(dim, str) else dim for dim in dims)
            assert np.isfinite(feed["x"]).all()

    def test_fixed_batches(self) -> None:
        info = TensorInfo("x", FLOAT, (1, 3, 8, 8))
        feeds = signature_feeds([info], Sampling(sizes=(1,)))
        assert len(feeds) == len(KINDS) and len({feed["x"].tobytes() for feed in feeds}) == len(KINDS)


def test_a_generator_belongs_to_a_sample() -> None:
    first, again, other = (generator_of(5, place).random() for place in (1, 1, 2))
    assert first == again != other
