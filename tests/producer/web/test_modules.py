"""What the page computes by itself, asked of its modules in the browser."""

import pytest

PLACES = [
    # mode, start, end, source's length, moment of the result: where the source stands, and whether it runs forward
    ("bounce", 0, None, 4, 1, [1, True]),
    ("bounce", 0, None, 4, 5, [3, False]),
    ("bounce", 0, None, 4, 9, [1, True]),
    ("bounce", 1, 3, 4, 2.5, [2.5, False]),
    ("silence", 0, None, 4, 5, [3, False]),
    ("loop", 0, None, 4, 9, [1, True]),
    ("loop", 1, 3, 4, 2.5, [1.5, True]),
    ("freeze", 0, None, 4, 9, [4, False]),
    ("freeze", 0, 3, 4, 9, [3, False]),
    ("cut", 1, 9, 4, 2, [3, True]),
]
WORDS = [
    ("span", [8.24], "8.2 s"),
    ("span", [59.7], "60 s"),
    ("span", [65], "1 min 05 s"),
    ("span", [7800], "2 h 10 min"),
    ("clock", [65.4], "1:05.40"),
    ("clock", [59.999], "1:00.00"),
    ("size", [999], "999 bytes"),
    ("size", [1511526], "1.51 MB"),
    ("money", [0.00213, "USD"], "USD 0.0021"),
    ("money", [12.3, "EUR"], "EUR 12.30"),
    ("rate", ["30000/1001"], "29.97"),
    ("fileName", ["s3://b/inputs/" + "ab" * 32 + ".mp4"], "abababababab….mp4"),
    ("fileName", ["s3://b/50%/für.mp4"], "für.mp4"),
    ("jobHash", ["ab", "a b"], "#/job/ab?batch=a%20b"),
    ("batchHash", ["n", {"state": "failed", "text": "", "offset": 0}], "#/batch/n?state=failed"),
]
CALL = "([file, name, args]) => import(`/web/${file}`).then((module) => module[name](...args))"
DRAWN = """(curves) => import("/web/plot.js").then(({ plot, ticks }) => {
  const drawing = plot(curves);
  const paths = (kind) => [...drawing.querySelectorAll(`.${kind}`)];
  return { runs: paths("aperture").length, gaps: paths("gap").map((each) => [Number(each.getAttribute("x")), Number(each.getAttribute("width"))]),
    points: Math.max(...paths("loudness").map((each) => each.getAttribute("d").split("L").length)), ticks: ticks(curves.loudness.length / 25).length };
})"""


def test_the_source_stands_where_the_worker_took_its_picture_from(made_up):
    page = made_up.go()
    for mode, start, end, length, moment, expected in PLACES:
        options = {"sync_mode": mode, "start": start, "end": end}
        found = page.evaluate(CALL, ["player.js", "placeOf", [options, length, moment]])
        assert found == [pytest.approx(expected[0]), expected[1]], (mode, start, end, moment)


def test_numbers_read_as_people_say_them(made_up):
    page = made_up.go()
    for name, args, expected in WORDS:
        assert page.evaluate(CALL, ["words.js", name, args]) == expected, (name, args)


def test_a_curve_is_broken_where_no_face_was_and_an_hour_of_it_is_averaged(made_up):
    page = made_up.go()
    short = page.evaluate(DRAWN, {"aperture": [0.1, None, None, 0.2], "loudness": [-50, -20, -30, -40]})
    assert (short["runs"], short["gaps"], short["points"]) == (2, [[250, 500]], 5)
    hour = page.evaluate(DRAWN, {"aperture": [0.1] * 90_000, "loudness": [-30] * 90_000})
    assert hour["points"] <= 1201
    assert hour["ticks"] <= 11
    nothing = page.evaluate(DRAWN, {"aperture": [None] * 50, "loudness": [-30.0] * 50})
    assert (nothing["runs"], nothing["gaps"]) == (0, [[0, 1000]])


def test_which_part_a_file_plays_is_told_by_its_name(made_up):
    page = made_up.go()
    names = ["A.MP4", "b.Wav", "c.csv", "d.jpeg", "e.m2ts", "f.opus", "g.txt", "mp4", "h.mp4.exe"]
    found = page.evaluate(
        "(names) => import('/web/drop.js').then(({ partOf }) => names.map((name) => partOf({ name })))", names
    )
    assert found == ["video", "audio", "table", "video", "video", "audio", None, None, None]
