"""Interfaces of parts and the values that they exchange with the loop, one module per kind."""

from fgbench.parts.access import Access, HostUrl, KeyVariable, host_of, local_path
from fgbench.parts.base import Part
from fgbench.parts.calibrator import MEMBERS, Calibrator
from fgbench.parts.classifier import CAPABILITY_OUTPUTS, Classifier, Head, Outputs, TrainingSet
from fgbench.parts.dataset import DatasetLoader
from fgbench.parts.executor import Executor, WorkerSetup
from fgbench.parts.generator import (
    Candidate,
    GenerationRequest,
    GenerationResult,
    GenerationTask,
    Generator,
    Relabeling,
    RelabelRequest,
)
from fgbench.parts.loss import Loss, LossBatch
from fgbench.parts.metric import Metric

__all__ = [
    "CAPABILITY_OUTPUTS",
    "MEMBERS",
    "Access",
    "Calibrator",
    "Candidate",
    "Classifier",
    "DatasetLoader",
    "Executor",
    "GenerationRequest",
    "GenerationResult",
    "GenerationTask",
    "Generator",
    "Head",
    "HostUrl",
    "KeyVariable",
    "Loss",
    "LossBatch",
    "Metric",
    "Outputs",
    "Part",
    "RelabelRequest",
    "Relabeling",
    "TrainingSet",
    "WorkerSetup",
    "host_of",
    "local_path",
]
