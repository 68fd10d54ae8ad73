"""Weight files of all kinds, good and bad."""

import errno
import os
import resource
import struct
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import WhisperConfig, WhisperForConditionalGeneration, WhisperModel

from contract.errors import ConfigurationError
from tests.worker.engines.musetalk import tiny
from worker.engines.musetalk.architecture import PARTS
from worker.engines.musetalk.convert import ready, size

TINY = tiny.architectures()
FETCH = "dubline models fetch"


@pytest.fixture(scope="session")
def tensors(tiny_files):
    """What the tiny files hold, by part."""
    return {part: load_file(path) for part, path in tiny_files.items()}


@pytest.fixture
def pth(tmp_path, tensors):
    """The tiny UNet as it is published: a pickle of float32 tensors, here on its own in a folder."""
    path = tmp_path / "unet.pth"
    torch.save(tensors["unet"], path)
    return path


def values(checkpoint):
    return {name: checkpoint.tensor(name) for name in checkpoint.shapes}


def same(found, wanted):
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


# --- converting ---


def test_a_pickle_becomes_half_precision_safetensors_beside_it(pth, tensors):
    found = ready(pth, TINY["unet"], torch.float16)
    assert found.path == pth.with_name("unet.pth.fp16.safetensors")
    assert sorted(each.name for each in pth.parent.iterdir()) == ["unet.pth", "unet.pth.fp16.safetensors"]
    wanted = {name: tensor.half() for name, tensor in tensors["unet"].items()}
    assert same(load_file(found.path), wanted)
    assert same(values(found), wanted)


def test_single_precision_has_a_copy_of_its_own(pth, tensors):
    ready(pth, TINY["unet"], torch.float16)
    found = ready(pth, TINY["unet"], torch.float32)
    assert found.path.name == "unet.pth.fp32.safetensors"
    assert same(values(found), tensors["unet"])


def test_it_is_converted_once(pth):
    first = ready(pth, TINY["unet"], torch.float16).path.stat()
    again = ready(pth, TINY["unet"], torch.float16).path.stat()
    assert (again.st_ino, again.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)


def test_a_converted_file_needs_no_architecture_but_its_own(pth):
    ready(pth, TINY["unet"], torch.float16)
    found = ready(
        pth, PARTS["unet"], torch.float16
    )  # the published one is asked for; the copy says what it is
    assert found.shapes == TINY["unet"].shapes()


def test_a_replaced_original_is_converted_again(pth, tensors):
    ready(pth, TINY["unet"], torch.float16)
    torch.save({name: tensor + 1 for name, tensor in tensors["unet"].items()}, pth)
    os.utime(pth, ns=(1, 1))
    found = values(ready(pth, TINY["unet"], torch.float16))
    assert torch.equal(found["conv_in.bias"], (tensors["unet"]["conv_in.bias"] + 1).half())


@pytest.mark.parametrize("damage", [b"", b"not this", None], ids=["empty", "text", "truncated"])
def test_a_damaged_copy_is_made_again(pth, damage):
    copy = ready(pth, TINY["unet"], torch.float16).path
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-10] if damage is None else damage)
    assert ready(pth, TINY["unet"], torch.float16).path.read_bytes() == whole


def test_safetensors_of_that_precision_are_taken_as_they_are(tiny_files):
    before = sorted(tiny_files["vae"].parent.iterdir())
    assert ready(tiny_files["vae"], PARTS["vae"], torch.float32).path == tiny_files["vae"]
    assert sorted(tiny_files["vae"].parent.iterdir()) == before


def test_safetensors_of_another_precision_are_converted(tmp_path, tensors):
    path = tmp_path / "vae.safetensors"
    save_file(tensors["vae"], path)
    found = ready(path, TINY["vae"], torch.float16)
    assert found.path.name == "vae.safetensors.fp16.safetensors"
    assert found.stored == {torch.float16}


def test_bfloat16_is_read_too(tmp_path, tensors):
    path = tmp_path / "unet.safetensors"
    brief = {name: tensor.bfloat16() for name, tensor in tensors["unet"].items()}
    save_file(brief, path)
    wanted = {name: tensor.half() for name, tensor in brief.items()}
    assert same(values(ready(path, TINY["unet"], torch.float16)), wanted)


def test_a_pickle_from_before_torch_1_6_is_read_too(tmp_path, tensors):
    path = tmp_path / "pytorch_model.bin"
    torch.save(tensors["unet"], path, _use_new_zipfile_serialization=False)
    assert same(values(ready(path, TINY["unet"], torch.float32)), tensors["unet"])


# --- names ---


def old(name):
    """How diffusers called the layers of a VAE's attention before 0.12."""
    for new, before in {
        ".to_q.": ".query.",
        ".to_k.": ".key.",
        ".to_v.": ".value.",
        ".to_out.0.": ".proj_attn.",
    }.items():
        name = name.replace(new, before)
    return name


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_vae_with_the_old_names_of_attention_is_taken(tmp_path, tensors, suffix):
    path = tmp_path / f"diffusion_pytorch_model.{suffix}"
    named = {old(name): tensor for name, tensor in tensors["vae"].items()}
    assert sum(name not in tensors["vae"] for name in named) == 16
    (torch.save if suffix == "bin" else save_file)(named, path)
    assert same(values(ready(path, TINY["vae"], torch.float32)), tensors["vae"])


@pytest.mark.parametrize("kind", [WhisperForConditionalGeneration, WhisperModel])
def test_of_a_whole_whisper_the_encoder_alone_is_taken(tmp_path, kind):
    config = WhisperConfig(
        **TINY["whisper"].config,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=8,
        vocab_size=60,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    model = kind(config)
    path = tmp_path / "model.safetensors"
    model.save_pretrained(tmp_path)
    found = ready(path, TINY["whisper"], torch.float32)
    assert same(values(found), dict(model.get_encoder().state_dict()))
    assert not any("decoder" in name for name in found.shapes)


# --- files that are not what they should be ---


class Code:
    """A pickle of this one runs a command when it is loaded without care."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)  # noqa: TID251 - the attack itself


def whole(tensors):
    """A good UNet file's bytes."""
    with tempfile.TemporaryFile() as file:
        torch.save(tensors, file)
        file.seek(0)
        return file.read()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7", "Git LFS pointer"),
        (b"\x00" * 200, "no weight file"),
        (b"\xff\xd8\xff\xe0JFIF a picture, by mistake", "no weight file"),
        (struct.pack("<Q", 900) + b'{"a":', "damaged"),
        (struct.pack("<Q", 8) + b"{not it}", "damaged"),
        (b"PK\x03\x04" + b"\x00" * 200, "damaged"),
        (b"\x80\x02}q\x00", "damaged"),
    ],
)
def test_a_file_that_holds_no_weights_is_refused_by_name(tmp_path, content, what):
    path = tmp_path / "unet.pth"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=what) as caught:
        ready(path, TINY["unet"], torch.float16)
    assert str(path) in caught.value.message
    assert FETCH in caught.value.message
    assert [each.name for each in tmp_path.iterdir()] == ["unet.pth"]


def test_a_missing_file_is_refused_and_no_network_is_made_up(tmp_path):
    with pytest.raises(ConfigurationError, match=f"unet.pth: no such weights; run `{FETCH}`"):
        ready(tmp_path / "unet.pth", TINY["unet"], torch.float16)


def test_a_missing_original_is_missed_although_its_copy_is_there(pth):
    ready(pth, TINY["unet"], torch.float16)
    pth.unlink()
    with pytest.raises(ConfigurationError, match="no such weights"):
        ready(pth, TINY["unet"], torch.float16)


def test_a_folder_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        ready(tmp_path, TINY["unet"], torch.float16)


@pytest.mark.parametrize("kind", ["zip", "bare", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_a_truncated_file_is_refused_by_name(tmp_path, tensors, tiny_files, kind, share):
    path = tmp_path / "unet.pth"
    torch.save(tensors["unet"], path, _use_new_zipfile_serialization=kind == "zip")
    if kind == "safetensors":
        path.write_bytes(tiny_files["unet"].read_bytes())
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(ConfigurationError, match=r"unet\.pth: the file is damaged"):
        ready(path, TINY["unet"], torch.float16)


def test_code_in_a_pickle_never_runs(tmp_path, tensors):
    path, trace = tmp_path / "unet.pth", tmp_path / "trace"
    torch.save({**tensors["unet"], "more": Code(f"touch {trace}")}, path)
    with pytest.raises(ConfigurationError, match="code besides tensors, which is never run"):
        ready(path, TINY["unet"], torch.float16)
    assert not trace.exists()


@pytest.mark.parametrize("content", [[1, 2], {"state_dict": {}}, {"epoch": 3}, torch.zeros(3)])
def test_a_pickle_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "unet.pth"
    torch.save(content, path)
    with pytest.raises(ConfigurationError, match="does not hold tensors by name"):
        ready(path, TINY["unet"], torch.float16)


@pytest.mark.parametrize(
    ("given", "wanted", "what"),
    [
        ("unet", "vae", "a UNet"),
        ("unet", "whisper", "a UNet"),
        ("vae", "unet", "a VAE"),
        ("vae", "whisper", "a VAE"),
        ("whisper", "unet", "Whisper's encoder"),
        ("whisper", "vae", "Whisper's encoder"),
    ],
)
def test_swapped_files_are_told_apart(tmp_path, tensors, given, wanted, what):
    path = tmp_path / "weights.bin"
    torch.save(tensors[given], path)
    with pytest.raises(ConfigurationError, match=f"looks like {what}") as caught:
        ready(path, TINY[wanted], torch.float16)
    assert f"this is not {PARTS[wanted].title}" in caught.value.message


@pytest.mark.parametrize("given", ["vae", "whisper"])
def test_swapped_files_with_an_architecture_of_their_own_are_refused_too(tiny_files, given):
    with pytest.raises(ConfigurationError, match=FETCH):
        ready(tiny_files[given], PARTS["unet"], torch.float32)


def test_a_network_of_another_size_is_refused(pth):
    with pytest.raises(ConfigurationError, match=r"conv_in.weight \(8, 8, 3, 3\), not \(320, 8, 3, 3\)"):
        ready(pth, PARTS["unet"], torch.float16)


def test_a_missing_and_a_surplus_tensor_are_named(tmp_path, tensors):
    path = tmp_path / "unet.pth"
    changed = dict(tensors["unet"])
    changed["conv_in.weights"] = changed.pop("conv_in.weight")
    torch.save(changed, path)
    with pytest.raises(ConfigurationError, match=r"conv_in\.weight\).*conv_in\.weights\)"):
        ready(path, TINY["unet"], torch.float16)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_values_that_are_no_numbers_in_that_precision_are_refused(tmp_path, tensors, value):
    path = tmp_path / "unet.pth"
    changed = {**tensors["unet"], "conv_in.bias": torch.full((8,), value)}
    torch.save(changed, path)
    with pytest.raises(ConfigurationError, match=r"conv_in\.bias holds values that are no numbers in fp16"):
        ready(path, TINY["unet"], torch.float16)
    assert [each.name for each in tmp_path.iterdir()] == ["unet.pth"]


# --- the machine ---


def test_a_full_disk_is_said_and_nothing_is_left_behind(pth):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (200_000, hard)
    )  # of one file; as near to a full disk as a test gets
    try:
        with pytest.raises(ConfigurationError, match=r"the disk is full while unet\.pth .* GB") as caught:
            ready(pth, TINY["unet"], torch.float16)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "DUBLINE_WEIGHTS" in caught.value.message
    assert [each.name for each in pth.parent.iterdir()] == ["unet.pth"]


def test_a_folder_that_breaks_is_said(pth):
    pth.with_name("unet.pth.fp16.safetensors.part").mkdir()
    with pytest.raises(ConfigurationError, match=os.strerror(errno.EISDIR)):
        ready(pth, TINY["unet"], torch.float16)


@pytest.fixture
def unwritable(tensors):
    """The UNet's pickle in a folder that this process may only read, even as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.save(tensors["unet"], folder / "unet.pth")
        folder.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield folder / "unet.pth"
        os.seteuid(user)
        folder.chmod(0o755)


def test_weights_baked_into_an_image_are_read_as_they_are(unwritable, tensors, caplog):
    found = ready(unwritable, TINY["unet"], torch.float16)
    assert found.path == unwritable
    assert same(values(found), tensors["unet"])
    assert "cannot be written" in caplog.text


def test_what_a_killed_process_left_is_written_over(pth):
    part = pth.with_name("unet.pth.fp16.safetensors.part")
    part.write_bytes(b"half of it" * 100_000)
    found = ready(pth, TINY["unet"], torch.float16)
    assert found.path.stat().st_size == pytest.approx(size(found.shapes, torch.float16), rel=0.2)
    assert not part.exists()


def test_of_many_at_once_one_converts_and_the_others_wait(pth, caplog):
    caplog.set_level("INFO")
    with ThreadPoolExecutor(4) as pool:  # a lock is one of open files: threads stand for processes
        found = list(pool.map(lambda _: values(ready(pth, TINY["unet"], torch.float16)), range(4)))
    assert all(same(each, found[0]) for each in found)
    assert sum("converting" in each.message for each in caplog.records) == 1


LARGE = """
import resource, sys
from pathlib import Path
import torch
from torch import nn
from worker.engines.musetalk.architecture import Architecture
from worker.engines.musetalk.convert import ready

path = Path(sys.argv[1])
build = lambda config: nn.Sequential(*(nn.Linear(2048, 2048, bias=False) for _ in range(8)))
large = Architecture(part="unet", title="a large network", build=build, config={})
status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
used = int(status["VmData"].split()[0]) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + int(1.3 * path.stat().st_size), -1))
converted = ready(path, large, torch.float16)
print("tensor by tensor:", converted.tensor("7.weight").float().mean().item())
del converted
try:
    halves = [tensor.half() for tensor in torch.load(path, weights_only=True).values()]
except RuntimeError as error:
    print("all at once:", "can't allocate memory" in str(error))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited and counted as Linux does")
def test_a_conversion_needs_far_less_than_twice_the_file(tmp_path):
    path = tmp_path / "large.pth"
    torch.save({f"{number}.weight": torch.full((2048, 2048), 0.5) for number in range(8)}, path)
    run = subprocess.run(
        [sys.executable, "-c", LARGE, str(path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.splitlines() == ["tensor by tensor: 0.5", "all at once: True"], run.stderr
