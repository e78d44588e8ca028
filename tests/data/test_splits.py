"""The split that a folder's name stands for."""

from __future__ import annotations

import pytest

from tablesense.data.splits import split_of


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("train", "train"),
        ("training/TRACKA/ground_truth", "train"),
        ("Valid", "val"),
        ("validation", "val"),
        ("dev", "val"),
        ("images/val2017", "val"),
        ("test_ground_truth/TRACKA", "test"),
        ("Annotations/TestSet/TrackA", "test"),
        ("PubTables-1M-Detection_Annotations_Test", "test"),
        ("PubTables-1M-Detection_Images_Train_Part1", "train"),
        ("train_images", "train"),
        ("train/not/test", "test"),
        ("", None),
        ("images", None),
        ("test_report_2019", None),
        ("training_manual", None),
        ("latest", None),
        ("trainval", None),
        ("constrain", None),
    ],
)
def test_the_deepest_folder_that_names_a_split_tells(folder: str, split: str | None) -> None:
    assert split_of(folder) == split
