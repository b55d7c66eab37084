"""What MLServer serves; it imports this in its worker."""

from __future__ import annotations

from typing import Any

from mlserver import MLModel  # type: ignore[import-not-found]
from mlserver.types import InferenceResponse, ResponseOutput  # type: ignore[import-not-found]
from model import load  # type: ignore[import-not-found]


class Echo(MLModel):  # type: ignore[misc]
    """Answers what was sent."""

    async def predict(self, payload: Any) -> Any:  # noqa: ANN401
        """One row."""
        given = payload.inputs[0]
        output = ResponseOutput(name="y", shape=given.shape, datatype=given.datatype, data=given.data)
        return InferenceResponse(model_name=self.name, outputs=[output])


class Predict(MLModel):  # type: ignore[misc]
    """The class of one flower."""

    async def load(self) -> bool:
        """Once, in the worker."""
        self._classify = load()
        return True

    async def predict(self, payload: Any) -> Any:  # noqa: ANN401
        """One row."""
        row = list(payload.inputs[0].data)
        output = ResponseOutput(name="y", shape=[1], datatype="INT64", data=[self._classify(row)])
        return InferenceResponse(model_name=self.name, outputs=[output])
