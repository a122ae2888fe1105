// A case for the kit: a box with a lid, for a Pi 5, a Pi 4 or a Zero 2 W, a Camera Module 3 (wide),
// a light that is read back, and a button of 16 mm. Nobody has printed it yet.
//
//   tools/build-case         makes build/case/*.stl and docs/images/case.png
//
// Millimetres. x runs along the front, y from the front to the back, z upwards; the origin is the
// inner corner of the floor, front left. Where each figure is from: docs/hardware.md, "A printed case".

pi = "pi5";          // "pi5", "pi4" or "zero2w"
part = "all";        // "base", "lid", or "all" for a look at it

// --- what goes in ---------------------------------------------------------------------------------
zero = pi == "zero2w";
board = zero ? [65, 30] : [85, 56];
holes = zero ? [58, 23] : [58, 49];  // from 3.5 off two edges, M2.5
tallest = zero ? 12 : 17;            // a header's plugs; a stack of USB sockets with its plug
cooler = pi == "pi5" ? 13.7 : 0;     // Active Cooler, above the board
air = 10;                            // above its fan, or above the tallest part

camera_holes = [21, 12.5];           // M2
lens_square = 10.8;
lens_proud = 8.3;                    // of the board, wide (6.98 for the standard one)

led = 5;                             // across its body; a flange of 5.9 behind it
led_long = 8.6;                      // from its dome to its flange
sensor = 3;                          // the phototransistor, across
button = 16;                         // thread of the button
button_deep = 30;                    // behind the panel, with its wires

// --- the printer's ---------------------------------------------------------------------------------
wall = 3;
play = 0.3;                          // on each side of what goes through a hole
m3 = [3.4, 2.7, 6.2];                // clearance, hole for its own thread, countersunk head
m25_own = 2.2;
m2_own = 1.7;
slot = 2;                            // a vent: narrower than a finger, a key or a card

// --- the room inside -------------------------------------------------------------------------------
under = 6;                           // below the board: the card, a screw's end
pcb = 1.6;
front = 34;                          // for camera, light and button, in front of the board
back = 36;                           // for the power plug and its bend
side = zero ? 16 : 48;               // for USB plugs, left; the card's edge is right, 10 off the wall
eye_high = 24;                       // the lens above the floor: 9.5 of its board and the cable are below
inside = [max(side + board.x + 10, 112), front + board.y + back,
          max(under + pcb + max(cooler, tallest) + air, button_deep + 8, eye_high + 14.4 + 1.6)];
at = [inside.x - 10 - board.x, front];     // the board's front left corner
middle = inside.x / 2;
eye = [middle, eye_high];                  // lens: x, z
lamp = [middle - 30, eye_high];
press = [middle + 34, 17];                 // button, in the lid: x, y
post = 9;                                  // corner posts for the lid's screws
corners = [for (x = [post / 2, inside.x - post / 2], y = [post / 2, inside.y - post / 2]) [x, y]];

assert(lamp.x - 6 > post && press.x + 12 < inside.x - post + 0.01, "the front is too short");
assert(press.y + 12 < front, "the button meets the board");
assert(under + pcb + cooler + air <= inside.z, "the cooler has no air");

$fn = 48;

module rounded(size, r) {
    translate([r, r, 0]) linear_extrude(size.z) offset(r) square([size.x - 2 * r, size.y - 2 * r]);
}
// Through the front wall, from outside.
module forward(x, z) translate([x, 0, z]) rotate([-90, 0, 0]) children();

module box() difference() {
    translate([-wall, -wall, -wall]) rounded(inside + [2 * wall, 2 * wall, wall], 5);
    cube(inside + [0, 0, 1]);
}

// The board is screwed to these from above: its card's edge to the right, its power plug to the back.
module board_posts(d, h) for (x = [3.5, 3.5 + holes.x], y = [3.5, 3.5 + holes.y])
    translate([at.x + board.x - x, at.y + board.y - y, 0]) cylinder(d = d, h = h);

// The camera hangs behind the front wall with its cable down, so its picture is upright. Its board
// is as far back as lets the lens end 0.8 mm behind the wall's face: nothing of the wall is in view.
camera_back = lens_proud + 0.8 - wall;
// From the lens, the pair of holes that is level with it, and the pair above.
module camera_posts(d, h) for (x = [-camera_holes.x / 2, camera_holes.x / 2], z = [-0.1, camera_holes.y - 0.1])
    forward(eye.x + x, eye.y + z) cylinder(d = d, h = h);

// One dark tube: the lamp looks out of it, the phototransistor looks at the lamp's side from below.
tube = [12, led_long + 7];
module light_tube() forward(lamp.x, lamp.y) cylinder(d = tube[0], h = tube[1] - wall);
module light_bores() {
    translate([0, -wall, 0]) forward(lamp.x, lamp.y) {
        translate([0, 0, -1]) cylinder(d = led + 0.2, h = 30);
        translate([0, 0, led_long - 1]) cylinder(d = 6.4, h = 30);
    }
    translate([lamp.x, led_long - wall - 3.5, lamp.y - tube[0]]) cylinder(d = sensor + 0.2, h = tube[0]);
}

// A cable comes in through a notch below the lid, goes down behind the wall, and is tied to a block
// on the floor: a pull ends there, and not at the plug.
entries = [middle - 16, middle + 16];
module entry(x) {
    translate([x - 2.5, inside.y - 1, inside.z - 5.5]) cube([5, wall + 2, 7]);
}
module tie(x) translate([x - 7, inside.y - 16, 0]) difference() {
    cube([14, 8, 9]);
    for (dx = [1.5, 9.5]) translate([dx, -1, 2.5]) cube([3, 10, 2]);
    translate([7, -1, 9]) rotate([-90, 0, 0]) cylinder(d = 5, h = 10);
}

module vents() {
    // Low in the back and the left wall: no way to the card, which lies at the right.
    for (x = [18 : 2 * slot + 1 : inside.x - 18]) if (min([for (e = entries) abs(x - e)]) > 9)
        translate([x, inside.y - 1, 12]) cube([slot, wall + 2, inside.z - 24]);
    for (y = [front + 4 : 2 * slot + 1 : inside.y - 18])
        translate([-wall - 1, y, 12]) cube([wall + 2, slot, inside.z - 24]);
}
module lid_vents() // Above the cooler's fan, or the chip.
    for (dx = [-17 : 2 * slot + 1 : 17]) translate([at.x + board.x * 0.5 + dx, at.y + board.y / 2 - 14, -1])
        cube([slot, 28, wall + 2]);

module base() difference() {
    union() {
        box();
        board_posts(6, under);
        camera_posts(4.75, camera_back);
        light_tube();
        for (c = corners) translate([c.x - post / 2, c.y - post / 2, 0]) cube([post, post, inside.z]);
        for (x = entries) tie(x);
        // A stand's nut (1/4 inch, 7/16 across) lies in this from inside.
        translate([middle, 17, 0]) cylinder(d = 18, h = 5);
    }
    board_posts(m25_own, under + 1);
    camera_posts(m2_own, camera_back + 1);
    translate([eye.x - lens_square / 2 - 0.4, -wall - 1, eye.y - lens_square / 2 - 0.4])
        cube([lens_square + 0.8, wall + 2, lens_square + 0.8]);
    light_bores();
    for (c = corners) translate([c.x, c.y, inside.z - 14]) cylinder(d = m3[1], h = 15);
    for (x = entries) entry(x);
    vents();
    translate([middle, 17, -wall - 1]) cylinder(d = 6.8, h = 20);
    translate([middle, 17, 0]) cylinder(d = 13, h = 20, $fn = 6);
}

module lid() difference() {
    union() {
        translate([-wall, -wall, 0]) rounded([inside.x + 2 * wall, inside.y + 2 * wall, wall], 5);
        // A rim that keeps a blade out of the seam, cut out at the posts.
        translate([play, play, -3]) difference() {
            cube([inside.x - 2 * play, inside.y - 2 * play, 3]);
            translate([2, 2, -1]) cube([inside.x - 2 * play - 4, inside.y - 2 * play - 4, 5]);
            for (c = corners) translate([c.x - play - post / 2 - 1, c.y - play - post / 2 - 1, -1]) cube([post + 2, post + 2, 5]);
            // The camera's upper edge and the cables come up to here.
            translate([eye.x - 15, -1, -1]) cube([30, 5, 5]);
            for (x = entries) translate([x - 4, inside.y - 5, -1]) cube([8, 6, 5]);
        }
    }
    for (c = corners) translate([c.x, c.y, -1]) {
        cylinder(d = m3[0], h = wall + 2);
        translate([0, 0, wall - 1.7]) cylinder(d1 = m3[0], d2 = m3[2], h = 1.71);
    }
    translate([press.x, press.y, -4]) cylinder(d = button + 2 * play, h = wall + 8);
    lid_vents();
}

// What goes in, for a look; no part of any print.
module contents() {
    color("green", 0.8) translate([at.x, at.y, under]) cube([board.x, board.y, pcb]);
    if (cooler > 0) color("silver") translate([at.x + board.x - 64.2, at.y + 6.4, under + pcb]) cube([63.5, 42.5, cooler]);
    if (!zero) color("dimgray") for (y = [10.2, 29.1, 47])
        translate([at.x - 3, at.y + board.y - y - 7, under + pcb]) cube([20, 14, 15]);
    color("darkgreen") translate([eye.x - 12.5, camera_back, eye.y - 9.46]) cube([25, 1.1, 23.86]);
    color("black") translate([eye.x - lens_square / 2, camera_back - lens_proud, eye.y - lens_square / 2])
        cube([lens_square, lens_proud, lens_square]);
    color("red") translate([0, -wall, 0]) forward(lamp.x, lamp.y) cylinder(d = led, h = led_long);
}

if (part == "base") base();
else if (part == "lid") translate([0, 0, wall]) rotate([180, 0, 0]) lid();
else {
    color("lightsteelblue") base();
    contents();
    translate([0, 0, inside.z + 42]) {
        color("lightsteelblue") lid();
        color("orangered") translate([press.x, press.y, 0]) { translate([0, 0, wall]) cylinder(d = 20, h = 4); translate([0, 0, 4 - button_deep]) cylinder(d = button, h = button_deep); }
    }
}
