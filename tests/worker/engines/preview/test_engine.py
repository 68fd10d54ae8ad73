import av
import numpy as np
import pytest

from worker.engines.base import Crop
from worker.engines.preview.engine import PreviewEngine
from worker.engines.preview.voice import Viseme
from worker.faces.face import Face
from worker.faces.mesh import Square
from worker.faces.track import FaceModels
from worker.media.frame import Box, Frame


def dark_between_nose_and_chin(rgb, points):
    """Pixels darker than any skin in the middle of the lower face."""
    x, top, bottom = points[13, 0], points[2, 1], points[152, 1]
    middle = rgb[round(top + 4) : round(bottom - 4), round(x - 5) : round(x + 5)]
    return int((middle.max(axis=2) < 120).sum())


def test_louder_opens_the_mouth_further(portrait, points, talk):
    dark = [dark_between_nose_and_chin(talk(portrait, points, step)[1], points) for step in (0.7, 0.85, 1.0)]
    assert 0 < dark[0] < dark[1] < dark[2]


def test_silence_hides_the_teeth_of_a_smile(portrait, points, talk):
    """Teeth are the only thing in the mouth's middle that is bright and without colour."""

    def white(rgb):
        x, y = np.round(points[[13, 14]].mean(axis=0)).astype(int)
        part = rgb[y - 4 : y + 5, x - 12 : x + 13].astype(int)
        return int(((part.min(axis=2) > 185) & (np.ptp(part, axis=2) < 50)).sum())

    assert white(portrait) > 50
    assert white(talk(portrait, points, 0.0)[1]) < 0.25 * white(portrait)


@pytest.mark.parametrize("openness", [0.0, 0.5, 1.0])
def test_the_drawing_ends_softly_inside_the_region(portrait, points, talk, openness):
    mouth, _ = talk(portrait, points, openness)
    border = [mouth.alpha[0], mouth.alpha[-1], mouth.alpha[:, 0], mouth.alpha[:, -1]]
    assert max(edge.max() for edge in border) == 0.0
    assert mouth.alpha.max() == 1.0 and mouth.alpha.min() == 0.0
    assert max(np.abs(np.diff(mouth.alpha, axis=axis)).max() for axis in (0, 1)) < 0.35
    assert mouth.rgb.dtype == np.uint8 and mouth.alpha.dtype == np.float32
    assert mouth.rgb.shape == (mouth.box.height, mouth.box.width, 3)
    assert mouth.alpha.shape == mouth.rgb.shape[:2]


def test_where_the_drawing_fades_out_nothing_has_moved(portrait, points, talk):
    """Else hair and background would show twice, or swim."""
    mouth, _ = talk(portrait, points, 1.0)
    source = portrait[mouth.box.top : mouth.box.bottom, mouth.box.left : mouth.box.right]
    faint = (mouth.alpha > 0) & (mouth.alpha < 0.2)
    change = np.abs(mouth.rgb.astype(int) - source)[faint]
    assert np.median(change) == 0
    assert np.mean(change) < 3


def test_eyes_and_everything_above_stay_bit_exact(portrait, points, talk):
    _, shown = talk(portrait, points, 1.0)
    below_eyes = round(float(points[[145, 374], 1].max()))
    np.testing.assert_array_equal(shown[:below_eyes], portrait[:below_eyes])


def test_the_same_input_gives_the_same_bytes(portrait, points, talk):
    (a, _), (b, _) = (talk(portrait.copy(), points.copy(), 0.7, 0.2, 0.0) for _ in range(2))
    assert a.rgb.tobytes() == b.rgb.tobytes()
    assert a.alpha.tobytes() == b.alpha.tobytes()


def test_generating_leaves_the_crop_alone_so_a_frame_may_show_again(portrait, points):
    engine = PreviewEngine()
    face = Face(points, 1.0)
    box = engine.region(face, 512, 512)
    rgb = portrait[box.top : box.bottom, box.left : box.right].copy()
    prepared = engine.prepare([Crop(rgb, box, face, rgb.shape[1], rgb.shape[0])])
    first = engine.generate(prepared, [Viseme(1.0, 0.0, 0.0)])[0].rgb
    engine.generate(prepared, [Viseme(0.0, 0.0, 0.0)])
    again = engine.generate(prepared, [Viseme(1.0, 0.0, 0.0)])[0].rgb
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(rgb, portrait[box.top : box.bottom, box.left : box.right])


@pytest.mark.parametrize("scale", [2.5, 0.28, 0.1])
def test_faces_from_large_to_tiny_are_drawn(turned, talk, scale):
    rgb, points = turned(scale=scale)
    mouth, shown = talk(rgb, points, 1.0)
    assert np.isfinite(mouth.alpha).all()
    assert (shown != rgb).any()


@pytest.mark.parametrize(
    "shift",
    [(-200, 0), (250, 0), (0, -110), (0, 350), (0, 460), (-260, 380), (2000, 2000)],
    ids=["left", "right", "top", "chin cut off", "mouth cut off", "corner", "outside"],
)
def test_a_face_at_the_edge_of_the_frame_is_drawn_as_far_as_it_is_seen(portrait, points, talk, shift):
    rgb = np.roll(portrait, shift, axis=(1, 0))
    mouth, shown = talk(rgb, points + np.array(shift, np.float32), 1.0)
    box = mouth.box
    assert 0 <= box.left < box.right <= 512 and 0 <= box.top < box.bottom <= 512
    assert not any(side % 2 for side in (box.left, box.top, box.right, box.bottom))
    assert np.isfinite(mouth.alpha).all() and shown.shape == rgb.shape


@pytest.mark.parametrize("degrees", [30, -75, 180])
def test_a_tilted_face_talks_as_an_upright_one_does(turned, talk, points, degrees):
    rgb, tilted = turned(degrees)
    _, shown = talk(rgb, tilted, 1.0)
    changed = np.argwhere(np.abs(shown.astype(int) - rgb).max(axis=2) > 60)[:, ::-1]
    up = tilted[10] - tilted[152]
    heights = (changed - tilted[14]) @ up / (up @ up)
    assert len(changed) > 30
    assert -0.3 < np.median(heights) < 0.05  # at and under the lower lip, along the face's own axis


def test_the_region_holds_the_lower_face_and_room_to_move(points):
    face = Face(points, 1.0)
    box = PreviewEngine().region(face, 512, 512)
    lips_and_chin = points[[61, 291, 152, 172, 397, 2]]
    assert (lips_and_chin > [box.left + 10, box.top + 10]).all()
    assert (lips_and_chin < [box.right - 10, box.bottom - 10]).all()
    assert box == Box(box.left, box.top, box.right, box.bottom).even_within(512, 512)


def test_the_mesh_sees_the_lips_as_far_open_as_they_were_drawn(portrait, points, talk, weights_folder):
    """The sync check measures the finished video with that network."""
    mesh = FaceModels.load(weights_folder, threads=1).mesh

    def aperture(openness):
        frame = frame_of(talk(portrait, points, openness)[1])
        return mesh.fit(frame, Square.around_points(points)).aperture

    apertures = [aperture(step) for step in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert (np.diff(apertures) > 0).all()
    assert apertures[0] < 0.02 and apertures[-1] > 0.07


def frame_of(rgb):
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    picture = picture.reformat(format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG")
    planes = (
        np.frombuffer(each, np.uint8).reshape(each.height, -1)[:, : each.width] for each in picture.planes
    )
    return Frame(0, 0, *(plane.copy() for plane in planes))
