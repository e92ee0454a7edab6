"""OpenVINO's own runtime as a row of the catalog."""

from dataclasses import dataclass
from typing import ClassVar

from resnetx.runtime.runner import Provider


@dataclass(frozen=True, kw_only=True)
class OpenVINOProvider(Provider):
    """`device` is OpenVINO's name of the device."""

    engine: ClassVar = "openvino"

    package: str | None = "openvino"
    times_layers: bool = True
    device: str = "CPU"
