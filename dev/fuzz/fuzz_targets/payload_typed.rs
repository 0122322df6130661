//! Values that say their own types: never a panic, no more memory than allowed, and what is read is written alike.
#![no_main]

use common::Limits;
use common::optimization::compression::zlib::Level;
use libfuzzer_sys::fuzz_target;
use syncdb::payload::typed::{
    Elements, Room, bytes, close, float, int, open, put_bytes, put_float, put_int,
};

fuzz_target!(|data: &[u8]| {
    let mut room = Room::new(&Limits::default().total_bytes_max(1 << 20));
    walk(data, false, 0, &mut room);
    walk(data, true, 0, &mut room);
});

fn walk(data: &[u8], is_map: bool, depth: usize, room: &mut Room) {
    let Ok(mut elements) = Elements::of(data) else {
        return;
    };
    while depth < 64 && !elements.is_done() {
        if is_map {
            let Ok(key) = elements.key() else { return };
            let _ = bytes(key, room);
        }
        let Ok(element) = elements.element() else {
            return;
        };
        let mut out = Vec::new();
        match element.signature {
            2 => {
                if let Ok(value) = int(element.payload) {
                    put_int(value, &mut out);
                    assert_eq!(int(&out).ok(), Some(value));
                }
            }
            3 => {
                if let Ok(value) = float(element.payload) {
                    put_float(value, &mut out);
                    let again = float(&out).expect("it was written");
                    assert!(again == value || (again.is_nan() && value.is_nan()));
                }
            }
            4 | 5 => {
                if let Ok(value) = bytes(element.payload, room) {
                    let level = Level::new(6).expect("zlib has it");
                    let start = open(5, &mut out);
                    put_bytes(&value, level, &mut out);
                    let payload = out.get(start..).expect("the element was opened");
                    assert_eq!(bytes(payload, room).ok(), Some(value));
                    close(start, &mut out).expect("it is short");
                }
            }
            6 => walk(element.payload, false, depth + 1, room),
            7 => walk(element.payload, true, depth + 1, room),
            _ => {}
        }
    }
}
