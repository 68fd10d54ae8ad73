"""Golden numbers of MuseTalk's boxes and masks: `python -m benchmarks.golden.faces --upstream DIR`.

DIR is a checkout of TMElyralab/MuseTalk at 0a89dec. Its own functions run on seeded inputs; what they give lies in
tests/worker/engines/musetalk/golden_faces.npz. Stand-ins answer for the libraries and networks that do not install
any more: their answers are the inputs, and lie in the file, too.
"""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

GOLDEN = Path(__file__).parents[2] / "tests/worker/engines/musetalk/golden_faces.npz"
FRAME = (640, 480)  # width, height
SHIFTS = (0, 7, -9)
FACES_EACH = 24
MASKS = (  # box (left, top, right, bottom), mode, cheek width
    ((200, 120, 380, 360), "jaw", 90),
    ((200, 120, 380, 360), "raw", 80),
    ((201, 121, 384, 342), "jaw", 80),
    ((300, 200, 323, 231), "jaw", 90),
    ((300, 200, 322, 229), "raw", 90),
    ((0, 0, 97, 131), "jaw", 90),
    ((580, 301, 640, 480), "jaw", 90),
    ((100, 60, 553, 480), "raw", 80),
)
BLENDED = ((300, 200, 343, 251), "jaw", 90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", type=Path, required=True)
    sys.path.insert(0, str(parser.parse_args().upstream))
    stand_in()
    numbers = boxes() | masks()
    np.savez_compressed(GOLDEN, **numbers)
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes")


def boxes() -> dict[str, NDArray[Any]]:
    """Of `preprocessing.get_landmark_and_bbox`: points (N, 68, 2) float32, shifts (N,), boxes (N, 4)."""
    rng = np.random.default_rng(29)
    points = np.concatenate([faces(rng) for _ in SHIFTS])
    shifts = np.repeat(SHIFTS, FACES_EACH)
    upstream: Any = importlib.import_module("musetalk.utils.preprocessing")
    upstream.read_imgs = lambda names: [np.zeros((*FRAME[::-1], 3), np.uint8) for _ in names]
    found = []
    for face, shift in zip(points, shifts, strict=True):
        whole = np.concatenate([np.zeros((23, 2), np.float32), face, np.zeros((42, 2), np.float32)])
        upstream.merge_data_samples = lambda _, whole=whole: SimpleNamespace(
            pred_instances=SimpleNamespace(keypoints=whole[None])
        )
        [box], _ = upstream.get_landmark_and_bbox(["one"], int(shift))
        found.append(box)
    return {"points": points, "shifts": shifts, "boxes": np.array(found)}


def faces(rng: np.random.Generator) -> NDArray[np.float32]:
    """(FACES_EACH, 68, 2): something like faces, up to the frame's top and right edge, never over the left one."""
    size = rng.uniform(30, 320, (FACES_EACH, 1))
    place = np.hstack([rng.uniform(size / 2, 640), rng.uniform(0, 480 - size / 2)])
    points = place[:, None] + rng.uniform(-0.5, 0.5, (FACES_EACH, 68, 2)) * size[:, None]
    points[:, 29] = place - (0, 0.1) * size
    return np.maximum(points, (0, -1e6)).astype(np.float32)


def masks() -> dict[str, NDArray[Any]]:
    """Of `blending.get_image`: white over black gives the mask itself; noise over noise how it is applied."""
    rng = np.random.default_rng(5)
    parsing: Any = importlib.import_module("musetalk.utils.face_parsing")
    upstream: Any = importlib.import_module("musetalk.utils.blending")
    numbers: dict[str, NDArray[Any]] = {
        "mask_boxes": np.array([each[0] for each in MASKS]),
        "mask_modes": np.array([each[1] for each in MASKS]),
        "mask_cheeks": np.array([each[2] for each in MASKS]),
    }
    black = np.zeros((*FRAME[::-1], 3), np.uint8)
    for number, (box, mode, cheek) in enumerate(MASKS):
        labels = class_map(rng)
        parser = Answering(parsing, labels, cheek).parser
        white = np.full((box[3] - box[1], box[2] - box[0], 3), 255, np.uint8)
        whole = upstream.get_image(black, white, list(box), mode=mode, fp=parser)
        numbers[f"labels_{number}"] = labels
        numbers[f"mask_{number}"] = whole[box[1] : box[3], box[0] : box[2], 0]
    return numbers | blend(rng, parsing, upstream)


def blend(rng: np.random.Generator, parsing: Any, upstream: Any) -> dict[str, NDArray[Any]]:
    """One noisy face in a noisy frame (RGB in the file), and what the parsing network is given of it."""
    (left, top, right, bottom), mode, cheek = BLENDED
    frame = np.zeros((*FRAME[::-1], 3), np.uint8)
    seen = np.s_[170:282, 270:372]
    frame[seen] = rng.integers(0, 256, (112, 102, 3))
    face = rng.integers(0, 256, (bottom - top, right - left, 3), dtype=np.uint8)
    answering = Answering(parsing, class_map(rng), cheek)
    whole = upstream.get_image(
        frame[..., ::-1], face[..., ::-1], [left, top, right, bottom], mode=mode, fp=answering.parser
    )
    return {
        "blend_box": np.array([left, top, right, bottom]),
        "blend_labels": answering.labels,
        "blend_around": frame[seen],
        "blend_face": face,
        "blend_result": whole[top:bottom, left:right, ::-1],
        "parsing_input": answering.asked[:, ::16, ::16],
    }


class Answering:
    """Upstream's `FaceParsing`, its network replaced by one that answers with the given (512, 512) class map."""

    def __init__(self, parsing: Any, labels: NDArray[np.uint8], cheek: int) -> None:
        self.labels = labels
        self.asked: NDArray[np.float32] = np.zeros(0, np.float32)
        parsing.FaceParsing.model_init = lambda _: self._network
        self.parser = parsing.FaceParsing(cheek, cheek)

    def _network(self, batch: torch.Tensor) -> list[torch.Tensor]:
        self.asked = batch[0].cpu().numpy()
        scores = torch.nn.functional.one_hot(torch.from_numpy(self.labels.astype(np.int64)), 19)
        return [scores.permute(2, 0, 1)[None].float()]


def class_map(rng: np.random.Generator) -> NDArray[np.uint8]:
    """(512, 512): an oval of skin with a nose, lips and a mouth, a neck, and specks of wrong classes."""
    labels = np.zeros((512, 512), np.uint8)
    x, y = (int(each) for each in rng.integers(236, 276, 2))
    cv2.rectangle(labels, (x - 70, y), (x + 70, 511), 14, -1)
    cv2.ellipse(labels, (x, y), (int(rng.integers(110, 150)), 170), 0, 0, 360, 1, -1)
    cv2.ellipse(labels, (x, y + 10), (28, 45), 0, 0, 360, 10, -1)
    for radius, label in ((34, 12), (26, 13), (12, 11)):
        cv2.ellipse(labels, (x, y + 90), (55, radius), 0, 0, 360, label, -1)
    for _ in range(40):
        speck = tuple(int(each) for each in rng.integers(0, 512, 2))
        cv2.circle(labels, speck, int(rng.integers(1, 12)), int(rng.choice([0, 1, 2, 10, 13, 17])), -1)
    return labels


def stand_in() -> None:
    """Modules that upstream imports and this uses nothing of; each does what its few used names must."""
    detector = SimpleNamespace(get_detections_for_batch=lambda frames: [(1, 2, 3, 4) for _ in frames])
    landmarks = SimpleNamespace(_2D=None)
    stub("face_detection", FaceAlignment=lambda *_, **__: detector, LandmarksType=landmarks)
    stub("mmpose")
    stub("mmpose.apis", inference_topdown=lambda *_: None, init_model=lambda *_, **__: None)
    stub("mmpose.structures", merge_data_samples=None)
    stub("torchvision")
    stub("torchvision.transforms", Compose=Compose, ToTensor=lambda: to_tensor, Normalize=Normalize)
    stub("musetalk.utils.face_parsing.model", BiSeNet=None)


def stub(name: str, **names: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(names)
    sys.modules[name] = module
    parent, _, last = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], last, module)


class Compose:
    def __init__(self, steps: list[Any]) -> None:
        self.steps = steps

    def __call__(self, picture: Any) -> Any:
        for step in self.steps:
            picture = step(picture)
        return picture


class Normalize:
    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.mean = torch.tensor(mean)[:, None, None]
        self.std = torch.tensor(std)[:, None, None]

    def __call__(self, picture: torch.Tensor) -> torch.Tensor:
        return (picture - self.mean) / self.std


def to_tensor(picture: Any) -> torch.Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255


if __name__ == "__main__":
    main()
