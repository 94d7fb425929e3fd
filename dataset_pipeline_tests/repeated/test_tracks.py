from __future__ import annotations

import numpy as np

from dataset_pipeline.repeated.tracks import fingerprints


def test_fingerprints_are_taken_so_often_a_second_whatever_the_frame_rate():
    grey = np.zeros((18, 32), np.uint8)
    for rate in (23.976, 25.0, 60.0, 4.0):
        table = fingerprints((number / rate, grey) for number in range(int(10 * rate)))
        assert table.num_rows == 40
    varying = fingerprints([(0.0, grey), (0.1, grey), (0.7, grey), (0.74, grey), (0.76, grey), (3.0, grey)])
    assert varying["pts_s"].to_pylist() == [0.0, 0.7, 0.76, 3.0]
    assert fingerprints([]).num_rows == 0
