from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from sono_edge.frames import Frame
from sono_edge.phantom import sweep
from sono_edge.sources import open_source
from sono_edge.sources.dicom import frame_times
from sono_edge.sources.luma import coloured_share, expand, look
from sono_edge.sources.video import StreamTime
from sono_edge.sweep import write_clip
from sono_models.errors import BadConfig, BadManifest, BadSource, SourceLost
from sono_models.inputs import Grey
from sono_models.table import read_grey
from tests.support.clips import FPS, SIZE, grey, greys, h264_file, jpeg, mjpeg_file
from tests.support.mjpeg_server import MjpegServer
from tests.support.rtsp_server import RtspServer

DATA = Path(__file__).parents[3] / "shared" / "data"
CODEC_ERROR = 4
"""What a good encoder may change of a grey value."""


def frames_of(uri: object, most: int = 10_000) -> list[Frame]:
    found: list[Frame] = []
    with open_source(str(uri)) as source:
        for frame in source.frames(threading.Event()):
            found.append(frame)
            if len(found) == most:
                break
    return found


def off(picture: Grey, wanted: Grey) -> int:
    """The largest difference of grey."""
    return int(np.abs(picture.astype(int) - wanted.astype(int)).max())


def cine(name: str) -> str:
    found = get_testdata_file(name, download=False)
    assert isinstance(found, str), f"{name} ships with pydicom or pydicom-data"
    return found


# Luma


def test_limited_luma_is_expanded_by_its_formula_and_saturates() -> None:
    every = np.arange(256, dtype=np.uint8)[None]
    wanted = np.clip(np.round((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)[None]
    assert np.array_equal(expand(every), wanted)


@pytest.mark.parametrize(
    "form",
    [
        *("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "nv12", "nv21", "gray"),
        *("yuyv422", "uyvy422", "yvyu422", "rgb24", "bgr24", "yuv420p10le", "gray10le", "rgb8"),
    ],
)
def test_every_pixel_format_gives_the_same_grey(form: str) -> None:
    wanted = grey(10)
    frame = av.VideoFrame.from_ndarray(np.repeat(wanted[..., None], 3, axis=2), "rgb24").reformat(format=form)
    picture, coloured = look(frame)
    tolerance = 40 if form == "rgb8" else 2
    assert off(picture, wanted) <= tolerance
    assert picture.flags.c_contiguous
    if form != "rgb8":
        assert coloured == 0.0


@pytest.mark.parametrize("form", ["yuv420p", "yuvj420p", "nv12", "nv21", "yuyv422", "uyvy422", "rgb24"])
def test_a_quarter_of_red_is_a_quarter_coloured(form: str) -> None:
    pixels = np.full((480, 640, 3), 90, np.uint8)
    pixels[:240, :320] = (220, 30, 30)
    _, coloured = look(av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format=form))
    assert coloured == pytest.approx(0.25, abs=0.02)


def test_coloured_share_counts_what_is_far_from_grey() -> None:
    plain = np.full((4, 4), 128, np.uint8)
    edge = plain.copy()
    edge[0] = (128 - 24, 128 + 24, 128 - 25, 128 + 25)
    assert coloured_share(plain, plain) == 0.0
    assert coloured_share(plain, edge) == 2 / 16
    assert coloured_share(edge, plain) == 2 / 16


def test_a_small_doppler_box_is_seen() -> None:
    pixels = np.full((480, 640, 3), 60, np.uint8)
    pixels[200:240, 300:350] = (30, 60, 230)
    _, coloured = look(av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p"))
    assert coloured > 0.004


# Video files


def test_a_full_range_clip_gives_back_what_was_written(tmp_path: Path) -> None:
    written = write_clip(tmp_path / "a.mp4", greys(30), FPS)
    found = frames_of(tmp_path / "a.mp4")
    assert written == len(found) == 30
    assert max(off(frame.picture, grey(frame.index)) for frame in found) <= CODEC_ERROR
    assert [frame.index for frame in found] == list(range(30))
    assert [frame.captured_s for frame in found] == pytest.approx([index / FPS for index in range(30)])
    assert {frame.arrived_s for frame in found} == {0.0}


def test_a_limited_range_clip_gives_the_same_grey(tmp_path: Path) -> None:
    found = frames_of(h264_file(tmp_path / "a.mp4", greys(20)))
    assert max(off(frame.picture, grey(frame.index)) for frame in found) <= CODEC_ERROR


def test_a_width_that_the_decoder_pads_is_cut(tmp_path: Path) -> None:
    found = frames_of(h264_file(tmp_path / "a.mp4", greys(3, (70, 50))))
    assert found[0].picture.shape == (50, 70)
    assert off(found[0].picture, grey(0, (70, 50))) <= CODEC_ERROR


def test_an_mjpeg_recording_reads_as_training_reads_jpeg(tmp_path: Path) -> None:
    path = mjpeg_file(tmp_path / "a.avi", greys(5))
    wanted = cv2.imdecode(np.frombuffer(jpeg(grey(4)), np.uint8), cv2.IMREAD_GRAYSCALE)
    found = frames_of(path)
    assert len(found) == 5
    assert off(found[4].picture, np.asarray(wanted, np.uint8)) <= 1


def test_a_picture_outlives_its_decoder(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", greys(30), FPS)
    assert off(frames_of(tmp_path / "a.mp4", most=1)[0].picture, grey(0)) <= CODEC_ERROR


def test_a_phone_s_rotation_is_obeyed(tmp_path: Path) -> None:
    path = h264_file(tmp_path / "a.mp4", greys(3))
    content = path.read_bytes()
    plain = np.array([0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000], ">i4").tobytes()
    quarter = np.array([0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000], ">i4").tobytes()
    track = content.index(b"tkhd")
    path.write_bytes(content[:track] + content[track:].replace(plain, quarter, 1))
    picture = frames_of(path)[0].picture
    assert picture.shape == (SIZE[0], SIZE[1])
    assert off(picture, np.rot90(grey(0), -1)) <= CODEC_ERROR


def test_stop_ends_a_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", greys(30), FPS)
    stop = threading.Event()
    with open_source(str(tmp_path / "a.mp4")) as source:
        frames = source.frames(stop)
        next(frames)
        stop.set()
        assert next(frames, None) is None


def stamped(pts: int | None) -> av.VideoFrame:
    frame = av.VideoFrame(16, 16, "gray")
    frame.pts = pts
    frame.time_base = Fraction(1, 1000)
    return frame


def test_times_start_at_zero_follow_the_stream_and_never_step_back() -> None:
    times = StreamTime(0.04)
    found = [times.seconds(stamped(pts)) for pts in (500, 533, 600, None, 20, 53)]
    assert found == pytest.approx([0.0, 0.033, 0.1, 0.14, 0.18, 0.213])


def test_a_truncated_clip_gives_what_decodes_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = h264_file(tmp_path / "a.mp4", noisy(60), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with caplog.at_level(logging.WARNING):
        found = frames_of(path)
    assert 5 < len(found) < 60
    assert "breaks off" in caplog.text
    assert str(tmp_path) not in caplog.text


def test_a_whole_clip_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_clip(tmp_path / "a.mp4", greys(30), FPS)
    frames_of(tmp_path / "a.mp4")
    assert not caplog.records


def noisy(count: int) -> Iterator[Grey]:
    """Pictures that a codec cannot make small, so that half of the file is half of the clip."""
    rng = np.random.default_rng(3)
    return (rng.integers(0, 256, (48, 64), np.uint8) for _ in range(count))


def without_index(tmp_path: Path) -> Path:
    path = h264_file(tmp_path / "cut.mp4", noisy(30))
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def only_a_head(tmp_path: Path) -> Path:
    path = h264_file(tmp_path / "head.mp4", noisy(30), options={"movflags": "faststart"})
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"mdat") + 8])
    return path


def empty(tmp_path: Path) -> Path:
    path = tmp_path / "empty.mp4"
    path.touch()
    return path


def text(tmp_path: Path) -> Path:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes\n" * 200)
    return path


def noise(tmp_path: Path) -> Path:
    path = tmp_path / "noise.mp4"
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    return path


def sound(tmp_path: Path) -> Path:
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    return path


def playlist(tmp_path: Path) -> Path:
    path = tmp_path / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    return path


def absent(tmp_path: Path) -> Path:
    return tmp_path / "absent.mp4"


def empty_folder(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder"


def not_a_picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(b"not a picture")
    return path


def not_dicom(tmp_path: Path) -> Path:
    path = tmp_path / "a.dcm"
    path.write_bytes(b"not DICOM" * 50)
    return path


@pytest.mark.parametrize(
    "made",
    [
        *(absent, empty, text, noise, sound, playlist, without_index, only_a_head),
        *(empty_folder, not_a_picture, not_dicom),
    ],
)
def test_what_is_no_picture_stream_is_refused_in_one_line(made: Any, tmp_path: Path) -> None:
    with pytest.raises(BadSource) as refused:
        frames_of(made(tmp_path))
    said = str(refused.value)
    assert "\n" not in said
    assert refused.value.thing
    assert refused.value.reason
    assert refused.value.next_step


@pytest.mark.parametrize(
    "uri",
    ["", "igtl://host:1", "gopher://x", "v4l2:video0", "http://", "rtsp:x", "phantom:x", "phantom:-1", "phantom:1.5"],
)
def test_what_cannot_be_opened_says_what_can(uri: str) -> None:
    with pytest.raises(BadSource):
        open_source(uri)


def test_a_file_uri_names_a_file(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", greys(3), FPS)
    assert len(frames_of(f"file://{tmp_path}/a.mp4")) == 3


def test_opening_a_file_many_times_leaves_no_file_open(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.mp4", greys(3), FPS)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(10):
        frames_of(tmp_path / "a.mp4", most=1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


# Stills


def test_a_folder_gives_its_pictures_by_name_as_training_reads_them(tmp_path: Path) -> None:
    for name, index in (("b.jpg", 1), ("a.png", 0), ("c.BMP", 2)):
        cv2.imwrite(str(tmp_path / name), grey(index))
    (tmp_path / "notes.txt").write_text("not a picture")
    found = frames_of(tmp_path)
    assert [frame.name for frame in found] == ["a.png", "b.jpg", "c.BMP"]
    assert [frame.captured_s for frame in found] == pytest.approx([0, 1 / 30, 2 / 30])
    assert all(np.array_equal(frame.picture, read_grey(tmp_path / frame.name)) for frame in found)


def test_a_table_gives_its_pictures_in_its_order(tmp_path: Path) -> None:
    for index in range(3):
        cv2.imwrite(str(tmp_path / f"{index}.png"), grey(index))
    (tmp_path / "t.csv").write_text("image,label\n2.png,benign\n0.png,malignant\n")
    assert [frame.name for frame in frames_of(tmp_path / "t.csv")] == ["2.png", "0.png"]


def test_a_table_that_names_an_absent_picture_is_refused_there(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "0.png"), grey(0))
    (tmp_path / "t.csv").write_text("image,label\n0.png,benign\ngone.png,benign\n")
    with pytest.raises(BadSource, match=r"gone\.png"):
        frames_of(tmp_path / "t.csv")


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("file\na.png\n")
    with pytest.raises(BadManifest):
        frames_of(tmp_path / "t.csv")


def test_one_picture_is_a_source_and_its_colours_are_seen(tmp_path: Path) -> None:
    pixels = np.full((480, 640, 3), 60, np.uint8)
    pixels[:240, :320] = (230, 60, 30)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    (frame,) = frames_of(tmp_path / "a.png")
    assert frame.coloured_share == pytest.approx(0.25, abs=0.02)


# DICOM


@pytest.mark.parametrize(
    ("name", "count", "shape"),
    [("color3d_jpeg_baseline.dcm", 120, (480, 640)), ("examples_ybr_color.dcm", 30, (240, 320))],
)
def test_a_dicom_cine_gives_every_frame_at_its_time(name: str, count: int, shape: tuple[int, int]) -> None:
    found = frames_of(cine(name))
    assert len(found) == count
    assert found[0].picture.shape == shape
    assert found[-1].captured_s == pytest.approx((count - 1) / 30, rel=1e-3)
    assert found[0].coloured_share < 0.004
    assert not np.array_equal(found[0].picture, found[1].picture)


@pytest.mark.parametrize(
    "name",
    [
        *("examples_palette.dcm", "examples_rgb_color.dcm", "OBXXXX1A_rle_2frame.dcm", "color-pl.dcm"),
        *("JPGLosslessP14SV1_1s_1f_8b.dcm", "gdcm-US-ALOKA-16.dcm"),
    ],
)
def test_other_ways_to_store_ultrasound_are_read(name: str) -> None:
    frame = frames_of(cine(name))[0]
    assert frame.picture.dtype == np.uint8
    assert frame.picture.max() > 150


def dicom(path: Path, pixels: np.ndarray[Any, np.dtype[Any]], photometric: str, **more: Any) -> Path:
    """An uncompressed ultrasound multi-frame, (frames, rows, columns[, 3])."""
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.3"
    made.Modality = "US"
    made.NumberOfFrames, made.Rows, made.Columns = pixels.shape[:3]
    made.SamplesPerPixel = 3 if pixels.ndim == 4 else 1
    if pixels.ndim == 4:
        made.PlanarConfiguration = 0
    made.PhotometricInterpretation = photometric
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit, made.PixelRepresentation = made.BitsStored - 1, 0
    made.PixelData = pixels.tobytes()
    for key, value in more.items():
        setattr(made, key, value)
    made.save_as(path, enforce_file_format=True)
    return path


def test_monochrome1_is_turned_over(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", np.stack([255 - grey(0), 255 - grey(1)]), "MONOCHROME1")
    found = frames_of(path)
    assert [off(frame.picture, grey(frame.index)) for frame in found] == [0, 0]


def test_more_than_eight_bits_lose_the_lowest(tmp_path: Path) -> None:
    deep = (grey(0).astype(np.uint16) << 4)[None]
    path = dicom(tmp_path / "a.dcm", deep, "MONOCHROME2", BitsStored=12, HighBit=11)
    assert off(frames_of(path)[0].picture, grey(0)) == 0


def test_luma_is_y_and_colour_is_seen(tmp_path: Path) -> None:
    ybr = np.full((1, 48, 64, 3), 128, np.uint8)
    ybr[0, ..., 0] = grey(0)
    ybr[0, :24, :32, 1] = 200
    (frame,) = frames_of(dicom(tmp_path / "a.dcm", ybr, "YBR_FULL"))
    assert off(frame.picture, grey(0)) == 0
    assert frame.coloured_share == pytest.approx(0.25, abs=0.02)


def test_frame_times_come_from_the_vector_the_time_or_the_rate() -> None:
    header = pydicom.Dataset()
    assert frame_times(header, 3) == pytest.approx([0, 1 / 30, 2 / 30])
    header.CineRate = 20
    assert frame_times(header, 3) == pytest.approx([0, 0.05, 0.1])
    header.FrameTime = 40
    assert frame_times(header, 3) == pytest.approx([0, 0.04, 0.08])
    header.FrameTimeVector = [0, 10, 30]
    assert frame_times(header, 3) == pytest.approx([0, 0.01, 0.04])


def test_a_dicom_that_is_no_ultrasound_is_refused_by_name() -> None:
    with pytest.raises(BadSource, match=r"not ultrasound \(Modality CT"):
        frames_of(cine("CT_small.dcm"))


def test_a_dicom_without_pixels_is_refused(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", grey(0)[None], "MONOCHROME2")
    header = pydicom.dcmread(path)
    del header.PixelData
    header.save_as(path)
    with pytest.raises(BadSource, match="no picture"):
        frames_of(path)


@pytest.mark.filterwarnings("ignore:End of file")
def test_a_truncated_cine_gives_what_decodes_and_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = Path(cine("examples_ybr_color.dcm")).read_bytes()
    (tmp_path / "a.dcm").write_bytes(content[: len(content) // 2])
    with caplog.at_level(logging.WARNING):
        found = frames_of(tmp_path / "a.dcm")
    assert 5 < len(found) < 30
    assert "breaks off" in caplog.text


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    path = cine("examples_ybr_color.dcm")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(BadConfig, match=r"sonoedge\[dicom\]"):
        frames_of(path)


# Phantom


def test_the_phantom_is_a_source() -> None:
    found = frames_of("phantom:", most=2)
    wanted = list(sweep(seed=7, seconds=2 / 30))
    assert [frame.captured_s for frame in found] == [frame.captured_s for frame in wanted]
    assert np.array_equal(found[1].picture, wanted[1].picture)
    assert not np.array_equal(frames_of("phantom:8", most=1)[0].picture, found[0].picture)


# Live


def test_mjpeg_over_http_comes_in_full_range_on_the_clock() -> None:
    ticks = iter(range(100, 10**6))
    with MjpegServer() as server, open_source(server.uri, clock=lambda: float(next(ticks))) as source:
        assert source.live
        found = [frame for frame, _ in zip(source.frames(threading.Event()), range(20), strict=False)]
    shown = [round((frame.picture.mean() - grey(0).mean()) / 3) % 50 for frame in found]
    assert shown == [(shown[0] + step) % 50 for step in range(20)]
    assert off(found[0].picture, grey(shown[0])) <= CODEC_ERROR
    assert all(frame.captured_s == frame.arrived_s >= 100 for frame in found)
    assert [frame.captured_s for frame in found] == sorted({frame.captured_s for frame in found})


def test_a_stream_that_ends_is_lost_not_finished() -> None:
    with MjpegServer(frames=30) as server, pytest.raises(SourceLost, match=r"ended|went away"):
        frames_of(server.uri)


def test_stop_ends_a_live_source() -> None:
    stop = threading.Event()
    with MjpegServer() as server, open_source(server.uri) as source:
        frames = source.frames(stop)
        next(frames)
        stop.set()
        assert next(frames, None) is None


def test_rtsp_is_read_over_tcp_and_its_password_is_not_told() -> None:
    with RtspServer(interval_s=0.02) as server, pytest.raises(SourceLost) as lost:
        frames_of(server.uri)
    assert "secret" not in str(lost.value)
    assert "127.0.0.1" in str(lost.value)


def test_rtsp_pictures_are_the_ones_that_were_sent() -> None:
    pictures = list(greys(50))
    with RtspServer(pictures, interval_s=0.02) as server, open_source(server.uri) as source:
        found = next(iter(source.frames(threading.Event()))).picture
    assert min(off(found, picture) for picture in pictures) <= CODEC_ERROR + 4


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9/x", "rtsp://me:secret@127.0.0.1:9/x", "v4l2:/dev/video99", "v4l2:/dev/null"]
)
def test_a_live_source_that_is_not_there_is_lost_with_a_next_step(uri: str) -> None:
    with pytest.raises(SourceLost) as lost:
        frames_of(uri)
    assert "secret" not in str(lost.value)
    assert lost.value.next_step


def test_a_stream_without_a_picture_is_lost() -> None:
    with MjpegServer(frames=0) as server, pytest.raises(SourceLost):
        frames_of(server.uri)


# Real recordings


@pytest.mark.data
@pytest.mark.parametrize(
    "name", ["butterfly-ocular-phantom.mp4", "clarius-ocular-short.mp4", "sonosite-anon-eye1-video.mp4"]
)
def test_recordings_of_real_handhelds_are_read(name: str) -> None:
    path = DATA / "cine" / name
    if not path.exists():
        pytest.skip(f"no real recordings at {DATA}")
    found = frames_of(path, most=30)
    assert len(found) == 30
    assert all(later.captured_s > earlier.captured_s for earlier, later in pairwise(found))
    assert found[0].picture.min() == 0
    assert found[0].picture.max() > 200
    assert found[0].coloured_share < 0.004


def test_real_time_is_the_default_clock() -> None:
    with MjpegServer() as server:
        (frame,) = frames_of(server.uri, most=1)
    assert 0 <= time.monotonic() - frame.arrived_s < 60
