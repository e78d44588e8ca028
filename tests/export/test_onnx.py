"""tablesense.export: the exported network finds what the module finds, and says itself how it is used."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from trained_looking import trained_looking

from tablesense.detr import DetrConfig
from tablesense.errors import UserError
from tablesense.export.onnx import export_onnx
from tablesense.export.runtime import OnnxNetwork
from tablesense.module import TableDETRModule
from tablesense.predict.eager import TorchNetwork
from tablesense.predict.network import Finds

TWO_STAGE = DetrConfig(hidden_dim=32, ffn_dim=32, num_queries=20)
REFINED = replace(TWO_STAGE, two_stage=False)
PLAIN = replace(REFINED, box_refinement=False, exact_geometry=False)
DETR = replace(PLAIN, arch="detr", out_indices=(4,))
OTHERS = [replace(TWO_STAGE, exact_geometry=False), REFINED, PLAIN, DETR]

Pages = tuple[NDArray[np.uint8], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def module() -> TableDETRModule:
    return trained_looking(TWO_STAGE)


@pytest.fixture(scope="module")
def file(module: TableDETRModule, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export_onnx(module, path)
    return path


def pages(*sizes: tuple[int, int], white: bool = False) -> Pages:
    """Pages of (height, width), padded to one size of multiples of 32."""
    rng = np.random.default_rng(1)
    height, width = (-(-max(size[axis] for size in sizes) // 32) * 32 for axis in (0, 1))
    pixels = np.zeros((len(sizes), 3, height, width), np.uint8)
    mask = np.zeros((len(sizes), height, width), bool)
    for i, (h, w) in enumerate(sizes):
        coarse = rng.integers(0, 255, (3, -(-h // 8), -(-w // 8)), np.uint8)
        pixels[i, :, :h, :w] = 255 if white else coarse.repeat(8, 1).repeat(8, 2)[:, :h, :w]
        mask[i, :h, :w] = True
    return pixels, mask


def differences(module: TableDETRModule, network: OnnxNetwork, given: Pages) -> list[float]:
    """The largest of each page between the finds of both, boxes relative to the page."""
    sizes = np.ones((len(given[0]), 2))
    pairs = zip(TorchNetwork(module)(*given, sizes), network(*given, sizes), strict=True)
    return [difference(expected, found) for expected, found in pairs]


def difference(expected: Finds, found: Finds) -> float:
    np.testing.assert_array_equal(found.labels, expected.labels)
    return float(
        max(np.abs(found.boxes - expected.boxes).max(), np.abs(found.scores - expected.scores).max())
    )


@pytest.mark.parametrize(
    "sizes",
    [[(96, 160)], [(160, 96), (131, 90), (70, 77)], [(224, 64)]],
    ids=["wide", "a batch with padding", "long"],
)
def test_boxes_and_scores_are_those_of_the_module(
    module: TableDETRModule, file: Path, sizes: list[tuple[int, int]]
) -> None:
    assert max(differences(module, OnnxNetwork(file, threads=1), pages(*sizes))) < 1e-3


def test_a_blank_page_too(module: TableDETRModule, file: Path) -> None:
    assert max(differences(module, OnnxNetwork(file, threads=1), pages((150, 110), white=True))) < 1e-3


def test_a_page_with_fewer_cells_than_proposals_is_padded_as_the_module_pads_it(
    module: TableDETRModule, file: Path
) -> None:
    assert max(differences(module, OnnxNetwork(file, threads=1), pages((32, 64)))) < 1e-3


@pytest.mark.parametrize("config", OTHERS, ids=["cells counted", "one stage", "without refinement", "detr"])
def test_other_shapes_of_the_network_are_exported_too(config: DetrConfig, tmp_path: Path) -> None:
    module = trained_looking(config, image_size=800)  # for which memory counts more than speed
    export_onnx(module, tmp_path / "model.onnx")
    network = OnnxNetwork(tmp_path / "model.onnx", threads=1)
    assert max(differences(module, network, pages((160, 96), (131, 90)))) < 1e-3


def test_padding_does_not_reach_the_finds(module: TableDETRModule, file: Path) -> None:
    pixels, mask = pages((96, 90))
    dirty = pixels.copy()
    dirty[:, :, :, 90:] = 255
    network, sizes = OnnxNetwork(file, threads=1), np.ones((1, 2))
    (clean,), (other,) = network(pixels, mask, sizes), network(dirty, mask, sizes)
    np.testing.assert_array_equal(clean.boxes, other.boxes)


def test_the_file_says_how_it_is_used(module: TableDETRModule, file: Path) -> None:
    network = OnnxNetwork(file, threads=1)
    assert network.class_names == module.class_names
    assert (network.image_size, network.threshold) == (160, 0.3)
    model = onnx.load(file)
    assert [opset.version for opset in model.opset_import if opset.domain == ""] == [17]
    assert [axis.dim_param for axis in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        "",
        "height",
        "width",
    ]


def test_it_runs_where_torch_is_not_installed(file: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path; import numpy as np\n"
        "from tablesense.predict.network import load_network\n"
        f"network = load_network(Path({str(file)!r}))\n"
        "pages = np.zeros((1, 3, 96, 64), np.uint8), np.ones((1, 96, 64), bool), np.ones((1, 2))\n"
        "print(len(network(*pages)[0].scores) > 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True", done.stderr


def test_int8_weights_find_nearly_the_same(
    module: TableDETRModule, file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    export_onnx(module, tmp_path / "int8.onnx", int8=True)
    assert not caplog.records
    assert "MatMulInteger" in {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
    page, size = pages((96, 160)), np.ones((1, 2))
    (whole,) = OnnxNetwork(file, threads=1)(*page, size)
    (small,) = OnnxNetwork(tmp_path / "int8.onnx", threads=1)(*page, size)
    assert small.scores[0] == pytest.approx(whole.scores[0], abs=0.05)


def test_another_file_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"expected an ONNX file that `tablesense export` wrote"):
        OnnxNetwork(tmp_path / "a.onnx")
