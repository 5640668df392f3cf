"""The panel and the bins of a network in training, on real photos and a real board."""

import io

import numpy as np
import pytest
from PIL import Image
from visualdl import LogReader

from cic import networks
from cic.colour import ab_plane, prior, rebalance
from cic.colour.bins import COUNT
from cic.colour.distributions import decode, soft_encode
from cic.colour.lab import lightness, rgb_to_lab
from cic.dataset.batches import PhotoDataset
from cic.networks.initialize import initialize
from cic.photos import images
from cic.training.board import Board
from cic.training.preview import Preview, choose, panel

NETWORK = networks.get("cic", width=0.125)
CROP = 56


@pytest.fixture
def dataset(photo_folder):
    return PhotoDataset([photo_folder], NETWORK, 64, CROP, augment=False)


def truth(photos):
    """Logits (n, 313, c, c) of a network that knows the colours."""
    ab = rgb_to_lab(photos[:, ::4, ::4])[..., 1:]
    index, weight = soft_encode(ab)
    share = np.full((*ab.shape[:-1], COUNT), 1e-9, np.float32)
    np.put_along_axis(share, index.astype(np.int64), weight, -1)
    return np.log(share).transpose(0, 3, 1, 2)


def decoded(logits, temperature=0.38):
    """ab (n, c, c, 2) of logits."""
    return decode(logits, temperature).transpose(0, 2, 3, 1)


def columns(sheet, rows):
    """The pictures of a panel, (3, rows, side, side, 3), cut out by where they must lie."""
    gap, caption, side = 12, 36, 176
    tops = [caption + n * (side + gap) for n in range(rows)]
    lefts = [gap + n * (side + gap) for n in range(3)]
    return np.array(
        [[sheet[top : top + side, left : left + side] for top in tops] for left in lefts]
    )


def test_the_panel_shows_gray_and_predicted_and_truth(dataset):
    photos = choose(dataset)
    sheet = panel(photos, decoded(truth(photos), 1))
    gray, predicted, shown = columns(sheet, len(photos))
    assert sheet.shape == (36 + 188 * len(photos), 3 * 188 + 12, 3)
    assert np.ptp(gray.astype(int), axis=-1).max() <= 3
    large = [
        Image.fromarray(photo).resize((176, 176), Image.Resampling.LANCZOS) for photo in photos
    ]
    assert (shown == np.array(large)).all()
    for picture in (gray, predicted):
        assert np.abs(lightness(picture) - lightness(shown)).mean() < 1
    ab, gray_ab, true_ab = (rgb_to_lab(x)[..., 1:] for x in (predicted, gray, shown))
    assert np.abs(ab - true_ab).mean() < 0.35 * np.abs(gray_ab - true_ab).mean()


def test_the_temperature_is_that_of_the_annealed_mean(dataset):
    photos = choose(dataset, 2)
    logits = 0.2 * truth(photos)
    vivid, pale = (
        np.abs(rgb_to_lab(columns(panel(photos, decoded(logits, t)), 2)[1])[..., 1:]).mean()
        for t in (0.1, 1)
    )
    assert vivid > 1.3 * pale


def test_a_network_that_knows_predicts_the_bins_of_the_truth(dataset, tmp_path):
    photos = choose(dataset)
    preview = Preview(NETWORK, photos, prior.default())
    counts = rebalance.count(rgb_to_lab(photos[:, ::4, ::4])[..., 1:])

    def predict(inputs):
        assert inputs.shape == (1, 1, CROP, CROP)
        assert inputs.dtype == np.float32
        (n,) = (i for i, photo in enumerate(photos) if np.allclose(known(photo), inputs, atol=1e-3))
        return truth(photos[n : n + 1])

    def known(photo):
        return NETWORK.prepare(lightness(photo))

    with Board(tmp_path) as board:
        preview.show(board, 12, predict)
    (path,) = (tmp_path / "from_step_0").iterdir()
    reader = LogReader(file_path=str(path))
    (record,) = reader.get_data("histogram", "predicted bins")
    assert record.id == 12
    assert list(record.histogram.hist) == counts.tolist()
    pictures = {}
    for name in ("photos", "bins"):
        (record,) = reader.get_data("image", name)
        file = io.BytesIO(record.image.encoded_image_string)
        pictures[name] = np.asarray(Image.open(file).convert("RGB"))
    shares = counts / counts.sum()
    planes = {"predicted": shares, "truth": shares, "prior": prior.default()}
    assert (pictures["bins"] == ab_plane.draw(planes)).all()
    assert (pictures["photos"] == panel(photos, decoded(truth(photos)))).all()


def test_either_backend_previews(backend, dataset, tmp_path):
    network = backend.build(NETWORK, initialize(NETWORK))
    preview = Preview(NETWORK, choose(dataset, 2), prior.default())
    with Board(tmp_path) as board:
        preview.show(board, 1, lambda inputs: backend.forward(network, inputs))
    (path,) = (tmp_path / "from_step_0").iterdir()
    (record,) = LogReader(file_path=str(path)).get_data("histogram", "predicted bins")
    assert sum(record.histogram.hist) == 2 * (CROP // 4) ** 2


def test_photos_are_chosen_evenly_and_unreadable_ones_passed_over(dataset, photo_folder):
    everything = [dataset.crop(i) for i in range(len(dataset))]
    assert (choose(dataset, 100) == everything).all()
    assert (choose(dataset, 3) == everything[::2]).all()
    names = [str(photo) for photo in dataset.photos]
    with open(names[2], "wb"):
        pass
    assert (choose(dataset, 3) == [everything[i] for i in (0, 3, 4)]).all()
    assert len(choose(dataset, 100)) == len(dataset) - 1
    for name in names:
        with open(name, "wb"):
            pass
    with pytest.raises(images.PhotoError, match="not one photo"):
        choose(dataset, 3)


def test_a_network_of_regression_shows_the_bins_nearest_to_its_ab(dataset, tmp_path):
    network, photos = networks.get("regression", width=0.125), choose(dataset, 2)
    preview = Preview(network, photos, prior.default())
    ab = rgb_to_lab(photos)[..., 1:]
    outputs = iter(network.scale_ab(ab).transpose(0, 3, 1, 2)[:, None])
    with Board(tmp_path) as board:
        preview.show(board, 1, lambda inputs: next(outputs))
    (path,) = (tmp_path / "from_step_0").iterdir()
    (record,) = LogReader(file_path=str(path)).get_data("histogram", "predicted bins")
    assert list(record.histogram.hist) == rebalance.count(ab).tolist()
