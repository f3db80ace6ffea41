"""Load of the machine while a run goes on, under the names that MLflow's page of system metrics shows."""

from __future__ import annotations

import contextlib

import psutil

MB = 1e6


def sample() -> dict[str, float]:
    """Use of processor, memory, disk and GPUs now (shares in %, sizes in MB), and this command's memory with its
    children.
    """
    memory = psutil.virtual_memory()
    values = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / MB,
        "system/system_memory_usage_percentage": memory.percent,
        "system/disk_usage_percentage": psutil.disk_usage(".").percent,
        "system/run_memory_megabytes": _run_memory_mb(),
    }
    return values | _gpus()


def _run_memory_mb() -> float:
    total = 0
    process = psutil.Process()
    for each in (process, *process.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            total += each.memory_info().rss
    return total / MB


def _gpus() -> dict[str, float]:
    try:
        import pynvml  # ships with nvidia-ml-py, where there is a GPU
    except ImportError:
        return {}
    try:
        pynvml.nvmlInit()
        values: dict[str, float] = {}
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            values[f"system/gpu_{index}_utilization_percentage"] = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            values[f"system/gpu_{index}_memory_usage_megabytes"] = memory.used / MB
            values[f"system/gpu_{index}_power_usage_watts"] = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
    except pynvml.NVMLError:
        return {}
    return values
