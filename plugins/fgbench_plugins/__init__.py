"""The built-in parts, commands and boards, registered through the same hooks as any plugin's."""

from __future__ import annotations

from fgbench import hookimpl


@hookimpl
def fgbench_defaults(default):
    default("dataset", "known-posterior")
    default("classifier", "tfidf-logreg")
    default("loss", "cross-entropy")
    default("generator", "ngram")
    default("calibrator", "none", "temperature")
    default("executor", "local")


@hookimpl
def fgbench_datasets(register):
    home = "fgbench_plugins.datasets"
    register(
        "tc", f"{home}.tc:TwitterComplaints", "Twitter complaints (Preoţiuc-Pietro et al. 2019)"
    )
    register(
        "subj", f"{home}.subj:Subjectivity", "Subjectivity of film reviews (Pang and Lee 2004)"
    )
    register("banking77", f"{home}.banking77:Banking77", "Banking intents (Casanueva et al. 2020)")
    register("se", f"{home}.se:CustomerReviews", "Customer reviews, FITG's SE (Hu and Liu 2004)")
    register("arxiv", f"{home}.arxiv:Arxiv10", "Arxiv-10 paper titles (Farhangi et al. 2022)")
    register("medical", f"{home}.medical:DDXPlus", "DDXPlus patients (Fansi Tchango et al. 2022)")
    register(
        "tweeteval-irony",
        f"{home}.tweeteval:Irony",
        "Ironic tweets (TweetEval, Barbieri et al. 2020)",
    )
    register(
        "tweeteval-emotion",
        f"{home}.tweeteval:Emotion",
        "Tweets by emotion (TweetEval, Barbieri et al. 2020)",
    )
    register("clinc150", f"{home}.clinc150:Clinc150", "150 intents (Larson et al. 2019)")
    register(
        "known-posterior",
        f"{home}.known_posterior:KnownPosterior",
        "Help-desk messages with an exact P(y|x); built in",
    )
    register(
        "logistic-1d",
        f"{home}.logistic_1d:Logistic1D",
        "FITG's toy data: 1-D logistic regression; built in",
    )
    register("csv", f"{home}.tabular:CsvFile", "A CSV file: csv:path=…,text=…,label=…")
    register(
        "jsonl",
        f"{home}.tabular:JsonLinesFile",
        "A JSON Lines file: jsonl:path=…,text=…,label=…",
    )

    extra = "fgbench[datasets]"
    hub = f"{home}.hub_dataset"
    register("hf", f"{hub}:HubDataset", "Any text data set of the hub: hf:PATH", extra=extra)
    register("ag-news", f"{hub}:AgNews", "News by topic (Zhang et al. 2015), hub", extra=extra)
    register("sst2", f"{hub}:Sst2", "Movie reviews, SST-2 (Socher et al. 2013), hub", extra=extra)
    register("imdb", f"{hub}:Imdb", "Movie reviews (Maas et al. 2011), hub", extra=extra)
    register("trec", f"{hub}:Trec", "Questions (Li and Roth 2002), hub", extra=extra)
    register(
        "20newsgroups",
        f"{hub}:Newsgroups",
        "Newsgroup posts, 20 groups (Lang 1995), hub",
        extra=extra,
    )


@hookimpl
def fgbench_classifiers(register):
    home = "fgbench_plugins.classifiers"
    register(
        "logreg", f"{home}.logistic:LogisticRegression", "Logistic regression on numeric features"
    )
    register(
        "tfidf-logreg", f"{home}.logistic:TfidfLogisticRegression", "Logistic regression on TF-IDF"
    )
    extra = "fgbench[transformers]"
    register(
        "bert-base",
        f"{home}.transformer:BertBase",
        "BERT-base, fine-tuned as in Ba et al. 2024",
        extra=extra,
    )
    register(
        "hf",
        f"{home}.transformer:TransformerClassifier",
        "Any fine-tuned transformer encoder: hf:model=…",
        extra=extra,
    )
    register(
        "llm",
        f"{home}.llm_classifier:LanguageModelClassifier",
        "A prompted language model, untrained: llm:model=…",
    )


@hookimpl
def fgbench_losses(register):
    home = "fgbench_plugins.losses"
    register("cross-entropy", f"{home}.cross_entropy:CrossEntropy", "Negative log-likelihood")
    register(
        "label-smoothing",
        f"{home}.cross_entropy:LabelSmoothing",
        "Cross-entropy with smoothed labels (Szegedy et al. 2016)",
    )
    register("focal", f"{home}.focal:Focal", "Focal loss (Lin et al. 2017)")
    register("dual-focal", f"{home}.focal:DualFocal", "Dual focal loss (Tao et al. 2023)")
    register("bsce-gra", f"{home}.focal:BsceGra", "Brier-weighted cross-entropy (Lin et al. 2025)")
    register("mixup", f"{home}.mixup:Mixup", "Mixup of pooled embeddings (Zhang et al. 2018)")
    register(
        "soft-label",
        f"{home}.soft_label:SoftLabel",
        "Cross-entropy of synthetic rows with requested probabilities",
    )


@hookimpl
def fgbench_generators(register):
    home = "fgbench_plugins.generators"
    register(
        "ngram",
        f"{home}.ngram:NgramGenerator",
        "Class-conditional n-gram models; built in, any text",
    )
    register(
        "openai",
        f"{home}.openai:OpenAIGenerator",
        "Any OpenAI-compatible endpoint: openai:model=…",
    )
    register(
        "anthropic",
        f"{home}.anthropic:AnthropicGenerator",
        "Anthropic's Messages API: anthropic:model=…",
    )
    register(
        "oracle",
        f"{home}.oracle:Oracle",
        "Samples at exactly the requested posterior; needs a known posterior",
    )
    register(
        "truncated-normal",
        f"{home}.truncated_normal:TruncatedNormal",
        "FITG's toy generator for numeric inputs",
    )
    register(
        "llama2-vllm",
        f"{home}.vllm:Llama2Vllm",
        "Llama-2-7B-chat, as in Ba et al. 2024; on vLLM",
        extra="fgbench[vllm]",
    )
    register(
        "llama3-vllm",
        f"{home}.vllm:Llama3Vllm",
        "Llama-3.1-8B-Instruct; on vLLM",
        extra="fgbench[vllm]",
    )
    register(
        "qwen3-vllm",
        f"{home}.vllm:Qwen3Vllm",
        "Qwen3-8B, openly licensed; on vLLM",
        extra="fgbench[vllm]",
    )
    register(
        "vllm",
        f"{home}.vllm:VllmGenerator",
        "Any instruct model on vLLM: vllm:model=…",
        extra="fgbench[vllm]",
    )
    register(
        "hf",
        f"{home}.hf:TransformersGenerator",
        "Any instruct model on transformers: hf:model=…",
        extra="fgbench[transformers]",
    )


@hookimpl
def fgbench_calibrators(register):
    home = "fgbench_plugins.calibrators"
    register(
        "none", f"{home}.identity:Identity", "No calibration: the classifier's own probabilities"
    )
    register(
        "temperature", f"{home}.temperature:Temperature", "Temperature scaling (Guo et al. 2017)"
    )
    register(
        "mc-dropout",
        f"{home}.mc_dropout:MonteCarloDropout",
        "Mean of stochastic passes (Gal and Ghahramani 2016)",
    )
    register(
        "ensemble",
        f"{home}.ensemble:Ensemble",
        "Mean of all seeds' models (Lakshminarayanan et al. 2017)",
    )
    register("platt", f"{home}.platt:Platt", "Platt scaling (Platt 1999)")
    register(
        "isotonic", f"{home}.isotonic:Isotonic", "Isotonic regression (Zadrozny and Elkan 2002)"
    )
    register(
        "histogram",
        f"{home}.histogram:HistogramBinning",
        "Histogram binning, equal-mass bins (Zadrozny and Elkan 2001)",
    )
    register(
        "beta",
        f"{home}.beta:Beta",
        "Beta calibration (Kull et al. 2017)",
    )
    register(
        "vector",
        f"{home}.linear:VectorScaling",
        "Vector scaling (Guo et al. 2017)",
    )
    register(
        "matrix",
        f"{home}.linear:MatrixScaling",
        "Matrix scaling with ODIR (Guo et al. 2017, Kull et al. 2019)",
    )
    register(
        "dirichlet",
        f"{home}.linear:Dirichlet",
        "Dirichlet calibration with ODIR (Kull et al. 2019)",
    )
    register(
        "spline",
        f"{home}.spline:Spline",
        "Splines of the cumulative distribution (Gupta et al. 2021)",
    )
    register(
        "consistency",
        f"{home}.consistency:Consistency",
        "Consistency under noise on the logits (Tao et al. 2024)",
    )
    register(
        "feature-clipping",
        f"{home}.feature_clipping:FeatureClipping",
        "Feature clipping (Tao et al. 2024)",
    )
    register(
        "probmetrics",
        f"{home}.probmetrics:Probmetrics",
        "Structured scaling by probmetrics (Berta et al. 2026)",
        extra="fgbench[probmetrics]",
    )


@hookimpl
def fgbench_metrics(register):
    home = "fgbench_plugins.metrics"
    register("accuracy", f"{home}.classification:Accuracy", "Fraction of correct predictions")
    register(
        "macro_f1", f"{home}.classification:MacroF1", "Unweighted mean of the F1 of all classes"
    )
    register(
        "auroc", f"{home}.classification:Auroc", "Area under the ROC curve (macro one-vs-rest)"
    )
    register(
        "auroc_correctness",
        f"{home}.classification:AurocOfCorrectness",
        "AUROC of confidence for correctness",
    )
    register("aurc", f"{home}.classification:Aurc", "Area under the risk-coverage curve")
    register("nll", f"{home}.scoring_rules:NegativeLogLikelihood", "Mean negative log-likelihood")
    register("brier", f"{home}.scoring_rules:Brier", "Mean squared error of the probabilities")
    register(
        "brier_calibration",
        f"{home}.scoring_rules:BrierCalibration",
        "Calibration part of the Brier score",
    )
    register(
        "brier_refinement",
        f"{home}.scoring_rules:BrierRefinement",
        "Refinement part of the Brier score",
    )
    register(
        "brier_resolution",
        f"{home}.scoring_rules:BrierResolution",
        "Variance of outcomes between bins",
    )
    register(
        "brier_uncertainty",
        f"{home}.scoring_rules:BrierUncertainty",
        "Brier score of predicting the class shares",
    )
    register("ece", f"{home}.calibration:TopLabelEce", "Top-label expected calibration error")
    register(
        "ece_positive",
        f"{home}.calibration:PositiveClassEce",
        "ECE of P(y=1), binary (FITG's diagram)",
    )
    register("ece_mass", f"{home}.calibration:EqualMassEce", "Top-label ECE over equal-mass bins")
    register("mce", f"{home}.calibration:Mce", "Maximum gap of a top-label bin")
    register("ace", f"{home}.calibration:Ace", "Mean gap of the equal-mass bins of all classes")
    register("classwise_ece", f"{home}.calibration:ClasswiseEce", "Mean of the ECEs of all classes")
    register(
        "ece_debiased", f"{home}.calibration:DebiasedEce", "Debiased RMS gap of top-label bins"
    )
    register(
        "ece_sweep",
        f"{home}.calibration:SweptEce",
        "Equal-mass ECE with the most bins that stay monotone",
    )
    register("smooth_ece", f"{home}.calibration:SmoothEce", "Kernel-smoothed calibration error")
    register(
        "ks",
        f"{home}.calibration:KolmogorovSmirnov",
        "Kolmogorov-Smirnov: maximum cumulative deviation",
    )
    register(
        "true_calibration_error",
        f"{home}.calibration:TrueCalibrationError",
        "Mean |p - P(y|x)| to a known posterior",
    )


@hookimpl
def fgbench_executors(register):
    register("local", "fgbench_plugins.executors.local:LocalExecutor", "Processes on this machine")


@hookimpl
def fgbench_commands(register):
    register(
        "init",
        "fgbench_plugins.datasets.init_command:init",
        "Write a suite for your own data file.",
    )
    home = "fgbench_plugins.studies.commands"
    register(
        "ablation", f"{home}:ablation", "Correlate an LLM's accuracy and ECE with its texts' gains."
    )
    register("grid", f"{home}:grid", "Write the measurement grid of Tao et al. 2024 as CSV.")


@hookimpl
def fgbench_leaderboards(register):
    from fgbench_leaderboards import BOARDS

    register("quick", BOARDS / "quick", "Four text data sets with parts that run anywhere")
    register(
        "paper-table4", BOARDS / "paper-table4", "Tables 2 and 4 of Ba et al. 2024, as published"
    )
