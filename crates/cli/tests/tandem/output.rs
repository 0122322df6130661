//! What is said of a standard output that takes nothing.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::process::Command;

use crate::support::Place;

#[test]
fn a_full_disk_behind_standard_output_is_named() {
    let place = Place::with("a.csv", "id,name\n1,Oulu\n2,Turku\n");
    place.ok("import a.csv");
    // Lines for people and for programs.
    for line in [
        "inspect",
        "inspect --json",
        "serve --print-config",
        "query a",
        "query a --format csv",
    ] {
        let full = File::options().write(true).open("/dev/full");
        let ran = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(line.split_whitespace())
            .current_dir(place.path("."))
            .stdout(full.expect("Linux has it"))
            .output()
            .expect("the binary runs");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(
            said, "error: standard output: No space left on device (os error 28)\n",
            "tandem {line}"
        );
        assert_eq!(ran.status.code(), Some(3), "tandem {line}");
    }
}
