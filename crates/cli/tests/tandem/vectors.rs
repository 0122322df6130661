//! `tandem vectors`: files of vectors go into tables and come out the same.

use crate::support::Place;

fn place() -> Place {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/vectors/");
    let place = Place::new();
    for name in ["rows.fvecs", "fixed.parquet", "f4.npy", "fortran.npy"] {
        place.write(
            name,
            std::fs::read(format!("{folder}{name}")).expect("a golden file"),
        );
    }
    place
}

#[test]
fn a_file_says_what_it_holds() {
    assert_eq!(
        place().ok("vectors info rows.fvecs --check"),
        "format      fvecs\nelements    f32\ndimension   3\nrows        5\n\
         checked     5 rows, all finite\nelements    from 0 to 100\nlengths     from 2.236068 to 100.424101\n"
    );
    let out = place().ok("vectors info fixed.parquet --json");
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["rows"], 5);
    assert_eq!(report["metadata"][1], serde_json::json!(["name", "text"]));
}

#[test]
fn what_is_imported_is_exported() {
    let place = place();
    let out = place.ok("vectors import rows.fvecs --table t");
    assert!(
        out.starts_with("new table t\n  id                       int, key\n"),
        "{out}"
    );
    assert!(out.contains("\n5 vectors imported; t now has 5 ("), "{out}");
    for name in ["rows.fvecs", "f4.npy"] {
        place.ok(&format!("vectors export again_{name} --table t"));
        assert!(
            place.read(&format!("again_{name}")) == place.read(name),
            "{name}"
        );
    }
    // A second time, the keys are there.
    let before = place.read("tandem.tdb");
    let ran = place.run("vectors import rows.fvecs --table t");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.starts_with("error: rows.fvecs: row 0: "),
        "{}",
        ran.err
    );
    assert!(
        ran.err
            .ends_with("nothing was imported; tandem.tdb is as it was\n")
    );
    assert_eq!(place.read("tandem.tdb"), before);
    let out = place.ok("vectors import rows.fvecs --table t --first 5 --json");
    assert!(out.contains("\"rows\": 10"), "{out}");
}

#[test]
fn metadata_goes_along_with_parquet() {
    let place = place();
    place.ok("vectors import fixed.parquet --table t --column embedding");
    let found = place.ok("query t --where id=30 --select name,embedding --format json");
    assert!(found.contains("Turku"), "{found}");
    place.ok("vectors export out.parquet --table t --column embedding");
    place.ok("vectors import out.parquet --table u --column embedding");
    let rows = |table| place.ok(&format!("query {table} --format json"));
    assert_eq!(rows("t"), rows("u"));
    place.ok("vectors convert out.parquet out.npy --from embedding");
    assert!(place.read("out.npy") == place.read("f4.npy"));
    place.ok("vectors convert rows.fvecs few.npy --limit 2 --element u8");
    assert_eq!(place.read("few.npy").len(), 128 + 2 * 3);
}

#[test]
fn what_cannot_be_done_is_named_and_changes_nothing() {
    let place = place();
    place.ok("vectors import rows.fvecs --table t");
    place.write("cut.fvecs", &place.read("rows.fvecs")[..30]);
    place.write("old.npy", "kept");
    for (line, code, says) in [
        (
            "vectors info none.npy",
            3,
            "none.npy: there is no such file",
        ),
        ("vectors info a.csv", 1, "a.csv: unknown kind of file"),
        (
            "vectors import fortran.npy",
            1,
            "fortran.npy: the array is stored column by column",
        ),
        (
            "vectors import cut.fvecs --table c",
            1,
            "cut.fvecs: the file is cut off in row 1",
        ),
        (
            "vectors import fixed.parquet --table t",
            1,
            "fixed.parquet: table `t` has no column",
        ),
        (
            "vectors import rows.fvecs --key k",
            1,
            "rows.fvecs: there is no column `k`",
        ),
        (
            "vectors export old.npy --table t --column id",
            1,
            "does not hold vectors",
        ),
        (
            "vectors export x.fvecs --table t --element f16",
            1,
            "are f32, not f16",
        ),
        (
            "vectors export x.npy.gz --table t",
            1,
            "files are written unpacked",
        ),
        ("vectors export old.npy --table none", 1, "none"),
        (
            "vectors convert cut.fvecs old.npy",
            1,
            "cut.fvecs: how many rows",
        ),
        (
            "vectors convert rows.fvecs old.npy --element f7",
            2,
            "elements are f16, f32",
        ),
    ] {
        let ran = place.run(line);
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
        assert!(ran.err.contains(says), "{line}: {}", ran.err);
    }
    assert_eq!(place.read("old.npy"), b"kept");
    let out = place.ok("inspect");
    assert!(out.contains('t') && !out.contains("fortran"), "{out}");
}
