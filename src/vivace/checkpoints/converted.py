"""Pickles that are kept as safetensors in the folder of models, from where they are read faster and in less memory."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from vivace.checkpoints.tensors import TensorFile, convert, open_tensors

_log = logging.getLogger(__name__)


def kept_as_safetensors(
    path: Path, folder: Path, check: Callable[[TensorFile], object], *, containers: tuple[str, ...] = ()
) -> TensorFile:
    """Open a file of tensors; a pickle is converted the first time, once it has passed the check.

    Where there is no room for that, it is read as it is, which takes longer and is said in the log.

    Args:
        path: the file; messages name it whichever of the two is read.
        folder: of models.
        check: raises where the file is not what is wanted, so that nothing else is kept.
        containers: names under which a pickle may have the tensors, the best first.

    Raises:
        CheckpointError: the file is damaged, or what `check` raises.
    """
    if path.suffix == ".safetensors":
        file = open_tensors(path)
        check(file)
        return file
    stat = path.stat()
    part = f"-{containers[0]}" if containers else ""
    kept = folder / "converted" / f"{path.stem}{part}-{stat.st_size}-{stat.st_mtime_ns}.safetensors"
    if not kept.is_file():
        file = open_tensors(path, containers)
        check(file)
        try:
            convert(file, kept)
        except OSError as error:
            _log.warning("%s is not kept as safetensors (%s) but read as it is, which takes longer", path, error)
            return file
    found = replace(open_tensors(kept), path=path)
    check(found)
    return found
