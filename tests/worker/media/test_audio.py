"""What engines listen to and what the output carries, for the kinds of audio that people send."""

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from contract.errors import AudioTooShort, InputTooLarge, NoAudio
from worker.media.audio import read_audio
from worker.media.child.sound import Sound
from worker.media.limits import Limits

ENCODED = {
    "a.wav": ("pcm_s16le", 44_100, 1),
    "b.wav": ("pcm_mulaw", 8_000, 1),
    "c.wav": ("pcm_f32le", 96_000, 2),
    "a.mp3": ("libmp3lame", 48_000, 2),
    "a.flac": ("flac", 48_000, 2),
    "a.ogg": ("libopus", 48_000, 2),
    "a.m4a": ("aac", 44_100, 1),
    "surround.m4a": ("aac", 48_000, 6),
    "a.aac": ("aac", 48_000, 2),
}


@pytest.mark.parametrize("name", ENCODED)
def test_every_format_gives_the_tone_at_its_level_and_length(clips, limits, name):
    codec, rate, channels = ENCODED[name]
    audio = read_audio(clips.audio(name, clips.tone(2.0, rate, channels), rate, codec), limits)
    assert float(audio.seconds) == pytest.approx(2.0, abs=0.06)
    assert len(audio.samples_16k) == pytest.approx(float(audio.seconds) * 16_000, abs=2)
    assert loudness(audio.samples_16k) == pytest.approx(
        0.5 / 2**0.5, rel=0.16
    )  # a codec may drop the sixth channel
    assert pitch(audio.samples_16k, 16_000) == pytest.approx(330, abs=2)
    assert audio.facts.sample_rate == rate and audio.facts.channels == channels


@pytest.mark.parametrize("name", ENCODED)
def test_the_track_is_heard_as_loud_and_as_long_as_the_input(clips, limits, name):
    codec, rate, channels = ENCODED[name]
    audio = read_audio(clips.audio(name, clips.tone(2.0, rate, channels), rate, codec), limits)
    samples = decoded(audio.track)
    assert samples.shape[1] / audio.track.sample_rate == pytest.approx(float(audio.seconds), abs=0.03)
    middle = samples[:, 8_000:-8_000]
    assert loudness(middle) == pytest.approx(0.5 / 2**0.5, rel=0.1)
    assert pitch(middle[0], audio.track.sample_rate) == pytest.approx(330, abs=2)


def test_only_aac_of_an_mp4_is_copied(clips, limits):
    tracks = {
        name: read_audio(clips.audio(name, clips.tone(1.0, rate, channels), rate, codec), limits).track
        for name, (codec, rate, channels) in ENCODED.items()
    }
    assert {name for name, track in tracks.items() if track.copied} == {"a.m4a"}
    kinds = {(track.sample_rate, track.channels) for track in tracks.values() if not track.copied}
    assert kinds == {(48_000, 2)}


def test_a_copied_track_has_the_inputs_own_packets(clips, limits):
    path = clips.audio("a.m4a", clips.tone(1.0, 44_100, 2), 44_100)
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    assert [bytes(packet) for packet in read_audio(path, limits).track.packets()] == packets


def test_an_edit_that_cuts_into_the_audio_is_transcoded(clips, limits):
    """Its packets still hold what the edit took away."""
    path = clips.edit(clips.audio("a.m4a", clips.tone(2.0, 48_000, 2), 48_000), media_time=48_000)
    audio = read_audio(path, limits)
    assert not audio.track.copied
    assert float(audio.seconds) == pytest.approx(1.0, abs=0.05)
    assert decoded(audio.track).shape[1] / 48_000 == pytest.approx(float(audio.seconds), abs=0.03)


def test_the_length_is_what_decodes_not_what_is_declared(clips, limits):
    """ADTS has no length; libav guesses it from the bit rate of the first packets."""
    quiet_then_loud = np.concatenate([clips.tone(6, 48_000, 2) * 0, noise(2, 48_000, 2)])
    path = clips.audio("a.aac", quiet_then_loud, 48_000)
    with av.open(str(path)) as container:
        declared = container.duration / av.time_base
    audio = read_audio(path, limits)
    assert abs(declared - 8) > 0.5
    assert float(audio.seconds) == pytest.approx(8, abs=0.06)
    assert audio.warnings == ()


def noise(seconds: float, rate: int, channels: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate), channels))


def test_stereo_is_the_mean_of_its_channels(clips, limits):
    stereo = np.concatenate([clips.tone(1, 16_000), 0 * clips.tone(1, 16_000)], axis=1)
    audio = read_audio(clips.audio("a.wav", stereo, 16_000, "pcm_s16le"), limits)
    assert np.allclose(audio.samples_16k, stereo[:, 0] / 2, atol=1e-4)


def test_a_cover_picture_does_not_disturb(clips, limits):
    mp3 = clips.audio("a.mp3", clips.tone(1, 44_100), 44_100, "libmp3lame").read_bytes()
    audio = read_audio(clips.file("cover.mp3", id3_with_cover(png()) + mp3), limits)
    assert float(audio.seconds) == pytest.approx(1.0, abs=0.06)
    assert audio.facts.audio_codec == "mp3"


def png() -> bytes:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (16, 16), "red").save(buffer, "PNG")
    return buffer.getvalue()


def id3_with_cover(picture: bytes) -> bytes:
    """An ID3v2.3 tag with one APIC frame (id3.org, 4.15)."""
    body = b"\0image/png\0\3\0" + picture
    frame = b"APIC" + struct.pack(">IH", len(body), 0) + body
    size = bytes((len(frame) >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\3\0\0" + size + frame


def test_tags_in_latin_1_do_not_disturb(clips, limits):
    wav = clips.audio("a.wav", clips.tone(1, 16_000), 16_000, "pcm_s16le").read_bytes()
    info = b"INFOINAM" + struct.pack("<I", 6) + b"caf\xe9\0\0"
    content = bytearray(wav + b"LIST" + struct.pack("<I", len(info)) + info)
    content[4:8] = struct.pack("<I", len(content) - 8)
    assert read_audio(clips.file("tags.wav", bytes(content)), limits).seconds == 1


def test_the_audio_of_a_video_is_audio_too(clips, limits):
    audio = read_audio(clips.video("a.mp4", 25, audio_seconds=1.0), limits)
    assert float(audio.seconds) == pytest.approx(1.0, abs=0.05)
    assert audio.track.copied


def test_not_a_number_among_the_samples_becomes_silence(clips, limits):
    samples = clips.tone(1, 16_000)
    samples[100:200] = np.nan
    audio = read_audio(clips.audio("a.wav", samples, 16_000, "pcm_f32le"), limits)
    assert np.isfinite(audio.samples_16k).all()
    assert np.isfinite(decoded(audio.track)).all()


@pytest.mark.parametrize("milliseconds", [5, 39])
def test_less_audio_than_a_frame_is_refused(clips, limits, milliseconds):
    path = clips.audio("a.wav", clips.tone(milliseconds / 1000, 48_000), 48_000, "pcm_s16le")
    with pytest.raises(AudioTooShort, match=f"{milliseconds} ms"):
        read_audio(path, limits)


def test_one_frame_of_audio_is_enough(clips, limits):
    audio = read_audio(clips.audio("a.wav", clips.tone(0.04, 48_000), 48_000, "pcm_s16le"), limits)
    assert (audio.frames, audio.seconds) == (1, Fraction(1, 25))


def test_a_file_without_sound_is_refused(clips, limits):
    with pytest.raises(NoAudio, match=r"a\.mp4: no audio stream"):
        read_audio(clips.video("a.mp4", 3), limits)


def test_more_seconds_than_the_limit_are_refused_as_they_are_decoded(clips):
    path = clips.audio("a.wav", clips.tone(3, 16_000), 16_000, "pcm_s16le")
    with pytest.raises(InputTooLarge, match="DUBLINE_MAX_SECONDS"):
        read_audio(path, Limits(seconds=2.5))


@pytest.mark.parametrize("frames", [20, 80])
def test_fitted_audio_is_cut_or_padded_with_silence(clips, limits, frames):
    audio = read_audio(clips.audio("a.m4a", clips.tone(2, 44_100), 44_100), limits)
    fitted = audio.fitted(frames)
    assert (fitted.frames, fitted.seconds, len(fitted.samples_16k)) == (
        frames,
        Fraction(frames, 25),
        frames * 640,
    )
    samples = decoded(fitted.track)[0]
    assert 0 <= len(samples) / 44_100 - frames / 25 < 1024 / 44_100
    assert loudness(samples[4_000:30_000]) == pytest.approx(0.35, rel=0.1)
    assert frames == 20 or np.abs(samples[int(2.1 * 44_100) :]).max() < 1e-4


def test_audio_that_fits_already_stays_as_it_is(clips, limits):
    audio = read_audio(clips.audio("a.wav", clips.tone(1, 16_000), 16_000, "pcm_s16le"), limits)
    assert audio.fitted(audio.frames) is audio


def test_damaged_audio_is_read_with_a_warning(clips, limits):
    path = clips.damage(
        clips.audio("a.m4a", clips.tone(3, 44_100), 44_100, faststart=True), begin=0.7, step=40
    )
    audio = read_audio(path, limits)
    assert "audio_corrupt" in [warning.code for warning in audio.warnings]
    assert 1.5 < audio.seconds < 3.2


@pytest.mark.parametrize(("name", "codec"), [("a.m4a", "aac"), ("a.wav", "pcm_s16le"), ("a.flac", "flac")])
def test_truncated_audio_is_read_to_what_is_there_with_a_warning(clips, limits, name, codec):
    path = clips.audio(name, clips.tone(3, 44_100), 44_100, codec, faststart=name == "a.m4a")
    audio = read_audio(clips.cut(path, 0.5), limits)
    warning = next(each for each in audio.warnings if each.code == "audio_truncated")
    assert "of the 3.0" in warning.message
    assert 0.7 < audio.seconds < 2


@pytest.mark.parametrize("size", [0, 0x7FFF_F024, 0xFFFF_FFFF])
def test_a_wav_from_a_pipe_which_declares_no_length_has_no_warning(clips, limits, size):
    path = clips.audio("a.wav", clips.tone(1, 8000), 8000, "pcm_s16le")
    content = bytearray(path.read_bytes())
    data = content.index(b"data") + 4
    content[4:8] = content[data : data + 4] = size.to_bytes(4, "little")
    audio = read_audio(clips.file("piped.wav", bytes(content)), limits)
    assert audio.warnings == ()
    assert float(audio.seconds) == pytest.approx(1)


def decoded(track) -> np.ndarray:
    """(channels, n) as a player hears it: decoded, without the priming."""
    decoder = av.CodecContext.create("aac", "r")
    decoder.extradata = configuration(track)
    decoder.sample_rate, decoder.layout = track.sample_rate, "mono" if track.channels == 1 else "stereo"
    frames = [frame for packet in track.packets() for frame in decoder.decode(av.Packet(bytes(packet)))]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1)[:, track.priming :]


def configuration(track) -> bytes:
    """AudioSpecificConfig of AAC-LC (ISO/IEC 14496-3, 1.6.2.1)."""
    rates = [96_000, 88_200, 64_000, 48_000, 44_100]
    return (2 << 11 | rates.index(track.sample_rate) << 7 | track.channels << 3).to_bytes(2, "big")


def loudness(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples))))


def pitch(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum) * rate / len(samples))


def test_looking_through_the_packets_of_a_file_gives_signs_of_life(clips, limits):
    beats: list[None] = []
    Sound(clips.audio("a.m4a", clips.tone(1, 48_000), 48_000, "aac"), limits, lambda: beats.append(None))
    assert len(beats) >= 47  # 1 s in packets of 1024 samples
