"""The public names of fgbench and their homes: what plugins and notebooks import."""

from ._version import __version__ as __version__
from .api import (
    Run as Run,
)
from .api import (
    compare as compare,
)
from .api import (
    evaluate as evaluate,
)
from .api import (
    regenerate as regenerate,
)
from .api import (
    run as run,
)
from .api import (
    trust as trust,
)
from .cards import (
    Card as Card,
)
from .cards import (
    DataFolder as DataFolder,
)
from .data import (
    Dataset as Dataset,
)
from .data import (
    Predictions as Predictions,
)
from .data import (
    Split as Split,
)
from .digests import (
    seed_for as seed_for,
)
from .engine.events import (
    Event as Event,
)
from .engine.warm_models import (
    release_resident as release_resident,
)
from .engine.warm_models import (
    resident as resident,
)
from .engine.worker import (
    run_stage as run_stage,
)
from .errors import (
    BudgetError as BudgetError,
)
from .errors import (
    ConfigurationError as ConfigurationError,
)
from .errors import (
    DataError as DataError,
)
from .errors import (
    FgbenchError as FgbenchError,
)
from .errors import (
    LeaderboardError as LeaderboardError,
)
from .errors import (
    PluginError as PluginError,
)
from .errors import (
    UnansweredError as UnansweredError,
)
from .evaluation.assessment import (
    Assessment as Assessment,
)
from .evaluation.comparison import (
    MetricComparison as MetricComparison,
)
from .evaluation.comparison import (
    PredictionComparison as PredictionComparison,
)
from .foreign import (
    open_file as open_file,
)
from .foreign import (
    parse_json as parse_json,
)
from .foreign import (
    parse_toml as parse_toml,
)
from .inference.across import (
    Result as Result,
)
from .inference.across import (
    ResultsSummary as ResultsSummary,
)
from .inference.across import (
    summarize_results as summarize_results,
)
from .inference.summaries import (
    MetricSummary as MetricSummary,
)
from .leaderboard.contrasts import (
    Controls as Controls,
)
from .leaderboard.files import (
    read_board as read_board,
)
from .leaderboard.files import (
    read_predictions as read_predictions,
)
from .leaderboard.models import (
    Entry as Entry,
)
from .leaderboard.models import (
    Leaderboard as Leaderboard,
)
from .llm.asking import (
    Answers as Answers,
)
from .llm.chat import (
    ChatAnswer as ChatAnswer,
)
from .llm.chat import (
    ChatModel as ChatModel,
)
from .llm.chat import (
    ChatRequest as ChatRequest,
)
from .llm.chat import (
    Message as Message,
)
from .llm.chat import (
    Price as Price,
)
from .llm.chat import (
    Sampling as Sampling,
)
from .llm.chat import (
    Spending as Spending,
)
from .llm.chat import (
    TokenChoice as TokenChoice,
)
from .llm.served import (
    joined_notes as joined_notes,
)
from .llm.served import (
    served_notes as served_notes,
)
from .parts import (
    Access as Access,
)
from .parts import (
    Calibrator as Calibrator,
)
from .parts import (
    Candidate as Candidate,
)
from .parts import (
    Classifier as Classifier,
)
from .parts import (
    DatasetLoader as DatasetLoader,
)
from .parts import (
    Executor as Executor,
)
from .parts import (
    GenerationRequest as GenerationRequest,
)
from .parts import (
    GenerationResult as GenerationResult,
)
from .parts import (
    GenerationTask as GenerationTask,
)
from .parts import (
    Generator as Generator,
)
from .parts import (
    Head as Head,
)
from .parts import (
    HostUrl as HostUrl,
)
from .parts import (
    KeyVariable as KeyVariable,
)
from .parts import (
    Loss as Loss,
)
from .parts import (
    LossBatch as LossBatch,
)
from .parts import (
    Metric as Metric,
)
from .parts import (
    Outputs as Outputs,
)
from .parts import (
    Relabeling as Relabeling,
)
from .parts import (
    RelabelRequest as RelabelRequest,
)
from .parts import (
    TrainingSet as TrainingSet,
)
from .parts import (
    WorkerSetup as WorkerSetup,
)
from .parts import (
    host_of as host_of,
)
from .parts import (
    local_path as local_path,
)
from .plugins.hookspecs import (
    hookimpl as hookimpl,
)
from .runs.consent import (
    Allow as Allow,
)
from .terminal import (
    csv_cell as csv_cell,
)
from .usage import (
    Usage as Usage,
)
