"""What the colours of a map over an image say."""

import torch

from convkit.report.maps import overlay


def test_for_is_warm_and_against_is_cold_and_nothing_is_the_image() -> None:
    image = torch.rand(3, 8, 8)
    values = torch.zeros(1, 8, 8)
    values[0, :, :2], values[0, :, 2], values[0, :, 6], values[0, :, 7] = 4.0, 1.0, -1.0, -4.0
    shown = overlay(image, values)
    grey = image.mean(0)
    assert torch.allclose(shown[:, :, 3:6], grey[:, 3:6].expand(3, -1, -1))
    red, blue = shown[0] - grey, shown[2] - grey
    assert (red > blue)[:, :3].all()
    assert (blue > red)[:, 6:].all()
    changed = (shown - grey).abs().sum(0)
    assert (changed[:, 0] > changed[:, 2]).all()
    assert (changed[:, 7] > changed[:, 6]).all()


def test_a_map_in_colours_has_its_strength_alone() -> None:
    values = torch.zeros(3, 4, 4)
    values[1, 0, 0] = -2.0
    shown = overlay(torch.full((3, 4, 4), 0.5), values)
    assert shown[0, 0, 0] > shown[2, 0, 0]
    assert torch.allclose(shown[:, 1:], torch.tensor(0.5))
