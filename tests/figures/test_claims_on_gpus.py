"""The figure of the claims on measured devices; `test_style.py` reads its labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.text import Annotation

from cost_analysis.figures import style
from cost_analysis.figures.claims_on_gpus import HIGHEST, LOWEST, caption, claims_on_gpus
from tests.helpers.figure_cases import on_gpus
from tests.helpers.gpu_claims import plain_claims


def test_a_panel_a_device_and_a_marker_an_engine() -> None:
    found = on_gpus()
    figure = claims_on_gpus(found)
    shown = [axes for axes in figure.axes if axes.get_visible()]
    devices = list(dict.fromkeys(gpu.system.hardware.name for gpu in found.gpus))
    assert [axes.get_title() for axes in shown] == devices
    for axes in shown:
        points = np.concatenate(
            [line.get_xydata() for line in axes.lines if line.get_linestyle() == "None"]
        )
        assert len(points) == len(found.papers) * 4  # three engines and the paper
        assert (points[:, 1] >= LOWEST).all()
        assert (points[:, 1] <= HIGHEST).all()


def test_free_streams_are_arrows() -> None:
    with pytest.MonkeyPatch.context() as patch:
        free = plain_claims(patch, 0.0, "h100")
    (axes,) = claims_on_gpus(free).axes
    count = sum(reading.latency.is_free for gpu in free.gpus for reading in gpu.of(8))
    assert count >= 3
    assert sum(isinstance(text, Annotation) for text in axes.texts) == count


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_any_number_of_pairs_is_drawn(count: int) -> None:
    found = on_gpus()
    part = replace(found, gpus=found.gpus[:count])
    assert style.picture(lambda: claims_on_gpus(part), "svg")


def test_the_caption_says_what_is_drawn() -> None:
    text = caption(on_gpus())
    for words in ("1.6B", "8 streams", "Kernels fitted", "6× and 1.7×", "batch 1, 8"):
        assert words in text, words
