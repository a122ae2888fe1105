"""What pictures, sound and files are called that the kit does not read, for whoever brought them.

A kind is found by what the file itself says: the decoder that libav has for it, the four letters of
an MP4's track, or the first bytes of a file that is no film of ours. It travels as its code alone.
"""

from appliance.errors import Reason


class FilmKind(Reason):
    """What was found, as a sentence. `names` are what libav and containers call it."""

    def __init__(self, code: str, sentence: str = "", names: str = "") -> None:
        super().__init__(code, sentence)
        self.names = names

    def __str__(self) -> str:
        return self.sentence

    PICTURE = "picture", "The picture is of a kind that the kit does not know."
    H263 = (
        "h263",
        "The picture is H.263, a kind from old phones.",
        "h263 h263i h263p s263 flv flv1 vp6 vp6f vp6a",
    )
    MJPEG = (
        "mjpeg",
        "The picture is Motion JPEG, an old camera's kind.",
        "mjpeg mjpegb jpeg mjpa mjpb mjpg",
    )
    PRORES = (
        "prores",
        "The picture is ProRes, which an iPhone writes only if its camera is set so.",
        "prores prores_raw apch apcn apcs apco ap4h ap4x aprn aprh",
    )
    MPEG2 = (
        "mpeg2",
        "The picture is MPEG-2, a kind of DVDs and of cameras with tapes.",
        "mpeg1video mpeg2video mpgv mp2v hdv1 hdv2 hdv3",
    )
    DV = "dv", "The picture is DV, a kind of cameras with tapes.", "dvvideo dvc dvcp dvpp dv5p dvh1"
    WINDOWS = (
        "windows",
        "The picture is Windows Media, an old computer's kind.",
        "wmv1 wmv2 wmv3 vc1 wmv3image msmpeg4v1 msmpeg4v2 msmpeg4 msmpeg4v3 wvc1 wmva div3",
    )
    QUICKTIME = (
        "quicktime",
        "The picture is of a kind that QuickTime wrote long ago.",
        "svq1 svq3 cinepak cvid qtrle rle rpza smc rv10 rv20 rv30 rv40 indeo3 indeo5",
    )
    STUDIO = (
        "studio",
        "The picture is of a kind for studios, which loses nothing.",
        "ffv1 dnxhd huffyuv ffvhuff utvideo v210 rawvideo cfhd png qdraw jpeg2000 mjp2 avdn",
    )
    H266 = "h266", "The picture is H.266, which is too new for the kit.", "vvc vvc1 vvi1 evc evc1"
    LOCKED = (
        "locked",
        "The picture is locked by the company that sold it.",
        "encv drmi",
    )

    SOUND = "sound", "The sound is of a kind that the kit does not know."
    APAC = "apac", "The sound is APAC, a new iPhone's sound in space.", "apac"
    AMR = (
        "amr",
        "The sound is of a kind from old phones.",
        "evrc qcelp qclp sevc gsm gsm_ms sawb sawp libopencore_amrnb libopencore_amrwb",
    )
    OLD_SOUND = (
        "old-sound",
        "The sound is of an old camera's or computer's kind.",
        "pcm_u8 raw pcm_s8 adpcm_ima_qt ima4 adpcm_ms adpcm_ima_wav mace3 mace6 qdm2 qdmc "
        "wmav1 wmav2 wmapro wmavoice wma2 nellymoser speex mp1 mp1float cook",
    )
    CINEMA = (
        "cinema",
        "The sound is of a cinema's kind (DTS, TrueHD or AC-4).",
        "dca dts dtsc dtsh dtsl dtse truehd mlp mlpa ac4 ac-4 mha1 mhm1 mpegh_3d_audio",
    )

    AVI = "avi", "This file is AVI, an old camera's or computer's kind."
    WMV = "wmv", "This file is Windows Media (WMV), an old computer's kind."
    MPG = "mpg", "This file is MPEG, a kind of DVDs and of older cameras."
    FLV = "flv", "This file is Flash video, a kind of old web pages."
    OGG = "ogg", "This file is Ogg, mostly sound alone."
    ONLY_SOUND = "only-sound", "This file is sound alone."
    PHOTO = "photo", "This file is a photo, not a film."
    DOCUMENT = "document", "This file is a document, not a film."
    ARCHIVE = "archive", "This file is an archive (ZIP), not a film."


_NAMED = {name: kind for kind in FilmKind for name in kind.names.split()}
_BEGINS: tuple[tuple[int, bytes, FilmKind], ...] = (
    (8, b"AVI ", FilmKind.AVI),
    (8, b"WAVE", FilmKind.ONLY_SOUND),
    (8, b"WEBP", FilmKind.PHOTO),
    (4, b"ftyphei", FilmKind.PHOTO),
    (4, b"ftypmif1", FilmKind.PHOTO),
    (4, b"ftypavif", FilmKind.PHOTO),
    (4, b"ftypM4A", FilmKind.ONLY_SOUND),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", FilmKind.WMV),
    (0, b"\x00\x00\x01\xba", FilmKind.MPG),
    (0, b"\x00\x00\x01\xb3", FilmKind.MPG),
    (0, b"FLV\x01", FilmKind.FLV),
    (0, b"OggS", FilmKind.OGG),
    (0, b"ID3", FilmKind.ONLY_SOUND),
    (0, b"fLaC", FilmKind.ONLY_SOUND),
    (0, b"#!AMR", FilmKind.ONLY_SOUND),
    (0, b"\xff\xf1", FilmKind.ONLY_SOUND),
    (0, b"\xff\xfb", FilmKind.ONLY_SOUND),
    (0, b"\xff\xd8\xff", FilmKind.PHOTO),
    (0, b"\x89PNG", FilmKind.PHOTO),
    (0, b"GIF8", FilmKind.PHOTO),
    (0, b"%PDF", FilmKind.DOCUMENT),
    (0, b"PK\x03\x04", FilmKind.ARCHIVE),
)


def kind_named(*names: str, sound: bool) -> FilmKind:
    """What a track is that libav or its container calls so; the first name that is known counts."""
    for name in names:
        if kind := _NAMED.get(name.strip().lower()):
            return kind
    return FilmKind.SOUND if sound else FilmKind.PICTURE


def kind_of_file(begins: bytes) -> FilmKind | None:
    """What a file is that begins so, if that is known and no film that the kit reads."""
    for at, mark, kind in _BEGINS:
        if begins[at : at + len(mark)] == mark:
            return kind
    return None
