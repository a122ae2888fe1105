"""The room in which the two play: it does not move, and is painted once."""

from firmware.cameras.family.brush import Colour, Corners, Fill, around, circle, ellipse

_FAR = 4000
"""Units beyond any picture's edge."""


def _box(left: float, top: float, right: float, foot: float) -> Corners:
    return [(left, top), (right, top), (right, foot), (left, foot)]


def _round_box(left: float, top: float, right: float, foot: float, radius: float) -> Corners:
    inner = (left + radius, top + radius, right - radius, foot - radius)
    return around(*((x, y, radius) for x in inner[::2] for y in inner[1::2]))


def room(cloth: Colour) -> list[Fill]:
    """Wall, floor and what stands there; curtains and cushion are of `cloth`."""
    return [*_walls(), *_window(cloth), *_sofa(cloth), *_shelf(), *_mat()]


def _walls() -> list[Fill]:
    board = Colour(250, 245, 236)
    floor = Colour(221, 196, 165)
    planks = [
        Fill(_box(-_FAR, y, _FAR, y + 2.5), floor.mixed(Colour(120, 84, 56), 0.16))
        for y in (514, 560, 618, 690)
    ]
    return [
        Fill(_box(-_FAR, -_FAR, _FAR, 470), Colour(244, 233, 215), 10),
        Fill(_box(-_FAR, 448, _FAR, 474), board),
        Fill(_box(-_FAR, 472, _FAR, 476), Colour(196, 176, 150)),
        Fill(_box(-_FAR, 476, _FAR, _FAR), floor),
        *planks,
    ]


def _window(cloth: Colour) -> list[Fill]:
    white, sky = Colour(253, 250, 244), Colour(202, 226, 238)
    glass = _box(532, 62, 788, 296)
    rod = Colour(150, 116, 88)
    folds = []
    for left, right in ((470, 548), (772, 850)):
        wide = right - left
        folds.append(Fill(_box(left, 34, right, 330), cloth, 12))
        folds += [
            Fill(
                _box(left + n * wide / 4, 34, left + n * wide / 4 + 5, 330),
                cloth.mixed(Colour(90, 50, 40), 0.14),
            )
            for n in (1, 2, 3)
        ]
    return [
        Fill(_box(520, 50, 800, 308), white),
        Fill(glass, sky, -24),
        Fill(circle(742, 104, 22), Colour(255, 244, 206), within=glass),
        Fill(ellipse(590, 110, 40, 13), Colour(246, 250, 252), within=glass),
        Fill(ellipse(620, 100, 26, 13), Colour(246, 250, 252), within=glass),
        Fill(ellipse(600, 316, 130, 62), Colour(158, 194, 140), within=glass),
        Fill(ellipse(750, 322, 120, 74), Colour(140, 180, 126), within=glass),
        Fill(_box(567, 196, 577, 270), Colour(138, 106, 80), within=glass),
        Fill(circle(572, 186, 34), Colour(120, 166, 112), 12, within=glass),
        Fill(circle(594, 204, 22), Colour(128, 174, 118), 8, within=glass),
        Fill(_box(656, 62, 664, 296), white),
        Fill(_box(532, 170, 788, 177), white),
        Fill(_box(508, 300, 812, 318), white.mixed(Colour(190, 170, 140), 0.25)),
        *folds,
        Fill(_round_box(452, 26, 868, 38, 6), rod),
    ]


def _sofa(cloth: Colour) -> list[Fill]:
    green = Colour(148, 172, 158)
    dark = green.mixed(Colour(40, 60, 60), 0.16)
    return [
        Fill(ellipse(60, 590, 330, 26), Colour(196, 170, 140)),
        Fill(_round_box(-260, 262, 262, 560, 44), green, 16),
        Fill(_round_box(-260, 440, 286, 590, 30), dark, 14),
        Fill(_round_box(214, 372, 300, 592, 40), green, 20),
        Fill(around((120, 400, 30), (178, 330, 26), (192, 420, 30), (108, 340, 26)), cloth, 14),
    ]


def _shelf() -> list[Fill]:
    wood = Colour(192, 150, 112)
    books = [
        (1046, 26, 62, Colour(196, 120, 104)),
        (1074, 20, 54, Colour(110, 142, 160)),
        (1096, 30, 66, Colour(222, 184, 112)),
        (1128, 22, 58, Colour(136, 160, 130)),
        (1152, 26, 50, Colour(172, 132, 158)),
    ]
    pot = Colour(204, 130, 98)
    leaf = Colour(112, 150, 112)
    return [
        Fill(_box(1020, 352, 1330, 368), wood),
        Fill(_box(1020, 368, 1330, 500), wood.mixed(Colour(90, 60, 40), 0.22)),
        Fill(_box(1034, 380, 1330, 492), wood.mixed(Colour(60, 40, 30), 0.45)),
        *(Fill(_box(x, 492 - up, x + wide, 492), colour, 8) for x, wide, up, colour in books),
        Fill(_box(1020, 490, 1330, 504), wood),
        *(
            Fill(ellipse(1216 + dx, 268 + dy, 15, 56, angle), leaf, 12)
            for dx, dy, angle in ((-34, 4, -0.75), (34, 4, 0.75), (-14, -12, -0.3), (16, -12, 0.3))
        ),
        Fill(ellipse(1216, 252, 15, 58), leaf.mixed(Colour(255, 255, 255), 0.14), 12),
        Fill([(1182, 300), (1250, 300), (1240, 352), (1192, 352)], pot, 12),
        Fill(_box(1178, 296, 1254, 310), pot.mixed(Colour(255, 255, 255), 0.14)),
        Fill(_box(988, 110, 1112, 210), Colour(160, 122, 90)),
        Fill(_box(996, 118, 1104, 202), Colour(250, 244, 232)),
        Fill(circle(1032, 158, 22), Colour(232, 178, 128)),
        Fill(circle(1066, 170, 15), Colour(146, 176, 180)),
    ]


def _mat() -> list[Fill]:
    mat = Colour(178, 200, 198)
    return [
        Fill(ellipse(640, 644, 640, 108), mat.mixed(Colour(90, 110, 110), 0.22)),
        Fill(ellipse(640, 640, 640, 106), mat, 10),
        Fill(ellipse(640, 640, 560, 88), Colour(206, 220, 214), 8),
        Fill(ellipse(640, 640, 470, 70), Colour(190, 208, 206), 8),
        Fill(ellipse(400, 672, 236, 26), Colour(160, 180, 178)),
        Fill(ellipse(850, 676, 190, 22), Colour(160, 180, 178)),
    ]
