"""The parts of the loop and what they exchange; see `interfaces` for what a plugin implements."""

from fgbench.parts.base import Part
from fgbench.parts.generation import (
    Candidate,
    GenerationRequest,
    GenerationResult,
    GenerationTask,
    Relabeling,
    RelabelRequest,
    TrainingSet,
    Usage,
)
from fgbench.parts.interfaces import (
    CAPABILITY_OUTPUTS,
    Calibrator,
    Classifier,
    DatasetLoader,
    Executor,
    Generator,
    Loss,
    LossBatch,
    Metric,
    Outputs,
    WorkerSetup,
)

__all__ = [
    "CAPABILITY_OUTPUTS",
    "Calibrator",
    "Candidate",
    "Classifier",
    "DatasetLoader",
    "Executor",
    "GenerationRequest",
    "GenerationResult",
    "GenerationTask",
    "Generator",
    "Loss",
    "LossBatch",
    "Metric",
    "Outputs",
    "Part",
    "RelabelRequest",
    "Relabeling",
    "TrainingSet",
    "Usage",
    "WorkerSetup",
]
