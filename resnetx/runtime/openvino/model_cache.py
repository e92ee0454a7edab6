"""The cache of compiled models: a file for each combination of model, properties and machine.

Reading a compiled ResNet-50 takes about half as long as reading and compiling its ONNX file.
"""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from resnetx import __version__
from resnetx.base.cache import default_cache
from resnetx.base.files import write_whole
from resnetx.machine.facts import read_processor
from resnetx.runtime.engine_cache import engine_key, private_folder
from resnetx.runtime.openvino.library import core, ov

SUFFIX = ".blob"
# All compiled models together; those that were used least recently are removed.
MAX_BYTES = 4 * 2**30


class ModelCache:
    """One compiled model's place in the cache."""

    def __init__(
        self, digest: str, properties: Mapping[str, str], *, batch: int | None, device: str, root: Path | None = None
    ) -> None:
        self._properties, self._device = dict(properties), device
        self._folder = private_folder((root or default_cache()) / "openvino")
        processor = read_processor()
        key = engine_key(
            {
                "model": digest,
                "properties": self._properties,
                "batch": batch,
                "device": core().get_property(device, "FULL_DEVICE_NAME"),
                "processor": [processor.name, processor.instruction_sets],
                "openvino": ov.get_version(),
                "resnetx": __version__,
            }
        )
        self._path = self._folder / f"{key}{SUFFIX}"

    def load(self) -> "ov.CompiledModel | None":
        """The compiled model, if it is cached."""
        try:
            data = self._path.read_bytes()
            self._path.touch()
            return core().import_model(data, self._device, self._properties)
        except OSError:
            return None
        except Exception:  # a damaged file: OpenVINO raises RuntimeError for everything
            self._path.unlink(missing_ok=True)
            return None

    def store(self, compiled: "ov.CompiledModel") -> None:
        write_whole(self._path, compiled.export_model().getvalue())
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        files = [(path.stat(), path) for path in self._folder.glob(f"*{SUFFIX}")]
        kept = 0
        for facts, path in sorted(files, key=lambda each: each[0].st_mtime, reverse=True):
            kept += facts.st_size
            if kept > MAX_BYTES and path != self._path:
                with suppress(OSError):
                    path.unlink()
