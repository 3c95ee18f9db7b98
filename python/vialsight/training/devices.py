"""On which devices a training computes, and how; settled before TensorFlow touches any."""

from typing import Any

from vialsight.config import TrainingConfig
from vialsight.errors import TrainingError
from vialsight.pinned import tf


def settle_devices(training: TrainingConfig) -> None:
    """Let TensorFlow see the devices a configuration names, and use them as it says.

    Holds for the whole process. Raises TrainingError where a device is not there, and where this
    process has used other devices already.
    """
    chosen = _chosen(training.device, tf.config.list_physical_devices("GPU"))
    if training.memory_growth and not chosen:
        raise TrainingError(
            "training.memory_growth=true is about GPUs, and TensorFlow finds none; leave it out"
        )
    try:
        if tf.config.get_visible_devices("GPU") != chosen:
            tf.config.set_visible_devices(chosen, "GPU")
        for gpu in chosen:
            if tf.config.experimental.get_memory_growth(gpu) != training.memory_growth:
                tf.config.experimental.set_memory_growth(gpu, training.memory_growth)
    except RuntimeError as error:
        raise TrainingError(
            f"training.device={training.device} comes too late: {error}. Train in a process that "
            "has used no device before, such as: vialsight train"
        ) from None
    tf.config.experimental.enable_tensor_float_32_execution(training.tf32)


def _chosen(device: str, gpus: list[Any]) -> list[Any]:
    """Return those of the GPUs that `device` names: auto, cpu, gpu, or gpu: and a number."""
    kind, _, number = device.partition(":")
    if kind == "cpu":
        return []
    if kind == "gpu" and int(number or 0) >= len(gpus):
        found = f"{len(gpus)}: gpu:0 to gpu:{len(gpus) - 1}" if gpus else "no GPU"
        raise TrainingError(
            f"training.device={device}: TensorFlow finds {found}; choose another device, or see "
            "that driver and CUDA libraries are those of this TensorFlow (nvidia-smi tells of the "
            "driver)"
        )
    return [gpus[int(number)]] if number else gpus
