"""A SIGKILL while exports are written over each other leaves a whole one, or none; the next writer cleans up."""

import subprocess
import sys
import time

import torch

from allears.checkpoints.export import load_export, save_export
from allears.models.build import build_encoder
from allears.params.model import ConformerConfig

WRITER = """
import sys
from pathlib import Path
from allears.checkpoints.export import save_export
from tests.faults.test_killed_export import encoder
encoders = [encoder(0), encoder(1)]
print("ready", flush=True)
while True:
    for one in encoders:
        save_export(Path(sys.argv[1]), {"encoder": one}, {}, "")
"""


def encoder(seed):
    return build_encoder(ConformerConfig(width=16, blocks=1, heads=2, ffn_width=16, kernel_frames=3), seed)


def test_a_kill_leaves_a_whole_export_or_none(tmp_path):
    folder = tmp_path / "encoder"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.2)
    finally:
        child.kill()
        child.wait()
    if folder.exists():
        found = load_export(folder).state_dict()["mask_embedding"]
        assert any(torch.equal(found, encoder(seed).state_dict()["mask_embedding"]) for seed in (0, 1))
    save_export(folder, {"encoder": encoder(2)}, {}, "")
    assert [path.name for path in tmp_path.iterdir()] == ["encoder"]
    assert torch.equal(load_export(folder).mask_embedding, encoder(2).mask_embedding)
