"""The stages of the loop, one declaration each; `STAGES` has them by name."""

from fgbench.stages.base import Cost, PlanContext, Resources, Stage, StageContext
from fgbench.stages.calibrate import Calibrate
from fgbench.stages.compose import Compose
from fgbench.stages.diagnose import Fidelity, Influence, Sensitivity
from fgbench.stages.evaluate import Evaluate
from fgbench.stages.synthesise import Synthesise
from fgbench.stages.target import Target
from fgbench.stages.train import Train

STAGES: dict[str, Stage] = {
    stage.name: stage()
    for stage in (
        Target,
        Synthesise,
        Compose,
        Train,
        Calibrate,
        Evaluate,
        Fidelity,
        Sensitivity,
        Influence,
    )
}

__all__ = ["STAGES", "Cost", "PlanContext", "Resources", "Stage", "StageContext"]
