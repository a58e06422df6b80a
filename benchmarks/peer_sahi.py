"""SAHI's ``get_sliced_prediction`` with the same detector as ours."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from sahi.models.base import DetectionModel
from sahi.postprocess import set_postprocess_backend
from sahi.predict import get_sliced_prediction
from sahi.prediction import ObjectPrediction

from benchmarks import fresh, objects
from geodl_lab.testing import RegionDetector


class Detector(DetectionModel):
    """The rectangles' detector as SAHI wants it."""

    def set_model(self, model: Any, **_: Any) -> None:
        """Keep the detector and name its one class."""
        self.model = model
        self.category_mapping = {"1": "rectangle"}

    def perform_inference(self, image: np.ndarray) -> None:
        """Detect in one slice (y, x, band)."""
        x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)  # (band, y, x)
        self._original_predictions = self.model(x[None].float() / 255)[0]["boxes"].tolist()

    def _create_object_prediction_list_from_original_predictions(
        self, shift_amount_list: Any = None, full_shape_list: Any = None
    ) -> None:
        shift = np.array(shift_amount_list).ravel()[:2].tolist() if shift_amount_list else [0, 0]
        shape = np.array(full_shape_list).ravel()[:2].tolist() if full_shape_list else None
        found = [
            ObjectPrediction(
                bbox=box, category_id=1, score=0.9, category_name="rectangle",
                shift_amount=shift, full_shape=shape,
            )
            for box in self._original_predictions
        ]  # fmt: skip
        self._object_prediction_list_per_image = [found]


def work(*, scene: str, size: int, **options: Any) -> dict[str, Any]:
    """Time a run from a raster file to a list of objects.

    ``options`` are SAHI's own; what is not given has its default.
    """
    set_postprocess_backend("numpy")
    model = Detector(model=RegionDetector(), device="cpu", confidence_threshold=0.3)
    begun = time.perf_counter()
    result = get_sliced_prediction(scene, model, verbose=0, **options)
    seconds = time.perf_counter() - begun
    boxes = [found.bbox.to_xyxy() for found in result.object_prediction_list]
    return {"seconds": seconds, **objects.score(np.array(boxes).reshape(-1, 4), size)}


if __name__ == "__main__":
    fresh.report(work)
