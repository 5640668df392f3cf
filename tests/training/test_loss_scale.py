"""cic.training.loss_scale: halves at once, doubles with patience, and goes on where it was."""

from cic.training.loss_scale import FIRST, PATIENCE, LossScale


def test_it_is_1_and_says_nothing_unless_enabled():
    scale = LossScale(enabled=False)
    assert scale.value == 1
    assert scale.state() == {}


def test_it_halves_at_once_and_doubles_after_patience():
    scale = LossScale(enabled=True)
    scale.update(finite=False)
    assert scale.value == FIRST / 2
    for _ in range(PATIENCE - 1):
        scale.update(finite=True)
    assert scale.value == FIRST / 2
    scale.update(finite=True)
    assert scale.value == FIRST
    for _ in range(100):
        scale.update(finite=False)
    assert scale.value == 1


def test_it_goes_on_where_it_was():
    scale, other = LossScale(enabled=True), LossScale(enabled=True)
    scale.update(finite=False)
    for _ in range(5):
        scale.update(finite=True)
    other.load(scale.state())
    assert (other.value, other.finite_steps) == (FIRST / 2, 5)
    other.load({})
    assert other.value == FIRST / 2
