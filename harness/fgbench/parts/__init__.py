"""Interfaces of parts and the values that they exchange with the loop, one module per kind."""

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
    "Loss",
    "LossBatch",
    "Metric",
    "Outputs",
    "Part",
    "RelabelRequest",
    "Relabeling",
    "TrainingSet",
    "WorkerSetup",
]
