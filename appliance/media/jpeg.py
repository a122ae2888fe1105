"""A frame as a JPEG that says nothing but the picture."""

from fractions import Fraction

from av.codec.context import CodecContext, Flags
from av.video.frame import PictureType, VideoFrame

from appliance.media.colours import Light, for_jpeg
from appliance.media.footage import Upright

STILL, SMALL = 2, 5
"""What JPEG may lose: of a still next to nothing, of a small picture little."""


def jpeg(
    frame: VideoFrame,
    aspect: Fraction,
    quality: int,
    height: int | None = None,
    light: Light | None = None,
) -> bytes:
    """`frame` of a film with this light as a JPEG, upright and of square pixels, that says nothing
    but the picture."""
    width, upright = frame.width * aspect, Upright(frame)
    stands = width if upright.is_sideways else frame.height
    scale = Fraction(height or stands) / stands
    across, down = (max(round(side * scale), 1) for side in (width, frame.height))
    picture = upright.turned(for_jpeg(frame, across, down, light))
    encoder = CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height = picture.width, picture.height
    encoder.pix_fmt = "yuvj420p"
    encoder.time_base = Fraction(1, 25)
    encoder.sample_aspect_ratio = Fraction(1)
    encoder.qmin = encoder.qmax = quality
    encoder.flags |= Flags.bitexact
    picture.pts, picture.time_base, picture.pict_type = 0, encoder.time_base, PictureType.NONE
    return b"".join(bytes(packet) for packet in encoder.encode(picture) + encoder.encode(None))
